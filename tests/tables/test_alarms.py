"""What stands under a table: judges that do not read, and trainings that went wrong."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from table_helpers import judged

from prefrepro.files import write_json, write_text
from prefrepro.tables.alarms import alarms
from prefrepro.tables.cells import build_cells
from prefrepro.tables.render import table_meta, write_table

N = 200


def placed(make_verdicts, first_wins: int) -> pd.DataFrame:
    """N verdicts, half of them with the candidate first; `first_wins` of each 10 go to the answer shown first."""
    orders = ["candidate_first" if i % 2 else "baseline_first" for i in range(N)]
    won = [(i // 2 % 10 < first_wins) == (order == "candidate_first") for i, order in enumerate(orders)]
    return make_verdicts("d", ["win" if one else "loss" for one in won], order=orders)


def said(make_cell, tmp_path: Path, frame: pd.DataFrame) -> list[str]:
    return alarms([make_cell("dpo", ["d"])], tmp_path, {"d": frame}.__getitem__)


@pytest.mark.parametrize(
    ("first_wins", "expected"),
    [
        (10, "the answer shown first won more than 90 % of the decided verdicts (DPO 100.0 %)"),
        (0, "the answer shown second won more than 90 % of the decided verdicts (DPO 100.0 %)"),
        (7, "position bias: the answer shown first wins 10 points more or less often than a judge without bias would"),
        (5, None),
    ],
)
def test_a_judge_that_prefers_a_place(make_cell, make_verdicts, tmp_path: Path, first_wins: int, expected) -> None:
    found = said(make_cell, tmp_path, placed(make_verdicts, first_wins))
    assert len(found) == (expected is not None)
    assert all(one.startswith("Win Rate, judge gpt-4-0613: ") and expected in one for one in found)


def test_where_the_candidate_always_stood_first_place_and_content_are_one(make_cell, make_verdicts, tmp_path) -> None:
    assert said(make_cell, tmp_path, make_verdicts("d", ["win"] * N)) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["win", "loss"] * 90 + ["invalid"] * 20, "many verdicts are invalid (DPO 10.0 %)"),
        (["tie"] * 120 + ["win", "loss"] * 40, "most verdicts are ties (DPO 60.0 %)"),
    ],
)
def test_invalid_verdicts_and_ties(make_cell, make_verdicts, tmp_path: Path, words, expected: str) -> None:
    (found,) = said(make_cell, tmp_path, make_verdicts("d", words))
    assert expected in found


def test_two_orders_that_contradict_each_other(make_cell, make_verdicts, tmp_path: Path) -> None:
    """60 of 100 prompts: the first answer wins in both orders, or the second does, equally often."""
    both = [
        make_verdicts("d", [("win", "loss")[i % 2 ^ (at if i < 60 else 0)] for i in range(100)], order=order)
        for at, order in enumerate(("candidate_first", "baseline_first"))
    ]
    (found,) = said(make_cell, tmp_path, pd.concat(both, ignore_index=True))
    assert "mostly name different winners (DPO 60.0 %)" in found


def test_ratings_that_are_all_one_number(make_cell, make_verdicts, tmp_path: Path) -> None:
    frame = make_verdicts("d", ["win"] * 100).assign(verdict="rated", score=[7.0] * 95 + [3.0] * 5, order="turn_1")
    (found,) = said(make_cell, tmp_path, frame)
    assert "nearly all ratings are one number (DPO 95.0 % are 7)" in found


def test_labels_are_no_judge_and_few_verdicts_say_nothing(make_cell, make_verdicts, tmp_path: Path) -> None:
    odd = make_verdicts("d", ["tie"] * N, judge_asked="held-out labels")
    assert said(make_cell, tmp_path, odd) == [] == said(make_cell, tmp_path, make_verdicts("d", ["tie"] * 19))


def test_one_alarm_for_a_column_names_three_rows(make_cell, make_verdicts, tmp_path: Path) -> None:
    frame = make_verdicts("d", ["tie"] * N)
    cells = [make_cell(f"row{i}", [f"d{i}"]) for i in range(5)] + [make_cell("twice", ["d0"], column_label="LC")]
    (found,) = alarms(cells, tmp_path, lambda _: frame)
    assert "(ROW0 100.0 %; ROW1 100.0 %; ROW2 100.0 % and 2 more rows)" in found


@pytest.mark.parametrize(("method", "expected"), [("dpo", 1), ("sft", 0)])
def test_a_training_whose_chosen_log_prob_collapsed(make_cell, make_verdicts, tmp_path: Path, method, expected) -> None:
    """Of SFT no reward is a log-ratio, so that no fall can be told."""
    row = {"method": method, "hparams": '{"beta": 0.1}'}
    write_json(tmp_path / "runs" / "r-d" / "run.json", {"row": row})
    write_text(
        tmp_path / "runs" / "r-d" / "metrics.csv",
        "step,rewards/chosen,logps/chosen,rewards/margins\n10,-0.9,-10,0.5\n",
    )
    found = said(make_cell, tmp_path, make_verdicts("d", ["win", "loss"] * 100))
    assert len(found) == expected
    assert all("Training of DPO, Win Rate: The chosen log-prob fell by 900 %" in one for one in found)


def test_every_format_shows_them_below_the_cells(make_cell, make_verdicts, tmp_path: Path) -> None:
    from dataclasses import replace

    cells = [make_cell("dpo", ["d"])]
    meta = replace(table_meta(cells, "RPO Table 1"), alarms=["HH: <b> 95 % & more."])
    write_table(build_cells(cells, judged({"d": make_verdicts("d", ["win"] * N)})), meta, tmp_path)
    texts = {path.suffix: path.read_text(encoding="utf-8") for path in tmp_path.glob("rpo_table1.*")}
    assert "**Alarm.** HH: &lt;b&gt; 95 % &amp; more." in texts[".md"].partition("| DPO")[2]
    assert "<b>Alarm.</b> HH: &lt;b&gt; 95 % &amp; more." in texts[".html"].partition("</table>")[2]
    assert r"\textbf{Alarm.} HH: \textless{}b\textgreater{} 95 \% \& more." in texts[".tex"].partition("tabular}")[2]
    (row,) = csv.DictReader(texts[".csv"].splitlines())
    assert row["note"] == "Alarm. HH: <b> 95 % & more."
