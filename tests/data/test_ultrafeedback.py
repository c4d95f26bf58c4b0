"""UltraFeedback's three forms, the choice of score, the score of 10 that was a 1, malformed rows."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet
from shared import SHARED

from prefrepro.data.local import load_rows
from prefrepro.data.rows import Counts, RankedRow, checked_rows
from prefrepro.data.ultrafeedback import ScoreField, parse_ultrafeedback
from prefrepro.errors import UserError

BINARIZED = SHARED / "data/ultrafeedback"
MULTI = SHARED / "data/alpaca_eval/multi_response_4models_gpt4turbo_score_200.jsonl"
ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")


def completion(response: str, score: Any, ratings: tuple[str, ...] = ("3", "3", "3", "3"), **more: Any) -> dict:
    annotations = {aspect: {"Rating": rating, "Rationale": ""} for aspect, rating in zip(ASPECTS, ratings, strict=True)}
    return {"model": "m", "response": response, "overall_score": score, "annotations": annotations, **more}


def raw(*completions: dict) -> dict[str, Any]:
    return {"source": "sharegpt", "instruction": "Say something.", "completions": list(completions)}


def read(*records: dict[str, Any], score_field: ScoreField, skip: bool = False) -> tuple[list[RankedRow], Counts]:
    counts = Counts()
    numbered = enumerate(records, start=1)
    on_bad_row = "skip" if skip else "stop"
    return list(
        checked_rows(numbered, "uf.jsonl", partial(parse_ultrafeedback, score_field=score_field), on_bad_row, counts)
    ), counts


GROUP = raw(
    completion("bad", 10.0, ("1", "2", "N/A", "1")),
    completion("fine", 10.0, ("5", "5", "4", "4")),
    completion("so-so", 10.0, ("3", "4", "4", "3")),
    completion("plain", 7.5),
)


@pytest.mark.parametrize(
    ("score_field", "texts", "scores"),
    [
        ("overall_score", ["bad", "fine", "so-so", "plain"], [10, 10, 10, 7.5]),
        ("overall_score_corrected", ["bad", "fine", "plain"], [1, 10, 7.5]),
        ("fine_grained_mean", ["bad", "fine", "so-so", "plain"], [4 / 3, 4.5, 3.5, 3]),
    ],
)
def test_which_score_is_a_choice(score_field: ScoreField, texts: list[str], scores: list[float]) -> None:
    (row,), counts = read(GROUP, score_field=score_field)
    assert row.prompt == [{"role": "user", "content": "Say something."}]
    assert (row.completions, row.scores) == (texts, pytest.approx(scores))
    corrected = score_field == "overall_score_corrected"
    assert (counts["score_corrected_10_to_1"], counts["score_undecided"]) == ((1, 1) if corrected else (0, 0))


@pytest.mark.parametrize(("ratings", "kept"), [("2222", 1), ("2223", None), ("4444", None), ("4445", 10)])
def test_the_bounds_of_the_authors_rule(ratings: str, kept: float | None) -> None:
    """At most 2: flip; above 4: remain; between: annotated anew by the authors, left out here."""
    others = (completion("a", 3.0), completion("b", 4.0))
    (row,), _ = read(raw(completion("x", 10.0, tuple(ratings)), *others), score_field="overall_score_corrected")
    assert dict(zip(row.completions, row.scores, strict=True)).get("x") == kept


def test_files_that_the_authors_corrected_are_left_alone() -> None:
    marked = raw(*({**entry, "fine-grained_score": 1.0} for entry in GROUP["completions"]))
    (row,), counts = read(marked, score_field="overall_score_corrected")
    assert row.scores == [10, 10, 10, 7.5]
    assert counts["score_corrected_10_to_1"] == 0


def test_a_group_without_two_usable_responses_is_a_bad_row() -> None:
    record = raw(completion("x", 10.0, ("3",) * 4), completion("y", None), completion("z", 5.0))
    with pytest.raises(UserError, match=r"uf\.jsonl, line 1: 1 usable responses; expected at least 2"):
        read(record, score_field="overall_score_corrected")
    rows, counts = read(record, GROUP, score_field="overall_score_corrected", skip=True)
    assert (len(rows), counts["bad_rows"], counts["score_missing"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            raw(completion("a", "seven"), completion("b", 1)),
            "\"overall_score\" holds 'seven'; expected a finite number",
        ),
        (raw(completion("a", float("nan")), completion("b", 1)), "holds nan"),
        (raw(completion("a", 10.0, ("good",) * 4), completion("b", 1)), "Rating is 'good'"),
        (raw({"response": "a"}, completion("b", 1)), 'column "overall_score" is missing'),
        (raw({"overall_score": 1}, completion("b", 1)), 'column "response" is missing'),
        ({"instruction": "x", "completions": "none"}, "no list of objects"),
        ({"completions": []}, 'column "instruction" is missing'),
        ({"prompt": "x", "A0": "a", "score_A0": 3.0}, "1 usable responses"),
        ({"prompt": "x", "A0": "a", "A1": "b", "score_A0": 3.0}, 'column "score_A1" is missing'),
        ({"prompt": "x", "chosen": "a", "rejected": "b"}, 'column "score_chosen" is missing'),
    ],
)
def test_a_malformed_record_is_reported(record: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError) as error:
        read(record, score_field="overall_score_corrected")
    assert str(error.value).startswith("uf.jsonl, line 1: ")
    assert expected in str(error.value)


def test_ncas_copy_in_parquet(tmp_path: Path) -> None:
    """Messages of prompt and answer, as in ChenDRAG/ultrafeedback_reward; A0 is the best."""
    user = {"role": "user", "content": "Hi"}
    answers = {f"A{i}": [user, {"role": "assistant", "content": f"answer {i}"}] for i in range(4)}
    record = {"prompt": "Hi", **answers, **{f"score_A{i}": 9.0 - i for i in range(4)}}
    parquet.write_table(pyarrow.Table.from_pylist([record]), tmp_path / "train_prefs-00000-of-00001.parquet")
    parquet.write_table(pyarrow.Table.from_pylist([record, record]), tmp_path / "test_prefs-00000-of-00001.parquet")
    (row,) = load_rows(tmp_path, parse_ultrafeedback, split="train_prefs", counts=Counts())
    assert (row.completions, row.scores) == ([f"answer {i}" for i in range(4)], [9.0, 8.0, 7.0, 6.0])


def test_the_binarized_samples() -> None:
    if not BINARIZED.is_dir():
        pytest.skip(f"{BINARIZED} is absent: UltraFeedback's samples are not shipped with the code")
    for split, n in (("train", 1000), ("eval", 200)):
        counts = Counts()
        rows = list(load_rows(BINARIZED, parse_ultrafeedback, split=split, counts=counts))
        assert len(rows) == counts["rows"] == n
        assert all(len(row.completions) == 2 for row in rows)
        assert all(row.scores[0] >= row.scores[1] for row in rows)


def test_real_groups_of_four_in_the_raw_form() -> None:
    """200 AlpacaEval instructions with four models' answers and a score each."""
    if not MULTI.is_file():
        pytest.skip(f"{MULTI} is absent: the scored groups are not shipped with the code")
    given = [json.loads(line) for line in MULTI.read_text(encoding="utf-8").splitlines()]
    records = [
        raw(*(completion(entry["response"], entry["score"]) for entry in row["completions"]))
        | {"instruction": row["instruction"]}
        for row in given
    ]
    rows, counts = read(*records, score_field="overall_score_corrected")
    assert counts["rows"] == 200
    assert [row.scores for row in rows] == [[entry["score"] for entry in row["completions"]] for row in given]
