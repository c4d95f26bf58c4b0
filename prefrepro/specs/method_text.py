"""What a method file says to a reader: its docstrings, its loss as written, the meaning of each hyper-parameter.

Read from source without importing it (method.py reads the header). Model cards and the documentation quote it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from prefrepro.specs.method import parse


@dataclass(frozen=True, slots=True)
class MethodText:
    """The words of methods/<name>.py."""

    about: str
    """The module's docstring"""
    loss: str
    """The docstring of `loss`: equation and shapes"""
    source: str
    """`loss` and what else of the file it is made of, without header and imports"""
    hparams_about: str
    hparams: dict[str, str]
    """Hyper-parameter -> what its docstring says; empty where it has none"""


def method_text(path: Path) -> MethodText:
    """The words of a method file. Raises UserError where it is no Python."""
    tree, lines = parse(path), path.read_text(encoding="utf-8").splitlines()
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    loss = next((node for node in functions if node.name == "loss"), None)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Hparams"]
    return MethodText(
        about=ast.get_docstring(tree) or "",
        loss=(ast.get_docstring(loss) or "") if loss else "",
        source="\n\n\n".join("\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in functions),
        hparams_about=(ast.get_docstring(classes[0]) or "") if classes else "",
        hparams=_field_docs(classes[0]) if classes else {},
    )


def _field_docs(body: ast.ClassDef) -> dict[str, str]:
    docs = {}
    for node, after in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            is_said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            docs[node.target.id] = " ".join(str(after.value.value).split()) if is_said else ""  # pyright: ignore
    return docs
