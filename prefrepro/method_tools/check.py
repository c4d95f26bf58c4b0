"""Does a method file meet the contract of methods/contract.py? First its text, then what its loss does.

Lists everything that is wrong, not the first thing only. Loads torch: the command imports it when it runs.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
import traceback
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

from methods.contract import LossOutput, Needs
from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT, show
from prefrepro.method_tools.check_loss import FIRST, RULES, LossCheck, Problem
from prefrepro.method_tools.random_batches import CLASSES
from prefrepro.specs.method import Method, method_names, parse, read_header

LONGEST = {"rollout": 150}
"""Lines of a file by shape, else 90: what learns from rollouts also estimates advantages."""
SOURCE = re.compile(r"arXiv:\d{4}\.\d{4,5}|https?://|\bdoi\b|\b(19|20)\d\d\b|\bours\b", re.IGNORECASE)
EXAMPLE = "compare with methods/dpo.py"


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one file."""

    file: str
    problems: list[Problem]
    not_reached: list[str]
    """Rules that could not be held against it, because an earlier one is broken."""

    @property
    def is_ok(self) -> bool:
        return not self.problems

    def status(self, rule: str) -> str:
        """ok, fails or not reached"""
        if any(problem.rule == rule for problem in self.problems):
            return "fails"
        return "not reached" if rule in self.not_reached else "ok"

    def as_json(self) -> dict[str, Any]:
        """Plain values: the file, whether it is ok, and every rule with its problems."""
        rules = [
            {
                "rule": rule,
                "status": self.status(rule),
                "problems": [asdict(problem) for problem in self.problems if problem.rule == rule],
            }
            for rule in RULES
        ]
        return {"file": self.file, "ok": self.is_ok, "rules": rules}


def check_method(path: Path) -> Report:
    """Hold a file, or the method of a name, against every rule. Raises UserError where there is no such Python file."""
    if not path.exists() and (named := ROOT / "methods" / f"{path.name}.py").is_file():
        path = named
    if not path.is_file() or path.suffix != ".py":
        near = nearest(path.stem, method_names()).replace("mean ", "mean methods/").replace("?", ".py?")
        raise UserError(f"{path} is no Python file. Expected a method file, such as methods/dpo.py.{near}")
    path = path.resolve()
    file, problems = show(path), []
    try:
        tree = parse(path)
        method = read_header(path)
    except UserError as error:
        problems.append(Problem("header", str(error), "a header of plain literals", file, EXAMPLE))
        return Report(file, problems, [rule for rule in RULES if rule != "header"])
    problems += _header(method, file) + _docstrings(tree, file) + _length(path, method, file)
    rules = list(RULES)
    late, of_loss = rules[rules.index("import") :], rules[rules.index(FIRST) :]
    module = _load(path, file, problems)
    if module is None or any(problem.rule == "header" for problem in problems):
        return Report(file, problems, late[module is None :])
    problems += _hparams(module, method, tree, file) + _signature(module, method, tree, file)
    not_reached = of_loss
    if not any(problem.rule in ("hparams", "signature") for problem in problems):
        hparams = module.Hparams()
        choices = {
            name: [choice for choice in field.choices if choice != field.default]
            for name, field in method.hparams.items()
            if field.choices is not None
        }
        where = f"{file}, line {_lines(tree).get('loss', 1)}, loss"
        check = LossCheck(module.loss, module.NEEDS, hparams, choices, where, method.reward)
        if check.run():
            not_reached = []
        problems += check.problems
    return Report(file, problems, [rule for rule in not_reached if not any(p.rule == rule for p in problems)])


def _lines(tree: ast.Module) -> dict[str, int]:
    """Line of every name that the module's top level defines."""
    return {node.name: node.lineno for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def _header(method: Method, file: str) -> list[Problem]:
    """NEEDS is read without running it, so a typing error would be found in the middle of a training."""
    found: list[tuple[str, str, str]] = []
    hints, needs = get_type_hints(Needs), method.needs
    for name, value in needs.items():
        if name not in hints:
            found.append((f"NEEDS has {name}", f"one of {', '.join(hints)}", nearest(name, hints).strip() or EXAMPLE))
            continue
        # bool, Literal[…] or Literal[…] | None
        parts = [part for kind in (get_args(hints[name]) or ()) for part in (get_args(kind) or (kind,))]
        allowed = [None if part is type(None) else part for part in parts] or [True, False]
        if not any(type(value) is type(choice) and value == choice for choice in allowed):
            near = nearest(str(value), [str(choice) for choice in allowed]).strip()
            found.append((f"NEEDS {name}={value!r}", f"one of {', '.join(map(repr, allowed))}", near or EXAMPLE))
    if "shape" not in needs:
        found.append(("NEEDS has no shape", 'shape="paired", "unpaired", "ranked" or "rollout"', EXAMPLE))
    if not isinstance(method.paper, str) or not method.paper.strip():
        found.append((f"PAPER is {method.paper!r}", 'text such as "arXiv:2305.18290", or "ours"', "name the source"))
    found += [] if found else _misfits(Needs(**needs))
    return [Problem("header", what, expected, file, next_step) for what, expected, next_step in found]


def _misfits(needs: Needs) -> list[tuple[str, str, str]]:
    """(found, expected, next step) where values of NEEDS do not go together: the trainer would not heed them."""
    shape, rows = needs.shape, needs.rows
    has_vectors, is_paired = needs.embeddings is not None, shape == "paired"
    rules = [
        ((shape == "ranked") != (rows == "groups"), f'rows="{rows}"', 'rows="groups" for ranked and nothing else'),
        (is_paired and rows not in ("pairs", "groups"), f'rows="{rows}"', 'rows="pairs", the default'),
        (has_vectors and shape not in ("paired", "unpaired"), "embeddings", "embeddings for paired and unpaired only"),
        (
            is_paired and needs.embeddings == "prompt+response",
            'embeddings="prompt+response"',
            'embeddings="prompt", one vector per pair; or shape="unpaired", one per response',
        ),
        (needs.mismatched and shape != "unpaired", "mismatched", "mismatched for unpaired only"),
        (needs.reference_rewards and not is_paired, "reference_rewards", "reference_rewards for paired only"),
        (needs.output == "score" and needs.reference, 'output="score" with a reference', "reference=False"),
    ]
    rules = [(is_wrong, f'NEEDS shape="{shape}" and {what}', expected) for is_wrong, what, expected in rules]
    return [(what, expected, "change NEEDS") for is_wrong, what, expected in rules if is_wrong]


def _docstrings(tree: ast.Module, file: str) -> list[Problem]:
    found: list[tuple[str, str, int]] = []
    text = ast.get_docstring(tree)
    if not text or not SOURCE.search(text):
        what = "names no source" if text else "is missing"
        found.append((f"the module's docstring {what}", 'such as "(Yin et al., 2024, arXiv:2402.10958)", or "ours"', 1))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "loss" and not ast.get_docstring(node):
            found.append(("loss has no docstring", "its equation, then shapes and units", node.lineno))
        if not isinstance(node, ast.ClassDef) or node.name != "Hparams":
            continue
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            is_documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and not is_documented:
                what = f"hyper-parameter {ast.unparse(field.target)} has no docstring"
                found.append((what, "a string on the line after it: meaning, unit, the paper's symbol", field.lineno))
    return [Problem("docstrings", what, expected, f"{file}, line {line}", "write it") for what, expected, line in found]


def _length(path: Path, method: Method, file: str) -> list[Problem]:
    n_lines = len(path.read_text(encoding="utf-8").splitlines())
    longest = LONGEST.get(method.needs.get("shape", ""), 90)
    if n_lines <= longest:
        return []
    hint = "a different formula is a different file; what is no formula belongs to the trainer"
    return [Problem("length", f"{n_lines} lines", f"at most {longest}", file, hint)]


def _load(path: Path, file: str, problems: list[Problem]) -> ModuleType | None:
    """The file as a module of its own name, so that it may stand anywhere and be checked again."""
    spec = importlib.util.spec_from_file_location(f"checked_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 - whatever a method raises is what is reported
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f"{file}, line {frames[-1].lineno}" if frames else file
        hint = "a method imports torch, the standard library and methods.contract"
        problems.append(Problem("import", f"{type(error).__name__}: {error}", "no error", where, hint))
        return None
    return module


def _hparams(module: ModuleType, method: Method, tree: ast.Module, file: str) -> list[Problem]:
    where = f"{file}, line {_lines(tree).get('Hparams', 1)}, Hparams"
    if not getattr(getattr(module.Hparams, "__dataclass_params__", None), "frozen", False):
        found = "a dataclass that is not frozen" if is_dataclass(module.Hparams) else "no dataclass"
        return [Problem("hparams", found, "@dataclass(frozen=True, slots=True)", where, EXAMPLE)]
    try:
        module.Hparams()
    except Exception as error:  # noqa: BLE001 - whatever a method raises is what is reported
        return [Problem("hparams", f"{type(error).__name__}: {error}", "defaults that can be made", where, EXAMPLE)]
    return [
        Problem("hparams", f"{name} = {field.default!r}", problem, where, "change the default or the constraint")
        for name, field in method.hparams.items()
        if (problem := field.problem(field.default))
    ]


def _signature(module: ModuleType, method: Method, tree: ast.Module, file: str) -> list[Problem]:
    wanted = CLASSES[method.needs["shape"]]
    expected = f"loss(batch: {wanted.__name__}, hp: Hparams) -> LossOutput"
    where = f"{file}, line {_lines(tree).get('loss', 1)}"
    loss = getattr(module, "loss", None)
    if not inspect.isfunction(loss):
        return [Problem("signature", "no function loss", expected, file, EXAMPLE)]
    parameters = list(inspect.signature(loss).parameters.values())
    try:
        hints = get_type_hints(loss)
    except NameError as error:
        return [Problem("signature", f"an annotation that is no type: {error}", expected, where, EXAMPLE)]
    kinds = {p.kind for p in parameters}
    annotations = [hints.get(parameter.name) for parameter in parameters]
    if (
        len(parameters) == 2
        and kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
        and annotations == [wanted, module.Hparams]
        and hints.get("return") is LossOutput
    ):
        return []
    hint = "annotate it so, or change NEEDS.shape; what else it needs comes in the batch"
    return [Problem("signature", f"loss{inspect.signature(loss)}", expected, where, hint)]
