"""YAML as this project reads it: what PyYAML makes of the shipped files, and nothing that reads in two ways."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml

from prefrepro.model import optimizer as optim
from prefrepro.model.load import DTYPES as TORCH_DTYPES
from prefrepro.plan.kinds import KINDS
from prefrepro.specs.evaluation import EVALUATIONS, PREFERENCE
from prefrepro.specs.scale import ByKind
from prefrepro.specs.settings import Dtype, EvaluationSettings, Optimizer
from prefrepro.specs.yaml_loader import load_yaml

ROOT = Path(__file__).parents[1]
SHIPPED = [file for folder in ("config", "paper_tables") for file in sorted((ROOT / folder).rglob("*.yaml"))]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_files_hold_what_pyyaml_finds(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert repr(load_yaml(text)) == repr(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5), ("5.0e-7", 5e-7), (".5", 0.5), ("-3", -3), ("+4.", 4.0), ("012", "012"), ("1:30", "1:30"),
        ("1_000", "1_000"), ("0x10", "0x10"), ("yes", "yes"), ("no", "no"), ("on", "on"), ("true", True), ("~", None),
        ("2026-11-21", "2026-11-21"), (".inf", math.inf), ("-.inf", -math.inf), ("9" * 18, 10**18 - 1),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = load_yaml(f"key: {text}")["key"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    ["a: 1\na: 2", "{a: 1, a: 1}", "1: a", "true: a", "? [a]\n: b", "&x a", "[*x]", "!!set {a}", "!x a", "[" * 200_000,
     "- " * 100_000, "a: \0", "a: 1\n---\nb: 2", "a: '"],
    ids=range(14),
)  # fmt: skip
def test_what_reads_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)


def test_the_rules_know_what_the_trainer_knows() -> None:
    assert set(get_args(Optimizer)) == set(optim.OPTIMIZERS)
    assert set(get_args(Dtype)) == set(TORCH_DTYPES)
    assert set(get_args(get_type_hints(EvaluationSettings)["evaluation"])) == {*EVALUATIONS, PREFERENCE}
    assert set(ByKind.__annotations__) == set(KINDS)
