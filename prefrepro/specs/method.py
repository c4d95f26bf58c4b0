"""The header of a method file, read from its source without importing it: planning must not load torch."""

from __future__ import annotations

import ast
import math
import operator
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT, show

_COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
WITHOUT_REFERENCE = ("logp", "logp_per_token")
"""What may stand for the reward of a method that needs no reference"""
_NOT_METHODS = {"__init__", "contract"}


@dataclass(frozen=True, slots=True)
class Field:
    """One hyper-parameter of a method."""

    default: Any
    constraint: str | None
    """« > 0» or «0 <= x <= 1», from Annotated[float, …]"""
    choices: tuple[Any, ...] | None
    """from Literal[…]"""

    def problem(self, value: Any) -> str | None:
        """What is wrong with `value`, or None."""
        if self.choices is not None:
            is_known = any(type(value) is type(choice) and value == choice for choice in self.choices)
            return None if is_known else f"expected one of {', '.join(map(str, self.choices))}"
        if isinstance(self.default, bool):
            return None if isinstance(value, bool) else "expected true or false"
        if isinstance(self.default, int | float):
            if isinstance(value, bool) or not isinstance(value, int | float):
                return "expected a number"
            if not math.isfinite(value):
                return "expected a finite number"
            if self.constraint and not _holds(self.constraint, value):
                return f"expected {self.constraint.replace('x', 'value')}"
        elif isinstance(self.default, str) and not isinstance(value, str):
            return "expected text"
        return None


@dataclass(frozen=True, slots=True)
class Method:
    """The header of methods/<name>.py."""

    name: str
    paper: str
    needs: dict[str, Any]
    hparams: dict[str, Field]
    summary: str
    """first line of the module's docstring"""
    path: Path
    is_extension: bool
    """EXTENSION = True: beyond the papers, so that no table of theirs may use it"""
    reward: str = "logp"
    """REWARD = "logp_per_token": what its reward orders responses by, where it needs no reference. Held-out pairs are
    ranked so."""


def _holds(constraint: str, value: float) -> bool:
    parts = re.fullmatch(r"(?:([-\d.]+)\s*(<=?)\s*x\s*)?(<=?|>=?)\s*([-\d.]+)", constraint.strip())
    if parts is None:
        raise ValueError(f'the constraint "{constraint}" is not understood; write "> 0" or "0 <= x <= 1"')
    low, low_op, op, bound = parts.groups()
    if low is not None and not _COMPARISONS[low_op](float(low), value):
        return False
    return _COMPARISONS[op](value, float(bound))


def method_names() -> list[str]:
    """Every file of methods/ that is a method."""
    return sorted(path.stem for path in (ROOT / "methods").glob("*.py") if path.stem not in _NOT_METHODS)


def parse(path: Path) -> ast.Module:
    """A Python file's syntax tree. Raises UserError naming file and line."""
    try:
        return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except SyntaxError as error:
        raise UserError(f"{show(path)}, line {error.lineno}: no valid Python, {error.msg}") from error


@cache
def read_method(name: str) -> Method:
    """The header of methods/<name>.py. Raises UserError for an unknown name or a header that is not literal."""
    path, known = ROOT / "methods" / f"{name}.py", method_names()
    if name not in known:  # asked of the list, not of the disk: a name may be no path at all
        raise UserError(f'method "{name:.80}" is unknown. Known: {", ".join(known)}.{nearest(name, known)}')
    return read_header(path)


def read_header(path: Path) -> Method:
    """The header of a method file, wherever it stands. Raises UserError where it is not literal."""
    tree, name = parse(path), path.stem
    values = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    try:
        needs_call = values["NEEDS"]
        assert isinstance(needs_call, ast.Call) and not needs_call.args
        needs = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in needs_call.keywords}
        header = ast.literal_eval(values["NAME"]), ast.literal_eval(values["PAPER"])
        reward = ast.literal_eval(values["REWARD"]) if "REWARD" in values else "logp"
        is_extension = "EXTENSION" in values and ast.literal_eval(values["EXTENSION"]) is True
        body = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Hparams").body
        fields = {
            node.target.id: _field(node)
            for node in body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
    except (KeyError, ValueError, AssertionError, StopIteration) as error:
        raise UserError(
            f"{show(path)}: the header is incomplete or not literal ({error!r}). Expected NAME, PAPER, "
            "NEEDS = Needs(keyword=literal, …) and a dataclass Hparams whose fields have literal defaults."
        ) from error
    if header[0] != name:
        raise UserError(f'{show(path)}: NAME is "{header[0]}", expected "{name}", the file\'s name')
    if reward not in WITHOUT_REFERENCE or ("REWARD" in values and needs.get("reference", True)):
        raise UserError(
            f"{show(path)}: REWARD is {reward!r}; expected {' or '.join(WITHOUT_REFERENCE)}, in a file whose NEEDS say "
            "reference=False. With a reference the reward is the log-ratio, and nothing is to be said: drop REWARD"
        )
    summary = (ast.get_docstring(tree) or "").partition("\n")[0]
    return Method(name, header[1], needs, fields, summary, path, is_extension, reward)


def _field(node: ast.AnnAssign) -> Field:
    if node.value is None:
        raise ValueError(f"line {node.lineno}: a field without default")
    constraint, choices = None, None
    if isinstance(node.annotation, ast.Subscript) and isinstance(node.annotation.value, ast.Name):
        inner = node.annotation.slice
        elements = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if node.annotation.value.id == "Annotated":
            constraint = ast.literal_eval(elements[1])
            _holds(constraint, 0)  # is it understood? said here, where the file is known
        elif node.annotation.value.id == "Literal":
            choices = tuple(ast.literal_eval(element) for element in elements)
    return Field(ast.literal_eval(node.value), constraint, choices)


def hparam_problems(method: Method, given: dict[str, Any]) -> list[str]:
    """Everything wrong with hyper-parameters given to a method, one sentence each."""
    problems = []
    for key, value in given.items():
        if key not in method.hparams:
            known = ", ".join(method.hparams) or "none"
            problems.append(
                f'{method.name} has no hyper-parameter "{key}". Known: {known}.{nearest(key, method.hparams)}'
            )
        elif problem := method.hparams[key].problem(value):
            problems.append(f"{method.name}: {key} is {value!r:.80}; {problem}")
    return problems
