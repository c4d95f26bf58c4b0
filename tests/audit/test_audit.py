"""The audit of what is really printed: all 119 numbers, read from the table specs."""

from __future__ import annotations

import functools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from shared import SHARED

from prefrepro.csv_schema.schema import read_csv
from prefrepro.studies.audit.audit import SCHEMA, Audited, audit, write
from prefrepro.studies.audit.page import adjacent, page
from prefrepro.studies.audit.printed import Printed, decimals, read_printed


@functools.cache
def printed() -> tuple[Printed, ...]:
    return tuple(read_printed())


@functools.cache
def audited() -> tuple[Audited, ...]:
    return tuple(audit(printed()))


def of_table(paper: str, table: str) -> list[Audited]:
    return [one for one in audited() if (one.printed.paper, one.printed.table) == (paper, table)]


def test_every_printed_number_is_there() -> None:
    """As runs.json lists them, which was written from the papers by another hand."""
    runs = SHARED / "runs.json"
    if not runs.exists():
        pytest.skip(f"{runs} is not there")
    cells = json.loads(runs.read_text(encoding="utf-8"))["cells"]
    theirs = Counter((cell["paper"], f"table{cell['table']}", cell["published"]) for cell in cells)
    assert Counter((one.paper, one.table, one.reported) for one in printed()) == theirs


def test_53_of_66_are_counts_of_256() -> None:
    """docs/judging.md#printed-counts, with the thirteen that are not."""
    pairwise = [one for one in audited() if one.printed.evaluation == "pairwise"]
    assert len(pairwise) == 66 and {one.printed.n for one in pairwise} == {256}
    misfits = {
        status: Counter(o.printed.text for o in pairwise if o.status == status) for status in ("half", "impossible")
    }
    assert misfits == {
        "half": {"45.90": 1, "48.24": 1, "63.48": 1, "61.13": 3, "67.38": 1, "65.43": 2},
        "impossible": {"67.78": 2, "64.85": 1, "72.48": 1},
    }
    assert sum(one.status == "count" for one in pairwise) == 53
    assert {one.printed.text for one in pairwise if one.status == "count" and one.found[256][0].how == "truncated"} == {
        "72.26", "74.60", "72.65",
    }  # fmt: skip


def test_alpaca_eval_of_rpo_is_of_800_less_what_was_dropped() -> None:
    """docs/judging.md#rpo-on-alpacaeval; the last batch of 32 was never generated."""
    alpaca = [one for one in audited() if one.printed.paper == "rpo" and one.printed.evaluation == "alpaca_eval"]
    assert {one.printed.n for one in alpaca} == {800} and len({one.printed.text for one in alpaca}) == 8
    assert not [one for one in alpaca if one.status == "impossible"]
    assert {one.printed.text for one in alpaca if one.status == "fewer"} == {"30.84", "31.24", "35.47"}


def test_swepo_prints_no_counts() -> None:
    """Shares of a win, averages over generations, and length-controlled rates: the last have no count at all."""
    swepo = [one for one in audited() if one.printed.paper == "swepo"]
    assert {one.status for one in swepo} == {"no_count"} and {one.printed.n for one in swepo} == {805}
    fitted = [one for one in swepo if one.printed.metric == "lc_wr"]
    assert len(fitted) == 18 and not any(one.found or one.p for one in fitted)


def test_the_one_run_that_is_printed_twice_differently() -> None:
    disagree = {(one.printed.table, one.printed.text) for one in audited() if not one.agrees}
    assert disagree == {("table1", "15.19"), ("table3", "15.18")}
    headline = next(one for one in of_table("rpo", "table1") if one.printed.row == "rpo-paired")
    assert {twin.table for twin in headline.twins} == {"table3", "table4", "table6", "table7", "table8"}


@pytest.mark.parametrize(
    ("table", "significant"),
    [
        ("table1", [0]),
        ("table3", [0]),
        ("table4", [1, 2, 4, 4, 5]),
        ("table6", [0, 0]),
        ("table7", [2, 0, 0]),
        ("table8", [2, 2, 2]),
    ],
)
def test_adjacent_cells_as_judging_counts_them(table: str, significant: list[int]) -> None:
    """docs/judging.md#printed-differences, column by column."""
    lines = adjacent(of_table("rpo", table)).values()
    assert [sum(p < 0.05 for p in line) for line in lines] == significant


def test_the_page_says_what_was_found() -> None:
    text = page(audited())
    for said in (
        "53 of 66 printed numbers are k/256 (6 of them cut, not rounded); 9 only k.5/256, that is k/512; 4 none",
        "paired (τ = 0.5) 78.52 vs DPO 72.26 at n = 256: p = 0.10; 80 % power wants 739 prompts per row.",
        "0 of 4 adjacent cells differ significantly.",
        "74.60 (truncated) and 74.61 (rounded) are the same 191/256.",
        "29 of 73 differences from a table's baseline are significant at 5 %, each tested alone; 6 of them are printed "
        "again elsewhere, and of the 67 different ones 27 are. Adjusted by Holm's method: 19 within their tables, 13 "
        "over all.",
        "12 % would be k/800, and 92 % would pass as something: passing says next to nothing.",
        "n = 256: at 70 % another row must lie 7.6 points above or 8.2 below to be significant, and 11.3 away",
        "1,180 (prompt correlation 0.18) or 834 (prompt correlation 0.42) prompts",
        "Length-controlled win rates are fitted by a regression: no k/n",
        "KTO, HH, LLaMA2-7B: 67.78 is no k/256 and no k/512: it is no count at all.",
    ):
        assert said in text, said
    assert text.count("## rpo") == 7 and text.count("## swepo") == 4
    assert "nan" not in text and "None" not in text


def test_it_is_written_and_read_back(tmp_path: Path) -> None:
    write(audited(), tmp_path / "audit.csv")
    back = read_csv(tmp_path / "audit.csv", SCHEMA)
    assert len(back) == 119
    row = back.set_index(["paper", "table", "row", "column"]).loc[("rpo", "table1", "rpo-paired", "win-rate")]
    assert (row["of_256"], row["of_512"], row["agrees"], row["prompts_needed"]) == ("201/256", "402/512", "yes", 739)
    assert row["p"] == pytest.approx(0.1001, abs=1e-4) and row["difference"] == 6.26


def test_a_number_of_one_judging_must_be_the_same_everywhere() -> None:
    one = printed()[0]
    found = audit([one, replace(one, table="other"), replace(one, table="third", reported=72.27)])
    assert [finding.agrees for finding in found] == [False, False, False]
    assert audit([replace(one, verdict_id=""), replace(one, verdict_id="", table="x")])[0].twins == []


def test_decimals_are_those_of_the_table() -> None:
    assert (decimals([75.0, 72.26, 74.6]), decimals([75.0]), decimals([])) == (2, 0, 0)
    assert {one.decimals for one in printed()} == {2}
