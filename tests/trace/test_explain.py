"""A cell's chain, and the comparison of two folders, on a small real results folder."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from checkout import Checkout
from trace_world import make_table

from prefrepro.csv_schema.schema import read_csv, write_csv
from prefrepro.errors import UserError
from prefrepro.inspect.diff import diff
from prefrepro.inspect.explain import explain
from prefrepro.inspect.explain_text import as_text
from prefrepro.inspect.report.folder import read_folder
from prefrepro.inspect.report.page import document
from prefrepro.inspect.results import open_results
from prefrepro.inspect.verify import verify

CELL = "rpo/table1/rpo-paired/win-rate"


def test_the_chain_goes_down_to_the_data(world: Checkout) -> None:
    told = explain(open_results(world.results), CELL)
    assert json.loads(json.dumps(told)) == told
    assert told["printed"] == {
        "value": 78.52,
        "where": "Table 1",
        "row": "RPO, embedding reweighting, paired (τ = 0.5)",
        "column": "Win Rate",
    }
    assert told["cell"]["n_seeds"] == len(told["seeds"]) == 2
    nodes = {node["id"]: node for node in world.nodes(seeds=2)}
    jobs = told["jobs"]
    own = [name for name in nodes if nodes[name]["kind"] != "table" and "dpo_" not in name]
    assert set(jobs) == set(own)
    for name, job in jobs.items():
        assert job["inputs"] == nodes[name]["inputs"]
        assert job["code_digest"] == nodes[name]["spec"]["code_digest"]
        assert job["folder"] == nodes[name]["folder"]
        assert job["versions"]["torch"] and job["hardware"]["cpus"] and job["wall_s"] >= 0
        assert set(job["files"]) >= {nodes[name]["done"]}
    first = told["seeds"][0]
    assert jobs[first["verdict"]]["inputs"] == {"sample": first["sample"]}
    assert jobs[first["verdict"]]["facts"]["judge_served"] == "embedded-world-judge"
    run = jobs[first["run"]]
    (data,) = (job for job in jobs.values() if job["kind"] == "data")
    assert run["facts"]["data_sha256"] == data["facts"]["sha256"]["train"]
    assert [jobs[seed["run"]]["seed"] for seed in told["seeds"]] == [1, 2]


def test_the_text_says_every_job_once(world: Checkout) -> None:
    told = explain(open_results(world.results), "rpo/table1/rpo-paired")
    text = as_text(told)
    told["jobs"][told["seeds"][0]["verdict"]]["facts"]["replies_cached"] = 4
    assert "4, not asked again: other rows, or an earlier attempt, had asked for the same texts" in as_text(told)
    for name in told["jobs"]:
        assert text.count(f"{name}\n") == 1, name
    for word in ("seed 2 of 2", "printed           78.52", "Table 1", "code_digest", "hardware", "judge_served"):
        assert word in text


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("rpo/table1/rpo-pared/win-rate", f"Did you mean {CELL}"),
        ("rpo/table1/paired-rpo/rate-win", f"Did you mean {CELL}"),
        ("rpo/table1/uniform/win-rate", "is planned and not made yet; make it with: snakemake table1"),
        ("rpo/table1", f"is 2 cells; expected one of\n  rpo/table1/dpo/win-rate seeds=2\n  {CELL} seeds=2"),
        ("table9", "Its tables: rpo/table1"),
    ],
)
def test_a_cell_that_is_not_there(world: Checkout, wanted: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        explain(open_results(world.results), wanted)
    assert said in str(caught.value)


def test_results_of_an_older_version_say_what_their_manifests_know(results: Path) -> None:
    shutil.rmtree(results / "records")
    told = explain(open_results(results), CELL)
    first = told["seeds"][0]
    assert told["jobs"][first["verdict"]]["inputs"] == {"sample": first["sample"]}
    assert told["jobs"][first["run"]]["facts"]["method"] == "rpo_paired"
    assert "made by an older version" in as_text(told)


def test_the_commands(world: Checkout) -> None:
    shown = world.prefrepro("explain", CELL, "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["address"] == f"{CELL} seeds=2"
    assert world.prefrepro("explain", "rpo/table1/rpo-pared").returncode == 2
    same = world.prefrepro("diff", str(world.results), str(world.results))
    assert same.returncode == 0, same.stderr
    assert "2 cells compared, 0 moved" in same.stdout


def judged(results: Path, words: list[str]) -> None:
    """Let the rpo-paired row of the first seed be judged otherwise, and its cell say so."""
    cells = read_csv(results / "cells.csv", "cells")
    row = cells["row"].tolist().index("rpo-paired")
    for verdict_id in str(cells.loc[row, "verdict_id"]).split(";"):
        path = results / "verdicts" / verdict_id / "verdicts.csv"
        frame = read_csv(path, "verdicts")
        frame["verdict"] = words
        frame["score"] = [{"win": 1.0, "loss": 0.0}[word] for word in words]
        write_csv(frame, path, "verdicts")
    cells.loc[row, "value"] = 100 * words.count("win") / len(words)
    write_csv(cells, results / "cells.csv", "cells")


def test_a_cell_that_moved_is_told_from_noise(world: Checkout, results: Path) -> None:
    before = results.parent / "before"
    shutil.copytree(results, before)
    judged(before, ["loss"] * 32)
    judged(results, ["win"] * 32)
    moved = diff(open_results(before), open_results(results))
    told = {cell.address: cell for cell in moved.cells}
    assert not moved.is_same
    assert told[CELL].is_significant and told[CELL].method == "t_seeds_prompts"
    assert (told[CELL].delta, told[CELL].tested, told[CELL].n) == (100.0, 100.0, 32)
    assert told["rpo/table1/dpo/win-rate"].method == "identical"
    back = {cell.address: cell for cell in diff(open_results(results), open_results(before)).cells}
    assert back[CELL].tested == -100.0
    assert back[CELL].p == told[CELL].p
    done = world.prefrepro("diff", str(before), str(results), "--csv")
    assert done.returncode == 1
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["row"]: row["is_significant"] for row in rows} == {"dpo": "false", "rpo-paired": "true"}
    told = json.loads(world.prefrepro("diff", str(before), str(results), "--json").stdout)
    assert told["is_same"] is False
    assert {cell["address"]: cell["is_significant"] for cell in told["cells"]}[CELL] is True


def test_one_verdict_more_is_noise(world: Checkout, results: Path) -> None:
    words = read_csv(next(results.glob("verdicts/rpo-paired_*/verdicts.csv")), "verdicts")["verdict"].tolist()
    judged(results, ["win" if place == words.index("loss") else word for place, word in enumerate(words)])
    moved = diff(open_results(world.results), open_results(results))
    assert moved.is_same
    assert {cell.address: cell.is_significant for cell in moved.cells}[CELL] is False


def test_other_prompts_are_no_pairs(world: Checkout, results: Path) -> None:
    """201 against 164 of 256, the method's counts: p of the score test, by hand z = 3.62, so p = 0.0003."""
    cells = read_csv(results / "cells.csv", "cells").iloc[:1].copy()
    rate = {"value": 78.515625, "ci_low": 73.08, "ci_high": 83.11, "ci_method": "wilson", "n": 256, "n_seeds": 1}
    for side, value in ((world, 78.515625), (None, 64.0625)):
        folder = results if side is None else results.parent / "a"
        folder.mkdir(exist_ok=True)
        own = rate | {"value": value, "verdict_id": None}
        write_csv(cells.assign(**own).astype({"verdict_id": "string"}), folder / "cells.csv", "cells")
    (cell,) = diff(open_results(results.parent / "a"), open_results(results)).cells
    assert cell.method == "two_proportions"
    assert cell.n == 512
    assert cell.p == pytest.approx(0.000305, abs=1e-5)
    assert cell.ci_low is not None and cell.ci_high is not None and cell.ci_low < -14.453 < cell.ci_high < 0


def test_cells_of_one_side_and_other_settings(world: Checkout, results: Path) -> None:
    cells = read_csv(results / "cells.csv", "cells")
    own = pd.concat([cells, cells.iloc[:1].assign(row="new")]).iloc[1:].assign(scale="pocket", judge="vllm")
    write_csv(own, results / "cells.csv", "cells")
    moved = diff(open_results(world.results), open_results(results))
    assert moved.only_a == ["rpo/table1/dpo/win-rate"]
    assert moved.only_b == ["rpo/table1/new/win-rate"]
    assert moved.settings["scale"] == [["embedded"], ["pocket"]]
    assert moved.settings["judge"] == [["embedded-world"], ["vllm"]]
    assert not moved.is_same
    assert moved.cells[0].differs == {"scale": ["embedded", "pocket"], "judge": ["embedded-world", "vllm"]}


def test_variants_stand_side_by_side(world: Checkout, tmp_path: Path) -> None:
    """One seed beside two of the same table: neither overwrites the other, and every command tells them apart."""
    shutil.copytree(world.root, tmp_path / "checkout")
    checkout = Checkout(tmp_path / "checkout", copy=False)
    two_seeds = (checkout.results / "tables/rpo_table1__seeds-2.md").read_bytes()
    assert "Settings: seeds=2." in checkout.prefrepro("show", "table1").stdout, "the only one there is"
    new = checkout.prefrepro("plan", "table1", "--new").stdout
    assert "1 table, 1 new" in new and "2 run, 0 new" in new
    make_table(checkout, {})
    assert (checkout.results / "tables/rpo_table1__seeds-2.md").read_bytes() == two_seeds
    cells = read_csv(checkout.results / "cells.csv", "cells")
    assert cells.groupby("variant")["n_seeds"].agg(list).to_dict() == {"default": [1, 1], "seeds=2": [2, 2]}
    assert "Settings:" not in checkout.prefrepro("show", "table1").stdout
    assert "2 seeds" in checkout.prefrepro("show", "table1", "seeds=2").stdout
    other = checkout.prefrepro("show", "table1", "seeds=5").stderr
    assert "snakemake table1 --config seeds=5" in other and other.endswith("takes too:\n  seeds=2\n")

    results = open_results(checkout.results)
    assert explain(results, CELL)["cell"]["n_seeds"] == 1
    assert explain(results, CELL, "seeds=2")["address"] == f"{CELL} seeds=2"
    with pytest.raises(UserError, match="is not made with the settings seeds=5; expected one of"):
        explain(results, CELL, "seeds=5")
    assert verify(results).is_whole

    done = checkout.prefrepro("diff", "results/embedded", "seeds=2", "--json")
    told = json.loads(done.stdout)
    assert [cell["address"] for cell in told["cells"]] == ["rpo/table1/dpo/win-rate", CELL], done.stderr
    assert told["settings"]["variant"] == [["default"], ["seeds=2"]]
    assert "expected one of: default, seeds=2" in checkout.prefrepro("diff", "seeds=2", "seeds=5").stderr

    tables = document(read_folder(checkout.results, {"scale": "embedded"}))["tables"]
    assert [table["id"] for table in tables] == ["rpo/table1", "rpo/table1@seeds=2"]
    assert {len(cell["seeds"]) for cell in tables[1]["cells"]} == {2}
