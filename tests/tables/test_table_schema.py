"""Tidy CSVs: what does not fit is named by source, line and column; what fits comes back unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefrepro.csv_schema.schema import MissingFileError, load_schema, read_csv, validate_frame, write_csv
from prefrepro.errors import UserError

JSON_COLUMNS = {"hparams": "{}", "versions": "{}"}


def problems(frame: pd.DataFrame, name: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        validate_frame(frame, name, "here.csv")
    return str(caught.value).split("\n")


def test_every_problem_is_named_at_once(make_verdicts) -> None:
    frame = make_verdicts("v", ["win"] * 4).astype(object)
    frame.loc[0, "order"] = "sideways"
    frame.loc[2, "verdict"] = None
    frame.loc[3, ["prompt_tokens", "cost_usd"]] = ["many", float("inf")]
    lines = problems(frame, "verdicts")
    assert lines[0].startswith("here.csv, line 2, column order: 'sideways' is not one of ['candidate_first'")
    assert lines[1] == "here.csv, line 4, column verdict: empty; expected string"
    assert lines[2].startswith("here.csv, line 5, column prompt_tokens: 'many' is not of type")
    assert lines[3].startswith("here.csv, line 5, column cost_usd: 'inf' is not of type")
    assert len(lines) == 4


def test_ten_problems_are_shown_and_the_rest_counted(make_verdicts) -> None:
    lines = problems(make_verdicts("v", ["win"] * 25, order="sideways"), "verdicts")
    assert len(lines) == 11 and lines[-1] == "and 15 more"


def test_columns_are_exact(make_verdicts) -> None:
    frame = make_verdicts("v", ["win"]).rename(columns={"verdict": "verdcit"})
    assert problems(frame, "verdicts") == [
        "here.csv, header: column verdcit is unknown. Did you mean verdict?",
        "here.csv, header: column verdict is missing",
    ]
    twice = make_verdicts("v", ["win"])
    twice = pd.concat([twice, twice["score"]], axis=1)
    assert problems(twice, "verdicts") == ["here.csv, header: column score is there more than once"]


def test_score_and_verdict_go_together(make_verdicts) -> None:
    (line,) = problems(make_verdicts("v", ["win", "loss"], score=1.0), "verdicts")
    assert line == "here.csv, line 3, column verdict+score: ('loss', 1.0) do not go together"


def test_a_key_stands_once(make_verdicts) -> None:
    frame = pd.concat([make_verdicts("v", ["win"]), make_verdicts("v", ["loss"])])
    (line,) = problems(frame, "verdicts")
    assert line.endswith("line 3, column verdict_set_id+prompt_id+draw+order: a row of this key is above")


def test_json_columns_hold_json_and_integers_fit(run_row: dict[str, Any]) -> None:
    row = {**run_row, "hparams": "{tau: 0.5}", "versions": {"torch": "2"}, "seed": 2**70}
    lines = problems(pd.DataFrame([row], dtype=object), "runs")
    assert lines[0] == "here.csv, line 2, column hparams: '{tau: 0.5}' is not JSON"
    assert lines[1] == f"here.csv, line 2, column seed: {2**70} does not fit into 64 bits"
    assert lines[2] == "here.csv, line 2, column versions: {'torch': '2'} is not of type 'string'"


def test_a_bad_frame_leaves_the_old_file_alone(make_verdicts, tmp_path: Path) -> None:
    path = tmp_path / "verdicts.csv"
    write_csv(make_verdicts("v", ["win"]), path, "verdicts")
    before = path.read_bytes()
    surrogate = pd.Series(["\ud83d"], dtype=object)
    with pytest.raises(UserError):
        write_csv(make_verdicts("v", ["win"], order="sideways"), path, "verdicts")
    with pytest.raises(UserError, match="no text that UTF-8 can hold"):
        write_csv(make_verdicts("v", ["win"]).astype(object).assign(raw_reply=surrogate), path, "verdicts")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    reply=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    cost=st.floats(0, allow_infinity=False),
    tokens=st.one_of(st.none(), st.integers(0, 2**63 - 1)),
    name=st.sampled_from(["0012", "NA", "nan", "1e5", "None", "=1+1", 'a "b", c']),
)
def test_round_trip(make_verdicts, tmp_path: Path, reply: str, cost: float, tokens: int | None, name: str) -> None:
    frame = make_verdicts(name, ["win"], raw_reply=reply, cost_usd=cost, judge_served=None)
    frame["prompt_tokens"] = pd.array([tokens], dtype="Int64")
    write_csv(frame, tmp_path / "a.csv", "verdicts")
    back = read_csv(tmp_path / "a.csv", "verdicts")
    row = back.iloc[0]
    assert (row["raw_reply"], row["cost_usd"], row["verdict_set_id"]) == (reply, cost, name)
    assert back["prompt_tokens"].dtype == "Int64"
    assert pd.isna(row["prompt_tokens"]) if tokens is None else row["prompt_tokens"] == tokens
    assert pd.isna(row["judge_served"])
    write_csv(back, tmp_path / "b.csv", "verdicts")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_files_are_sorted_with_columns_in_schema_order(make_verdicts, tmp_path: Path) -> None:
    frame = pd.concat([make_verdicts("b", ["win", "tie"]), make_verdicts("a", ["invalid"])])
    write_csv(frame.reindex(columns=frame.columns[::-1]), tmp_path / "v.csv", "verdicts")
    text = (tmp_path / "v.csv").read_bytes().decode()
    header, *rows = text.splitlines()
    assert header.split(",") == list(load_schema("verdicts").columns)
    assert [row[0] for row in rows] == ["a", "b", "b"]
    assert rows[1:] == sorted(rows[1:]) and "\r" not in text and text.endswith("\n")


def test_lines_are_those_of_the_file(make_verdicts, tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    write_csv(make_verdicts("v", ["win", "win"], raw_reply="two\nlines"), path, "verdicts")
    path.write_text(path.read_text()[::-1].replace("niw", "now", 1)[::-1])
    with pytest.raises(UserError, match=r"v\.csv, line 4, column verdict: 'won' is not one of"):
        read_csv(path, "verdicts")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda text: text[:-1], "ends within a line"),
        (lambda text: text[: text.rindex(",")] + "\n", "line 3: 16 fields, the header has 17"),
        (lambda text: text.replace(",Response 1", ',"Response 1'), "is not a readable CSV file"),
        (lambda text: "", "is not a readable CSV file"),
        (lambda text: text.replace(",300,", ",nan,", 1), "'nan' is not of type 'integer', 'null'"),
        (lambda text: text.replace("0.00918", "nan", 1), "'nan' is not of type 'number', 'null'"),
    ],
)
def test_a_cut_or_edited_file_is_refused(make_verdicts, tmp_path: Path, edit, said: str) -> None:
    path = tmp_path / "v.csv"
    write_csv(make_verdicts("v", ["win", "loss"]), path, "verdicts")
    path.write_text(edit(path.read_text()))
    with pytest.raises(UserError) as caught:
        read_csv(path, "verdicts")
    assert said in str(caught.value) and "v.csv" in str(caught.value)


@pytest.mark.parametrize("digits", [19, 400, 5000])
def test_numbers_of_many_digits_are_named(make_verdicts, tmp_path: Path, digits: int) -> None:
    """5,000 digits are more than Python reads; what is said of them stays short."""
    path = tmp_path / "a.csv"
    write_csv(make_verdicts("v", ["win"], prompt_tokens=123), path, "verdicts")
    path.write_text(path.read_text().replace(",123,", f",{'9' * digits},"))
    with pytest.raises(UserError, match=r"a\.csv, line 2, column prompt_tokens: .*999") as caught:
        read_csv(path, "verdicts")
    assert len(str(caught.value)) < 1000


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="does not exist"):
        read_csv(tmp_path / "none.csv", "cells")
