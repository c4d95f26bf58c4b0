"""config/{datasets,models,embedders}: what is shipped passes, what is wrong is one message that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from prefrepro.data.sources import BUILDERS
from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.model.embedders import KINDS
from prefrepro.specs.sources import SHAPES, check_named

SHIPPED = [path for folder in SHAPES for path in sorted((ROOT / "config" / folder).glob("*.yaml"))]
HUB = {"kind": "hub", "repo": "a/b"}
HH = {"kind": "hh", "repo": "a/b", "on_bad_row": "stop", "parts": {"train": 1.0}}
WORLD = {"kind": "world", "form": "pairs", "seed": 0, "parts": {"train": 0.5, "eval": 0.5}}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_is_shipped_passes(path: Path) -> None:
    check_named(path.parent.name, path.stem, yaml.safe_load(path.read_text(encoding="utf-8")))


def test_every_kind_that_can_be_read_can_be_written() -> None:
    assert set(SHAPES["datasets"]) == set(BUILDERS)
    assert set(SHAPES["embedders"]) == set(KINDS)


@pytest.mark.parametrize(
    ("folder", "mapping", "expected"),
    [
        ("models", {}, r"config/models/x\.yaml: kind is missing\. Known: hub, package, scratch"),
        ("models", {"kind": "hubb"}, r"kind is 'hubb'\..* Did you mean hub\?"),
        ("models", {"kind": ["hub"]}, "kind is "),
        ("models", {"kind": "hub"}, '"repo" is missing'),
        ("models", HUB | {"revison": "abc"}, r'"revison" is unknown\..*Did you mean revision\?'),
        ("models", HUB | {"template": "chatml"}, "template: found 'chatml', expected role_tags or chat"),
        ("models", {"kind": "scratch", "vocab_size": 0, "config": {"a": 1}, "seed": 0, "pretraining": {"lr": 1}},
         "vocab_size: found 0, expected a whole number of at least 1"),
        ("embedders", {"kind": "bag-of-words", "batch_size": 64}, '"threads" is missing'),
        ("embedders", {"kind": "bag-of-words", "batch_size": True, "threads": 1}, "batch_size: found True"),
        ("datasets", HH | {"parts": {"train": 0.9}}, "parts: found {'train': 0.9}, expected shares"),
        ("datasets", HH | {"parts": {"train": 0.9, "test": 0.1}}, "expected shares of train, eval, dev and judge"),
        ("datasets", HH | {"parts": {"train": 1.2, "eval": -0.2}}, "expected shares of train, eval, dev and judge"),
        ("datasets", HH | {"turns": "one"}, "turns: found 'one', expected all or single"),
        ("datasets", HH | {"on_bad_row": "ignore"}, "on_bad_row: found 'ignore', expected stop or skip"),
        ("datasets", {k: v for k, v in HH.items() if k != "repo"}, 'none of "repo", "files" and "download"'),
        ("datasets", HH | {"files": 3}, "files: found 3, expected a path"),
        ("datasets", WORLD | {"task": "dialogue", "temperature": 1.0}, '"rows" is missing'),
        ("datasets", WORLD | {"form": "triples"}, "form: found 'triples', expected pairs, ranked"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(folder: str, mapping: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        check_named(folder, "x", mapping)


def test_all_problems_come_together() -> None:
    with pytest.raises(UserError) as error:
        check_named("models", "x", {"kind": "hub", "repo": "", "revison": 3})
    assert len(error.value.problems) == 2
