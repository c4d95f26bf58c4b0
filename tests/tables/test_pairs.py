"""pairs.csv: every two rows and columns, and Holm over what a paper compares."""

from __future__ import annotations

import pandas as pd
import pytest
from table_helpers import judged

from prefrepro.csv_schema.schema import validate_frame
from prefrepro.stats.paired import holm
from prefrepro.tables.pairs import build_pairs, over_papers


@pytest.fixture
def sets(make_verdicts) -> dict[str, pd.DataFrame]:
    return {
        name: make_verdicts(name, ["win"] * k + ["loss"] * (100 - k)) for name, k in (("a", 20), ("b", 50), ("c", 52))
    }


def test_every_two_rows_by_hand(make_cell, sets) -> None:
    """20, 50 and 52 wins, each within the next: 30, 32 and 2 prompts won by one alone."""
    cells = [make_cell(name, [name]) for name in "abc"]
    frame = build_pairs(cells, ["rows"], judged(sets))
    validate_frame(frame, "pairs", "built")
    pairs = frame.to_dict("records")
    assert [(pair["first"], pair["second"], round(pair["diff"], 6)) for pair in pairs] == [
        ("a", "b", -30), ("a", "c", -32), ("b", "c", -2),
    ]  # fmt: skip
    assert [pair["p"] for pair in pairs] == pytest.approx([2 / 2**30, 2 / 2**32, 0.5])
    assert [pair["p_holm_table"] for pair in pairs] == pytest.approx(holm([2 / 2**30, 2 / 2**32, 0.5]))
    assert [(pair["diff_low"] < 0 < pair["diff_high"]) for pair in pairs] == [False, False, True]
    assert {pair["first_rank"] for pair in pairs if pair["first"] == "a"} == {"3"}
    assert {pair["second_rank"] for pair in pairs if pair["second"] == "c"} == {"1–2"}


def test_columns_are_compared_where_the_table_is_about_them(make_cell, sets) -> None:
    cells = [make_cell("rpo", [name], column=f"beta-{name}") for name in "ab"]
    assert build_pairs(cells, ["rows"], judged(sets)).empty
    (pair,) = build_pairs(cells, ["rows", "columns"], judged(sets)).to_dict("records")
    assert (pair["compared"], pair["place"], pair["first"], pair["second"]) == ("columns", "rpo", "beta-a", "beta-b")


def test_the_same_comparison_in_two_tables_is_one_of_the_paper(make_cell, sets) -> None:
    """a against b stands in two tables: Holm over the paper is over two comparisons, not three."""
    cells = [make_cell(name, [name]) for name in "ab"]
    again = [make_cell(f"row-{name}", [name], table="table4") for name in "bac"[:2]]
    other = [make_cell(name, [name], table="table6") for name in "bc"]
    frames = [build_pairs(one, ["rows"], judged(sets)) for one in (cells, again, other)]
    joined = over_papers(pd.concat(frames, ignore_index=True))
    expected = holm([2 / 2**30, 0.5])
    assert joined["p_holm_paper"].tolist() == pytest.approx([expected[0], expected[0], expected[1]])


def test_rows_without_verdicts_are_not_compared(make_cell, make_verdicts, sets) -> None:
    wins = {"w": make_verdicts("w", ["invalid"] * 100)}
    cells = [make_cell("a", ["a"], protocol="robust"), make_cell("cited", [])]
    assert build_pairs(cells, ["rows"], judged(sets | wins)).empty
