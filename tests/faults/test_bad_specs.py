"""Table specs, method files and config that cannot be: refused before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkout import Checkout

TABLE = "paper_tables/rpo/table1.yaml"
Refused = Callable[..., str]

pytestmark = pytest.mark.usefixtures("earlier")

ROWS = [
    ({"method": "rpo_pared"}, ['method "rpo_pared" is unknown', "Did you mean rpo_paired?"]),
    ({"method": None}, ["method"]),
    ({"method": ["dpo"]}, ["method"]),
    ({"hparams": {"beta": -0.1}}, ["beta is -0.1", "expected > 0"]),
    ({"hparams": {"beta": float("inf")}}, ["beta is inf", "expected a finite number"]),
    ({"hparams": {"beta": "much"}}, ["beta is 'much'", "expected a number"]),
    ({"hparams": {"bata": 0.1}}, ['no hyper-parameter "bata"', "Did you mean beta?"]),
    ({"hparams": [0.1]}, ["hparams", "mapping"]),
    ({"reported": {"win-rate": "72,26"}}, ["reported.win-rate: found '72,26', expected a number"]),
    ({"reported": {"winrate": 72.26}}, ['"winrate" is unknown', "Did you mean win-rate?"]),
    ({"reported": 72.26}, ["reported", "mapping"]),
    ({"reprted": {"win-rate": 72.26}}, ['"reprted" is unknown', "Did you mean reported?"]),
    ({"training": {"learning_rate": 1.0e-6}}, ['"learning_rate" is unknown', "rows.dpo.training"]),
    ({"training": 3}, ["training", "mapping"]),
]
TABLES = [
    ({"titel": "Ways"}, [f"{TABLE}, line", '"titel" is unknown', "Did you mean title?"]),
    ({"title": None}, [f'{TABLE}, line 1: "title" is missing']),
    ({"baseline": "dop"}, ['baseline: "dop" is no row', "Did you mean dpo?"]),
    ({"evaluation": "poem"}, ['evaluation "poem" is unknown', "Known: dialogue, summarization"]),
    ({"kind": "picture"}, ["kind: found 'picture'", "cells, configuration or samples"]),
    ({"model": "mistral-8b"}, ['model "mistral-8b"', "scale embedded has nothing", "Did you mean mistral-7b?"]),
    ({"dataset": "hhh"}, ['dataset "hhh"', "Did you mean hh?"]),
    ({"evaluation": None}, ['columns.win-rate: "evaluation" is missing']),
    ({"embedder": "minilm"}, ['embedder "minilm"']),
    ({"columns": ["win-rate"]}, ["columns", "mapping"]),
    ({"rows": ["dpo"]}, ["rows", "mapping"]),
    (
        {"columns": {"win-rate": {"label": "Win Rate", "metric": "winrate"}}},
        ["found 'winrate'", "win_rate_pct"],
    ),
]


@pytest.mark.parametrize(("row", "said"), ROWS)
def test_bad_row(checkout: Checkout, refused: Refused, row: dict[str, Any], said: list[str]) -> None:
    checkout.edit_yaml(TABLE, {"rows": {"dpo": row}})
    refused(checkout.prefrepro("plan", "table1"), TABLE, "rows.dpo", *said)


@pytest.mark.parametrize(("change", "said"), TABLES)
def test_bad_table(checkout: Checkout, refused: Refused, change: dict[str, Any], said: list[str]) -> None:
    checkout.edit_yaml(TABLE, change)
    refused(checkout.prefrepro("plan", "table1"), TABLE, *said)


@pytest.mark.parametrize("content", [None, "a sentence", [1, 2], {"rows": {"dpo": "dpo"}}])
def test_a_spec_of_another_form(checkout: Checkout, refused: Refused, content: Any) -> None:
    if isinstance(content, dict):
        checkout.edit_yaml(TABLE, content)
    else:
        checkout.write_yaml(TABLE, content)
    refused(checkout.prefrepro("plan", "table1"), TABLE, "mapping")


def test_all_problems_are_reported_together(checkout: Checkout, refused: Refused) -> None:
    rows = {"dpo": {"hparams": {"beta": -1}}, "uniform": {"method": "rpo_unifrom"}}
    checkout.edit_yaml(TABLE, {"baseline": "kto", "rows": rows})
    (checkout.root / "paper_tables/rpo/table9.yaml").write_text("titel: one more\n", encoding="utf-8")
    message = refused(
        checkout.prefrepro("plan"), "beta is -1", "Did you mean rpo_uniform?", '"kto" is no row', '"titel"'
    )
    assert message.index("table1.yaml") < message.index("table9.yaml")
    assert "table9" not in refused(checkout.prefrepro("plan", "table1"), "beta is -1", '"kto" is no row')


def test_a_broken_spec_stops_its_own_table_alone(checkout: Checkout, refused: Refused) -> None:
    """Also in the workflow, where the table has its target all the same, which says what is wrong."""
    whole = checkout.prefrepro("plan", "table1")
    checkout.edit_yaml("paper_tables/rpo/table4.yaml", {"rows": {"dpo": {"method": "dop"}}})
    assert checkout.prefrepro("plan", "table1").stdout == whole.stdout and whole.returncode == 0
    for words in (["plan", "table4"], ["plan"], ["forecast", "table4"]):
        refused(
            checkout.prefrepro(*words), "paper_tables/rpo/table4.yaml, line ", "rows.dpo: method", "Did you mean dpo?"
        )
    dry = checkout.snakemake("table1", "-n", "--quiet")
    assert dry.returncode == 0, dry.stderr
    for target in ("table4", "tables"):
        done = checkout.snakemake(target, "-n")
        assert done.returncode != 0 and 'rows.dpo: method "dop" is unknown' in done.stdout + done.stderr


def test_a_broken_paper_stops_its_own_tables_alone(checkout: Checkout, refused: Refused) -> None:
    checkout.edit_yaml("paper_tables/swepo/paper.yaml", {"training": {"lr": "fast"}})
    assert checkout.prefrepro("plan", "table1").returncode == 0
    refused(
        checkout.prefrepro("plan", "swepo_table1"),
        "paper_tables/swepo/paper.yaml, line ",
        "training.lr: found 'fast', expected a number above 0",
    )


HEAD = """title: t
where: w
model: mistral-7b
dataset: hh
metric: win_rate_pct
evaluation: dialogue
columns: {win-rate: {}}
"""
YAML = [
    ("title: a\ntitle: b\n", ["line 2", "'title' a second time"]),
    ("title: &a a\nwhere: *a\n", ["line 1", "anchor or alias 'a'"]),
    ("title: !!binary aGk=\n", ["line 1", "found the tag"]),
    ("2026: a\n", ["line 1", "key '2026', expected text"]),
    ("title: " + "[" * 60 + "]" * 60, ["line 1", "more than 50 levels"]),
    (
        HEAD + "rows: {dpo: {method: dpo, training: {lr: 1e-6x}}}\n",
        ["line 8, rows.dpo.training.lr: found '1e-6x', expected"],
    ),
    (
        HEAD + "rows: {dpo: {method: dpo, training: {batch_size: 1:30}}}\n",
        ["batch_size: found '1:30', expected a whole"],
    ),
    (
        HEAD + "rows: {dpo: {method: dpo, reported: {win-rate: .nan}}}\n",
        ["win-rate: found nan, expected a number"],
    ),
    (HEAD + "rows: {dpo: {method: dpo, evaluate: no}}\n", ["evaluate: found 'no'", "true or false"]),
    (HEAD + "rows: {dpo: {method: dpo}}\nscales: embedded\n", ["scales: found 'embedded'", "a list of texts"]),
]


@pytest.mark.parametrize(("text", "said"), YAML, ids=range(len(YAML)))
def test_what_could_be_read_in_two_ways(checkout: Checkout, refused: Refused, text: str, said: list[str]) -> None:
    (checkout.root / TABLE).write_text(text, encoding="utf-8")
    refused(checkout.prefrepro("plan", "table1"), TABLE, *said)


def test_invalid_yaml_is_named_by_file_and_line(checkout: Checkout, refused: Refused) -> None:
    checkout.edit(TABLE, "  uniform:\n", "  uniform: {\n")
    lines = (checkout.root / TABLE).read_text(encoding="utf-8").splitlines()
    message = refused(checkout.prefrepro("plan", "table1"), TABLE, "line ")
    numbers = [int(part.split(",")[0]) for part in message.split("line ")[1:]]
    assert any(abs(number - lines.index("  uniform: {") - 1) <= 2 for number in numbers)


METHODS = [
    ('NAME = "dpo"', 'NAME = "dop"', ['NAME is "dop"', 'expected "dpo"']),
    ('NAME = "dpo"', 'NAME = "d" + "po"', ["header", "not literal"]),
    ('shape="paired"', 'shape="pa" + "ired"', ["header", "not literal"]),
    ("= 0.1", "= 1 / 10", ["header", "not literal"]),
    ("= 0.1", "", ["header", "field without default"]),
    ("class Hparams", "class Parameters", ["header", "Hparams"]),
    ('"> 0"', '"positive"', ["positive", "is not understood"]),
    ("def loss(batch", "def loss(batch,,", ["line ", "no valid Python"]),
]


@pytest.mark.parametrize(("old", "new", "said"), METHODS)
def test_a_bad_method_file(checkout: Checkout, refused: Refused, old: str, new: str, said: list[str]) -> None:
    checkout.edit("methods/dpo.py", old, new)
    refused(checkout.prefrepro("plan", "table1"), "methods/dpo.py", *said)


CONFIGS = [
    (["seeds=two"], ["--config seeds: found 'two'", "at least 1"]),
    (["seeds=0"], ["seeds: found 0"]),
    (["scale=embeded"], ["Did you mean embedded?"]),
    (["scale=[embedded"], ["--config scale", "not valid YAML"]),
    (["scale=[embedded]"], ["--config scale"]),
    (["reading=text", "protocol=both"], ["2 problems", "paper or code", "paper or robust"]),
    (["judge=opnai"], ["Did you mean openai?"]),
    (["budget_usd=-1"], ["budget_usd: found -1"]),
    (["budget_usd=.nan"], ["budget_usd: found nan"]),
    (["budget_usd=true"], ["budget_usd: found True"]),
    (["seed=2"], ['"seed" is unknown', "Did you mean seeds?"]),
    (["hh_files=no/such/file.jsonl"], ["no/such/file.jsonl: no such file", "a folder or a glob"]),
    (["hh_files=*.jsonl.gz"], ["*.jsonl.gz: no such file"]),
    (["hh_files=2024"], ["2024: no such file"]),
    (["decoding=warm"], ["decoding: found 'warm'", "paper or code"]),
    (["decodin=code"], ['"decodin" is unknown', "Did you mean decoding?"]),
]


@pytest.mark.parametrize(("config", "said"), CONFIGS)
def test_bad_config(checkout: Checkout, refused: Refused, config: list[str], said: list[str]) -> None:
    refused(checkout.prefrepro("plan", "table1", *config), *said)


FILES = [
    ("config/scales/embedded.yaml", {"trainning": {}}, ["config/scales/embedded.yaml", "Did you mean training?"]),
    ("config/scales/embedded.yaml", {"training": {"lrate": 1}}, ["config/scales/embedded.yaml", '"lrate" is unknown']),
    ("config/scales/embedded.yaml", {"sampling": {"top": 1}}, ["config/scales/embedded.yaml", '"top" is unknown']),
    (
        "config/scales/embedded.yaml",
        {"sampling": {"engine": "vlm"}},
        ["sampling.engine: found 'vlm'", "continuous or vllm."],
    ),
    ("config/scales/embedded.yaml", {"sampling": {"seed_per": 1}}, ["seed_per", "draw or batch"]),
    ("config/scales/embedded.yaml", {"models": {"mistral-7b": "tiny-mistrl"}}, ["tiny-mistrl", "Did you mean"]),
    ("config/scales/embedded.yaml", {"models": None}, ["config/scales/embedded.yaml", "models"]),
]


@pytest.mark.parametrize(("path", "change", "said"), FILES)
def test_bad_scale(checkout: Checkout, refused: Refused, path: str, change: dict[str, Any], said: list[str]) -> None:
    checkout.edit_yaml(path, change)
    refused(checkout.prefrepro("plan", "table1"), *said)


@pytest.mark.parametrize("path", ["config/scales/embedded.yaml", "paper_tables/rpo/paper.yaml"])
def test_a_missing_or_empty_file(checkout: Checkout, refused: Refused, path: str) -> None:
    (checkout.root / path).write_text("", encoding="utf-8")
    refused(checkout.prefrepro("plan", "table1"), path)
    (checkout.root / path).unlink()
    refused(checkout.prefrepro("plan", "table1"), Path(path).stem)


def test_a_bad_judge_is_found_before_anything_is_trained(checkout: Checkout, refused: Refused) -> None:
    checkout.write_yaml("config/judges/mine.yaml", {"name": "mine", "kind": "api", "modell": "x"})
    message = refused(checkout.prefrepro("plan", "table1", "judge=mine"), "config/judges/mine.yaml")
    for part in ('"modell" is unknown', '"model" is missing', '"base_url" is missing', '"price_usd_per_mtok"'):
        assert part in message


def test_broken_machinery_is_named_by_file_and_line(checkout: Checkout, refused: Refused) -> None:
    checkout.edit("prefrepro/model/learner.py", "def gradient_step(", "def gradient_step((")
    refused(checkout.prefrepro("plan", "table1"), "prefrepro/model/learner.py, line ", "no valid Python")
