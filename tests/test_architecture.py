"""STYLE.md §1 as tests: which way imports point, what planning may load, what no module may do."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
METHODS = sorted((ROOT / "methods").glob("*.py"))
MACHINERY = sorted((ROOT / "prefrepro").rglob("*.py"))
OTHER_LIBRARIES = {"rpo_ot": {"ot"}}
"""What one method imports beside torch: the Sinkhorn algorithm of a well-kept library, not one of our own."""
METHOD_NAMES = {path.stem for path in METHODS} - {"__init__", "contract"}
LIGHT = ("spec", "nodes", "plan", "introspect", "cli", "errors", "files", "new_method", "stage")
"""Modules of prefrepro that a Snakefile, parsed again in every job, or a help page loads."""
HEAVY = {"torch", "transformers", "pandas"}
LONGEST = 400


def name(path: Path) -> str:
    """The path below the repository, for test ids and messages."""
    return str(path.relative_to(ROOT))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=name(path))


def imports(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports, wherever in it; a relative import keeps its dots."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            plain = module in {"methods", "prefrepro"}
            found |= {f"{module}.{alias.name}" for alias in node.names} if plain else {module}
    return found


def compared_strings(path: Path) -> Iterator[tuple[int, str]]:
    """Line and value of every string that a comparison, membership test or match case of a file mentions."""
    for node in ast.walk(tree(path)):
        parts = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        parts += [node.value] if isinstance(node, ast.MatchValue) else []
        for constant in (leaf for part in parts for leaf in ast.walk(part)):
            if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                yield constant.lineno, constant.value


@pytest.mark.parametrize("path", METHODS, ids=name)
def test_methods_import_torch_and_their_contract_only(path: Path) -> None:
    for module in imports(path):
        package = module.split(".")[0]
        libraries = sys.stdlib_module_names | {"torch"} | OTHER_LIBRARIES.get(path.stem, set())
        allowed = package in libraries or module == "methods.contract"
        assert allowed, f"{name(path)} imports {module}; a method may import torch and methods.contract"


@pytest.mark.parametrize("path", MACHINERY, ids=name)
def test_machinery_knows_neither_snakemake_nor_the_workflow(path: Path) -> None:
    packages = {module.split(".")[0] for module in imports(path)}
    assert not packages & {"snakemake", "workflow", "tests", "bench"}, (
        f"{name(path)}: workflow imports it, not it workflow"
    )


@pytest.mark.parametrize("module", LIGHT)
def test_planning_loads_nothing_heavy(module: str) -> None:
    """In a fresh interpreter, as in a job process."""
    if not (ROOT / "prefrepro" / f"{module}.py").exists():
        pytest.skip(f"prefrepro/{module}.py does not exist yet")
    script = f"import sys, prefrepro.{module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout.split(), f"prefrepro.{module} loads {done.stdout.strip()}"


@pytest.mark.parametrize("path", METHODS + MACHINERY, ids=name)
def test_every_module_can_be_imported(path: Path) -> None:
    if path.name == "__main__.py":
        pytest.skip("runs its command when imported")
    parts = path.relative_to(ROOT).with_suffix("").parts
    importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))


@pytest.mark.parametrize("path", METHODS + MACHINERY, ids=name)
def test_nothing_is_pickled(path: Path) -> None:
    """A pickle runs code when read. torch.load reads pickles unless weights_only is left alone or True."""
    packages = {module.split(".")[0] for module in imports(path)}
    assert not packages & {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}, name(path)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.keyword) and node.arg == "weights_only":
            is_safe = isinstance(node.value, ast.Constant) and node.value.value is True
            assert is_safe, f"{name(path)}:{node.value.lineno} reads a pickle"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            is_safe = isinstance(node.value, ast.Constant) and node.value.value is False
            assert is_safe, f"{name(path)}:{node.value.lineno} reads a pickle"


@pytest.mark.parametrize("path", MACHINERY, ids=name)
def test_machinery_never_branches_on_the_name_of_a_method(path: Path) -> None:
    """Only on its NEEDS. Outside the trainer "sft" is also the stage that every run starts from."""
    names = METHOD_NAMES if "train" in path.parts else METHOD_NAMES - {"sft"}
    found = [f"{name(path)}:{line} compares with {value!r}" for line, value in compared_strings(path) if value in names]
    assert not found, found


def test_no_file_is_too_long() -> None:
    folders = ("methods", "prefrepro", "workflow", "tests", "bench")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    long = {path: lines for path, lines in lengths.items() if lines > LONGEST}
    assert not long, f"over {LONGEST} lines: {long}"


def test_every_method_file_has_its_header_in_literals() -> None:
    """NAME is the file's name, PAPER a string, NEEDS = Needs(...) of literals: the planner reads the text."""
    for path in METHODS:
        if path.stem not in METHOD_NAMES:
            continue
        values = {
            target.id: node.value
            for node in tree(path).body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        assert ast.literal_eval(values["NAME"]) == path.stem, name(path)
        assert isinstance(ast.literal_eval(values["PAPER"]), str), name(path)
        needs = values["NEEDS"]
        assert isinstance(needs, ast.Call) and not needs.args, name(path)
        assert all(keyword.arg and isinstance(keyword.value, ast.Constant) for keyword in needs.keywords), name(path)
