"""The six CSVs of a results folder, and the README that explains them."""

from __future__ import annotations

import json
import multiprocessing
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from table_helpers import judged

from prefrepro.csv_schema.schema import load_schema, read_csv, write_csv
from prefrepro.errors import UserError
from prefrepro.tables.cells import build_cell_seeds, build_cells
from prefrepro.tables.collect import collect
from prefrepro.tables.pairs import build_pairs

README = Path(__file__).parents[2] / "results" / "README.md"
NAMES = ["cells", "runs", "verdicts", "judging", "pairs", "cell_seeds"]


@pytest.fixture
def results(tmp_path: Path, make_cell, make_verdicts, run_row: dict[str, Any]) -> Path:
    """results/embedded with two runs, two verdict sets and one table."""
    folder = tmp_path / "results" / "embedded"
    sets = {name: make_verdicts(name, ["win"] * k + ["loss"] * (20 - k)) for name, k in (("rpo", 15), ("dpo", 9))}
    for name, frame in sets.items():
        write_csv(frame, folder / "verdicts" / name / "verdicts.csv", "verdicts")
        (folder / "runs" / name).mkdir(parents=True)
        run = {"row": {**run_row, "run_id": f"r-{name}"}, "log": ["kept out"]}
        (folder / "runs" / name / "run.json").write_text(json.dumps(run))
    cells = [make_cell(name, [name], scale="embedded", comparable=False) for name in sets]
    write_csv(build_cells(cells, judged(sets)), folder / "tables" / "rpo_table1.cells.csv", "cells")
    pairs = build_pairs(cells, ["rows"], judged(sets))
    write_csv(pairs, folder / "tables" / "rpo_table1.pairs.csv", "pairs")
    seeds = build_cell_seeds(cells, judged(sets))
    write_csv(seeds, folder / "tables" / "rpo_table1.cell_seeds.csv", "cell_seeds")
    (folder / "tables" / "rpo_table1.csv").write_text("the wide table is no input\n")
    return folder


def contents(results: Path) -> dict[str, bytes]:
    return {name: (results / f"{name}.csv").read_bytes() for name in NAMES}


def test_collect_joins_everything(results: Path) -> None:
    collect(results)
    cells, runs, verdicts, judging, pairs, seeds = (read_csv(results / f"{name}.csv", name) for name in NAMES)
    assert list(cells["row"]) == ["dpo", "rpo"] and list(runs["run_id"]) == ["r-dpo", "r-rpo"]
    assert len(verdicts) == 40 and list(verdicts["verdict_set_id"].unique()) == ["dpo", "rpo"]
    assert list(judging["verdict_set_id"]) == ["dpo", "rpo"] and list(judging["n_verdicts"]) == [20, 20]
    assert pairs[["first", "second"]].to_numpy().tolist() == [["rpo", "dpo"]]
    assert seeds[["row", "seed", "value"]].to_numpy().tolist() == [["dpo", 1, 45.0], ["rpo", 1, 75.0]]
    run = runs.iloc[0]
    assert json.loads(run["hparams"]) == {"beta": 0.1, "tau": 0.5}
    assert run["final_loss"] == 0.1 + 0.2 and pd.isna(run["peak_mem_gb"]) and not run["dirty"]


def test_collect_is_deterministic_and_idempotent(results: Path) -> None:
    collect(results)
    first = contents(results)
    (results / "runs" / "rpo").rename(results / "runs" / "0-other-folder")
    collect(results)
    assert contents(results) == first


def test_collect_of_nothing_writes_headers(tmp_path: Path) -> None:
    collect(tmp_path)
    for name, text in contents(tmp_path).items():
        assert text.decode() == ",".join(load_schema(name).columns) + "\n"
        assert read_csv(tmp_path / f"{name}.csv", name).empty
    with pytest.raises(UserError, match="is no folder"):
        collect(tmp_path / "none")


@pytest.mark.parametrize(
    ("place", "text", "said"),
    [
        ("runs/rpo/run.json", '{"row": {"run_id"', "is no readable JSON"),
        ("runs/rpo/run.json", "[]", "has no key `row`"),
        ("runs/rpo/run.json", '{"row": {"run_id": "r"}}', "column scale is missing"),
        ("verdicts/rpo/verdicts.csv", "verdict_set_id,prompt_id\nv,p", "ends within a line"),
        ("tables/rpo_table1.cells.csv", "paper,table\n", "column row is missing"),
    ],
)
def test_a_bad_input_is_named_and_nothing_is_replaced(results: Path, place: str, text: str, said: str) -> None:
    collect(results)
    before = contents(results)
    (results / place).write_text(text)
    with pytest.raises(UserError) as caught:
        collect(results)
    assert place in str(caught.value) and said in str(caught.value)
    assert contents(results) == before


def test_a_run_in_two_folders_is_refused(results: Path) -> None:
    copied = (results / "runs" / "rpo" / "run.json").read_text()
    (results / "runs" / "rpo-copy").mkdir()
    (results / "runs" / "rpo-copy" / "run.json").write_text(copied)
    with pytest.raises(UserError, match="column run_id: a row of this key is above"):
        collect(results)


def test_a_table_of_a_version_without_variants_waits_until_it_is_made_again(results: Path) -> None:
    collect(results)
    for name in ("cells", "pairs"):
        path = results / f"tables/rpo_table1.{name}.csv"
        frame = pd.read_csv(path).drop(columns="variant").assign(table="table2")
        frame.to_csv(results / f"tables/rpo_table2.{name}.csv", index=False)
    before = contents(results)
    collect(results)
    assert contents(results) == before


def test_two_collectors_do_not_meet(results: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=collect, args=(results,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    expected = contents(results)
    collect(results)
    assert contents(results) == expected


def test_readme_code_runs(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collect(results)
    monkeypatch.chdir(results.parents[1])
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    scope: dict[str, Any] = {}
    exec(compile(block, str(README), "exec"), scope)  # noqa: S102
    assert list(scope["joined"]["by_hand"]) == list(scope["joined"]["value"]) == [45.0, 75.0]
    assert scope["hparams"]["r-dpo"] == {"beta": 0.1, "tau": 0.5}


@pytest.mark.parametrize("name", NAMES)
def test_readme_explains_every_column(name: str) -> None:
    text = README.read_text(encoding="utf-8")
    section = text.split(f"## `{name}.csv`")[1].split("\n## ")[0]
    explained = {
        word for line in re.findall(r"^\| (`.*?`) \|", section, flags=re.M) for word in re.findall(r"`(\w+)`", line)
    }
    assert explained == set(load_schema(name).columns)


def test_a_verdict_set_in_two_folders_is_refused(results: Path) -> None:
    collect(results)
    before = contents(results)
    copied = results / "verdicts" / "rpo-copy" / "verdicts.csv"
    write_csv(read_csv(results / "verdicts" / "rpo" / "verdicts.csv", "verdicts"), copied, "verdicts")
    with pytest.raises(UserError, match=r"rpo-copy.*: verdict set rpo stands in another folder too"):
        collect(results)
    assert contents(results) == before
