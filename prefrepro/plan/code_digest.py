"""Digest of the code that a job runs through, read from source without importing it."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

from prefrepro.files import ROOT
from prefrepro.plan.code_cache import CodeCache
from prefrepro.specs.method import parse

_HERE = Path(__file__)
PARSED = CodeCache(_HERE.with_name("__pycache__") / "code_digest.json", hashlib.sha256(_HERE.read_bytes()).hexdigest())
"""What `_parsed` found."""


@cache
def _digest_line(path: Path) -> str:
    """Name and digest of what a file does: Python without comments and docstrings, other files byte by byte."""
    digest = _python(path)[0] if path.suffix == ".py" else hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{path.relative_to(ROOT)} {digest}"


def _python(path: Path) -> tuple[str, list[str]]:
    """Digest of what a Python file does, blind to comments and docstrings, and the modules of ours that it imports.

    Read together and kept (code_cache.py), because parsing is most of what a plan costs, and each job plans.
    """
    return PARSED.get(path, _parsed)


def _parsed(path: Path) -> tuple[str, list[str]]:
    tree, names = parse(path), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # Strings that stand alone are docstrings, of fields too.
            node.body = [n for n in node.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    ours = sorted(name for name in names if name.split(".")[0] in ("prefrepro", "methods"))
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), ours


@cache
def _module_file(name: str) -> Path | None:
    base = ROOT / Path(*name.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def code_files(module: str) -> tuple[Path, ...]:
    """The files of ours that `module` runs through: itself, its imports, and data files beside any of them."""
    found: set[Path] = set()
    queue = [module]
    while queue:
        path = _module_file(queue.pop())
        if path is None or path in found:
            continue
        found.add(path)
        queue += _python(path)[1]
    PARSED.save()
    data = {
        file
        for folder in {path.parent for path in found}
        for pattern in ("*.yaml", "*.txt", "prompts/*.txt", "templates/*")
        for file in folder.glob(pattern)
    }
    return tuple(sorted(found | data))


@cache
def code_digest(module: str, extra: tuple[Path, ...] = ()) -> str:
    """Comment-blind digest of everything `module` runs through, and of `extra` files."""
    lines = [_digest_line(path) for path in sorted({*code_files(module), *extra})]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
