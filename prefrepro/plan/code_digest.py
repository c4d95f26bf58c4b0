"""Digest of the code that can move a job's numbers, read from source without importing it.

Comments, docstrings and the words of errors do not count, and what only checks, writes files or reports is left out:
settings are part of a node's spec, with their values.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

from prefrepro.files import ROOT
from prefrepro.specs.method import parse

MOVES_NO_NUMBER = ("prefrepro.errors", "prefrepro.files", "prefrepro.provenance", "prefrepro.specs")
"""Modules, and packages with all that is in them."""


@cache
def code_digest(*modules: str) -> str:
    """SHA-256 over what these modules and everything of ours that they import do."""
    lines = [f"{path.relative_to(ROOT)} {_digest(path)}" for path in code_files(*modules)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@cache
def code_files(*modules: str) -> tuple[Path, ...]:
    """The files of ours that the modules run through: themselves, their imports, and data files beside any of them."""
    found: set[Path] = set()
    queue = list(modules)
    while queue:
        name = queue.pop()
        path = None if _is_left_out(name) else _module_file(name)
        if path is not None and path not in found:
            found.add(path)
            queue += _python(path)[1]
    data = {
        file
        for folder in {path.parent for path in found}
        for pattern in ("*.yaml", "*.txt", "prompts/*.txt", "templates/*")
        for file in folder.glob(pattern)
    }
    return tuple(sorted(found | data))


def _is_left_out(name: str) -> bool:
    return any(name == left_out or name.startswith(f"{left_out}.") for left_out in MOVES_NO_NUMBER)


@cache
def _module_file(name: str) -> Path | None:
    base = ROOT / Path(*name.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def _digest(path: Path) -> str:
    return _python(path)[0] if path.suffix == ".py" else hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _python(path: Path) -> tuple[str, list[str]]:
    """Digest of what a Python file does, and the modules of ours that it imports."""
    tree, names = parse(path), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # Strings that stand alone are docstrings, of fields too.
            node.body = [n for n in node.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            node.exc.args, node.exc.keywords = [], []
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    ours = sorted(name for name in names if name.split(".")[0] in ("prefrepro", "methods"))
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), ours
