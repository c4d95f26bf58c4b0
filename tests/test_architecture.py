"""docs/architecture.md as tests: which way imports point, what planning loads, what no module may do.

Every import counts, wherever in a file it stands: in a function, because it is the same knowledge, only later; under
TYPE_CHECKING too, because a type is knowledge as well. One test leaves the latter out: that of the digest.
"""

from __future__ import annotations

import ast
import graphlib
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
METHODS = sorted((ROOT / "methods").glob("*.py"))
MACHINERY = sorted((ROOT / "prefrepro").rglob("*.py"))
WORKFLOW = sorted((ROOT / "workflow").rglob("*.py"))
OTHER_LIBRARIES = {"rpo_ot": {"ot"}}
"""What one method imports beside torch: the Sinkhorn algorithm of a well-kept library, not one of our own."""
METHOD_NAMES = {path.stem for path in METHODS} - {"__init__", "contract"}

FLOORS = (
    (("workflow",),),
    (("__main__",),),
    (("cli",),),
    (("studies",),),
    (("inspect",),),
    (("jobs",),),
    (("tables",), ("judge", "sample", "train", "model"), ("plan",)),
    (("data",), ("method_tools",)),
    (("stats",), ("csv_schema",)),
    (("specs",),),
    (("methods",), ("provenance", "files", "errors")),
)
"""The rooms, top to bottom: folders and modules of prefrepro/, and its neighbours workflow/ and methods/.

A room imports from lower floors. Rooms in one bracket stand on one floor, the first above the next; of rooms in two
brackets of a floor neither knows the other.
"""
PLACES = {
    room: (floor, column, step)
    for floor, columns in enumerate(FLOORS)
    for column, rooms in enumerate(columns)
    for step, room in enumerate(rooms)
}
ROOT_MODULES = 5
"""Most modules that may stand at the root of prefrepro/; `__init__` is none."""
OUTSIDE = {"snakemake", "workflow", "tests", "bench", "docs"}
"""What neither a method nor the machinery may import."""
DIGEST = ("prefrepro.model", "prefrepro.data", "methods.contract", "prefrepro.errors", "prefrepro.files")
"""All that prefrepro/model may rest on. What else moves a number belongs there too, so that a code digest covers it."""
SNAKEMAKE = re.compile(r"\.snakemake\b|\bSNAKEMAKE_|^snakemake$")
"""Its folder, its variables, its command as one word of a command line; a message may name a command to run next."""
LIGHT = {
    "specs": [path for path in MACHINERY if path.parent.name == "specs"],
    "plan": [path for path in MACHINERY if path.parent.name == "plan"],
    "jobs": [ROOT / "prefrepro" / "jobs" / "main.py"],
    "cli": [ROOT / "prefrepro" / "cli" / "main.py"],
    "method_tools": [ROOT / "prefrepro" / "method_tools" / "new.py"],
}
"""What a Snakefile, parsed again in every job, or a help page loads."""
FILE = re.compile(r"[a-z_/]+\.py\b")
FILES_OF_OTHERS = {
    "add_markdown_info.py", "common.py", "compare.py", "compute_metrics.py", "data_utils.py", "dataloader.py",
    "decoders/openai.py", "distributed/run.py", "eval.py", "fix_overall_score_issue.py", "gen_judgment.py",
    "gen_model_answer.py", "glm_winrate.py", "judge_utils.py", "models.py", "my_dpo.py", "preference_trainer.py",
    "processors.py", "reward_trainer.py", "show_result.py", "trainers.py", "utils.py", "x.py",
}  # fmt: skip
"""Files of released code that comments point at, and names of examples."""
HEAVY = {"torch", "transformers", "pandas", "pandera", "scipy", "matplotlib"}
FOLDERS = ("methods", "prefrepro", "workflow", "tests", "bench", "docs")
"""All that holds Python of ours."""
LONGEST = 400
LONG_FOR_A_REASON: dict[str, str] = {}
"""File -> why it is longer. None is."""


def name(path: Path) -> str:
    """The path below the repository, for test ids and messages."""
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=name(path))


def module_of(path: Path) -> str:
    """The dotted name of a file; of `__init__.py` the package's."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path) for path in METHODS + MACHINERY + WORKFLOW}


def nodes_of(path: Path, with_types: bool) -> Iterator[ast.AST]:
    """Every node of a file; those under `if TYPE_CHECKING:`, which never run, only where asked for."""
    waiting: list[ast.AST] = [tree(path)]
    while waiting:
        node = waiting.pop()
        yield node
        if not with_types and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def imported(path: Path, with_types: bool = True) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every module that a file imports, wherever in it."""
    for node in nodes_of(path, with_types):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}:{node.lineno}: write a relative import in full"
            module = node.module or ""
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield node.lineno, inner if inner in MODULES else module


def imports(path: Path, with_types: bool = True) -> set[str]:
    """Dotted names of the modules that a file imports."""
    return {module for _, module in imported(path, with_types)}


def room_of(module: str) -> str | None:
    """The room of a module of ours; None for a library."""
    package, *inner = module.split(".")
    if package == "prefrepro":
        return inner[0] if inner else None
    return package if package in ("methods", "workflow") else None


def is_below(room: str, other: str) -> bool:
    """Whether `other` may import `room`, or is it."""
    (floor, column, step), (their_floor, their_column, their_step) = PLACES[room], PLACES[other]
    return floor > their_floor or ((floor, column) == (their_floor, their_column) and step >= their_step)


def below(room: str) -> set[str]:
    """The rooms of prefrepro that stand below a room."""
    return {other for other in PLACES if other != room and is_below(other, room)} - {"methods"}


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


@pytest.mark.parametrize("path", MACHINERY + WORKFLOW, ids=name)
def test_imports_point_down(path: Path) -> None:
    room = room_of(module_of(path))
    if room is None:
        return  # prefrepro/__init__.py, which must stay empty
    assert room in PLACES, f"{name(path)} is in no room: give {room} its place in FLOORS, or move the file"
    wrong = []
    for line, module in imported(path):
        other = room_of(module)
        if other is not None and not (other in PLACES and is_below(other, room)):
            wrong.append(f"{name(path)}:{line} imports {module}, but {other} is not below {room}")
    assert not wrong, "\n".join([*wrong, "Move what both need down, or hand it in as an argument. Order: FLOORS"])


@pytest.mark.parametrize("path", MACHINERY, ids=name)
def test_machinery_knows_neither_snakemake_nor_the_workflow(path: Path) -> None:
    found = {module for module in imports(path) if module.split(".")[0] in OUTSIDE}
    assert not found, f"{name(path)} imports {', '.join(found)}: the workflow imports the package, not the reverse"


def test_no_modules_import_each_other() -> None:
    graph = {module_of(path): imports(path) & MODULES - {module_of(path)} for path in METHODS + MACHINERY}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("a circle of imports: " + " -> ".join(reversed(error.args[1])))


def test_few_modules_stand_at_the_root() -> None:
    found = sorted(path.name for path in (ROOT / "prefrepro").glob("*.py") if path.name != "__init__.py")
    assert len(found) <= ROOT_MODULES, f"{', '.join(found)}: a module lives in a room"
    assert not (ROOT / "prefrepro" / "__init__.py").read_text(encoding="utf-8"), "importing the package does nothing"


@pytest.mark.parametrize("path", [path for path in MACHINERY if room_of(module_of(path)) == "model"], ids=name)
def test_the_digest_of_a_training_has_nothing_outside_it(path: Path) -> None:
    """All that a module of model/ reaches, by whatever way, may move a number: so it must be in the digest.

    An import under TYPE_CHECKING moves none.
    """
    paths = {module_of(one): one for one in METHODS + MACHINERY}
    ways, todo = {module_of(path): name(path)}, [module_of(path)]
    while todo:
        here = todo.pop()
        for module in (imports(paths[here], with_types=False) & MODULES) - set(ways):
            ways[module] = f"{ways[here]} -> {module}"
            assert module.startswith(DIGEST), f"{ways[module]}: outside of {', '.join(DIGEST)}"
            todo.append(module)


@pytest.mark.parametrize("path", [path for path in MACHINERY if room_of(module_of(path)) in below("jobs")], ids=name)
def test_nothing_below_jobs_knows_snakemake(path: Path) -> None:
    found = [
        f"{name(path)}:{node.lineno} says {node.value!r:.60}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SNAKEMAKE.search(node.value)
    ]
    assert not found, found


@pytest.mark.parametrize("room", LIGHT)
def test_planning_loads_nothing_heavy(room: str) -> None:
    """In a fresh interpreter, as in a job process."""
    assert LIGHT[room]
    modules = ", ".join(module_of(path) for path in LIGHT[room])
    script = f"import sys, {modules}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout.split(), f"{room} loads {done.stdout.strip()}; one of {modules} does"


@pytest.mark.parametrize("path", METHODS + MACHINERY, ids=name)
def test_every_module_can_be_imported(path: Path) -> None:
    if path.name == "__main__.py":
        pytest.skip("runs its command when imported")
    importlib.import_module(module_of(path))


@pytest.mark.parametrize("path", METHODS + MACHINERY, ids=name)
def test_every_file_that_a_comment_names_is_there(path: Path) -> None:
    """A file that was moved is found in the words of others last."""
    here = {f"/{name(one)}" for folder in FOLDERS for one in (ROOT / folder).rglob("*.py")}
    named = set(FILE.findall(path.read_text(encoding="utf-8")))
    gone = [file for file in named if not any(one.endswith(f"/{file.lstrip('/')}") for one in here)]
    ours = [file for file in gone if not f"/{file}".endswith(tuple(f"/{one}" for one in FILES_OF_OTHERS))]
    assert not ours, f"{name(path)} names {', '.join(ours)}, which is not there"


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
    names = METHOD_NAMES if room_of(module_of(path)) in ("train", "model") else METHOD_NAMES - {"sft"}
    found = [f"{name(path)}:{line} compares with {value!r}" for line, value in compared_strings(path) if value in names]
    assert not found, found


def test_no_file_is_too_long() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    long = {path: lines for path, lines in lengths.items() if lines > LONGEST and path not in LONG_FOR_A_REASON}
    assert not long, f"over {LONGEST} lines: {long}. Split it, or state the reason in LONG_FOR_A_REASON"
    short = [path for path in LONG_FOR_A_REASON if lengths.get(path, 0) <= LONGEST]
    assert not short, f"no longer long, or gone: {short}"


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
