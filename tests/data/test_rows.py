"""Canonical rows: what is accepted, what is refused and how it is counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prefrepro.data.rows import Counts, OnBadRow, PreferenceRow, checked_rows, parse_preference, parse_ranked
from prefrepro.data.template import prompt_id
from prefrepro.errors import UserError

HI = [{"role": "user", "content": "Hi"}]
GOOD = {"prompt": "Hi", "chosen": "Hello.", "rejected": "No."}


def load(*records: dict[str, Any], on_bad_row: OnBadRow = "stop") -> tuple[list[PreferenceRow], Counts]:
    counts = Counts()
    return list(checked_rows(enumerate(records, start=1), "some.jsonl", parse_preference, on_bad_row, counts)), counts


@pytest.mark.parametrize(
    "record",
    [
        GOOD,
        {**GOOD, "prompt": HI, "score_chosen": 7},
        {**GOOD, "prompt": [{**HI[0], "name": "Ada"}]},
        {**GOOD, "chosen": [{"role": "assistant", "content": "Hello."}]},
        {**GOOD, "prompt": HI, "chosen": [*HI, {"role": "assistant", "content": "Hello."}]},
    ],
)
def test_text_and_conversational_columns_give_the_same_row(record: dict[str, Any]) -> None:
    rows, counts = load(record)
    assert rows == [PreferenceRow(HI, "Hello.", "No.")]
    assert rows[0].prompt_id == prompt_id(HI)
    assert counts.manifest() == {
        "counts": {"bad_rows": 0, "rows": 1, "unique_prompts": 1},
        "first_locations": {},
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"prompt": 3}, '"prompt" holds a number'),
        ({"prompt": []}, "no message"),
        ({"prompt": None}, '"prompt" holds null'),
        ({"prompt": ["Hi"]}, 'expected messages with "role" and "content"'),
        ({"prompt": [{"role": "human", "content": "Hi"}]}, "expected user, assistant, system"),
        ({"prompt": [{"role": ["user"], "content": "Hi"}]}, "expected user, assistant, system"),
        ({"prompt": [{"role": "user", "content": None}]}, '"prompt" holds null; expected text'),
        ({"chosen": True}, '"chosen" holds true or false'),
        ({"chosen": HI}, "does not end with an assistant message"),
        ({"chosen": []}, "does not end with an assistant message"),
        (
            {"rejected": [{"role": "user", "content": "Bye"}, {"role": "assistant", "content": "x"}]},
            "not the prompt",
        ),
        ({"rejected": {"text": "x"}}, '"rejected" holds an object'),
        ({"rejected": "half \ud83d"}, "half of a surrogate pair at character 5"),
    ],
)
def test_a_bad_row_says_file_line_and_what_was_expected(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError) as error:
        load(GOOD, {**GOOD, **change})
    message = str(error.value)
    assert message.startswith("some.jsonl, line 2: ")
    assert expected in message
    assert message.endswith("set on_bad_row: skip to leave out and count such rows.")


def test_a_missing_column_names_the_columns_found() -> None:
    with pytest.raises(UserError, match='line 1: column "rejected" is missing; found chosen, prompt'):
        load({"prompt": "Hi", "chosen": "x"})


def test_skipped_rows_are_counted_and_the_first_five_places_kept() -> None:
    rows, counts = load(GOOD, *[{"prompt": n} for n in range(7)], GOOD, on_bad_row="skip")
    assert len(rows) == counts["rows"] == 2
    assert counts["bad_rows"] == 7
    places = counts.first_locations["bad_rows"]
    assert [place.split(":")[0] for place in places] == [f"some.jsonl, line {n}" for n in (2, 3, 4, 5, 6)]
    json.dumps(counts.manifest())


def test_what_is_odd_but_usable_is_kept_and_counted() -> None:
    rows, counts = load(
        {"prompt": "", "chosen": " ", "rejected": ""},
        {**GOOD, "rejected": "Hello."},
        {**GOOD, "chosen": "Hey."},
    )
    assert len(rows) == 3
    assert counts.manifest()["counts"] == {
        "bad_rows": 0,
        "chosen_equals_rejected": 1,
        "duplicate_prompts": 1,
        "empty_chosen": 1,
        "empty_prompt": 1,
        "empty_rejected": 1,
        "rows": 3,
        "unique_prompts": 2,
    }
    assert counts.first_locations["duplicate_prompts"] == ["some.jsonl, line 3"]


def test_ranked_rows() -> None:
    counts = Counts()
    records = [(1, {"prompt": "Hi", "completions": ["a", "b", ""], "scores": [3, 1.5, 0]})]
    (row,) = checked_rows(records, "ranked.jsonl", parse_ranked, "stop", counts)
    assert (row.prompt, row.completions, row.scores) == (HI, ["a", "b", ""], [3.0, 1.5, 0.0])
    assert counts["empty_completion"] == 1


@pytest.mark.parametrize(
    ("completions", "scores", "expected"),
    [
        (["a", "b"], [1], "2 completions, 1 scores"),
        (["a"], [1], "at least 2"),
        ("ab", [1, 2], "expected lists"),
        (["a", "b"], [1, float("nan")], "holds nan; expected a finite number"),
        (["a", "b"], [1, True], "holds True; expected a finite number"),
        (["a", "b"], [1, 10**400], "expected a finite number"),
        (["a", None], [1, 2], '"completions" holds null'),
    ],
)
def test_a_bad_ranked_row_is_refused(completions: Any, scores: Any, expected: str) -> None:
    record = {"prompt": "Hi", "completions": completions, "scores": scores}
    with pytest.raises(UserError, match=expected):
        list(checked_rows([(1, record)], "ranked.jsonl", parse_ranked, "stop", Counts()))
