"""Helpful-harmless transcripts: turns, readings, malformed rows, and the released sample file."""

from __future__ import annotations

import gzip
import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from shared import SHARED

from prefrepro.data.hh import Reading, parse_hh
from prefrepro.data.local import load_rows
from prefrepro.data.rows import Counts, OnBadRow, PreferenceRow, checked_rows
from prefrepro.data.template import render_prompt
from prefrepro.errors import UserError

SAMPLE = SHARED / "data/hh_rlhf/harmless-base_test.jsonl.gz"
HISTORY = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Bye\n\nAssistant: "


def pair(chosen: str, rejected: str) -> dict[str, str]:
    return {"chosen": chosen, "rejected": rejected}


def read(
    *records: dict[str, Any], reading: Reading = "paper", on_bad_row: OnBadRow = "stop"
) -> tuple[list[PreferenceRow], Counts]:
    counts = Counts()
    numbered = enumerate(records, start=1)
    return list(checked_rows(numbered, "hh.jsonl", partial(parse_hh, reading=reading), on_bad_row, counts)), counts


@pytest.mark.parametrize("reading", ["paper", "code"])
def test_the_prompt_is_the_whole_history(reading: Reading) -> None:
    (row,), counts = read(pair(HISTORY + "See  you.", HISTORY + "\tOh \t no."), reading=reading)
    assert row.prompt == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Bye"},
    ]
    assert (row.chosen, row.rejected) == ("See you.", "\tOh no.")  # a tab that stands alone stays
    # docs/protocol.md#data, rendered by the released code
    assert render_prompt(row.prompt) == "\n<|user|>\nHi\n<|assistant|>\nHello!\n<|user|>\nBye\n<|assistant|>\n"
    assert counts.manifest()["counts"] == {"bad_rows": 0, "rows": 1, "unique_prompts": 1}


def test_a_rejected_text_with_another_prompt_is_left_out_or_cut_by_reading() -> None:
    other = pair("\n\nHuman: Hi\n\nAssistant: Hello!", "\n\nHuman: Ho, a longer question\n\nAssistant: No!")
    good = pair(HISTORY + "a", HISTORY + "b")
    rows, counts = read(other, good)
    assert [row.chosen for row in rows] == ["a"]
    assert counts.first_locations["rejected_prompt_mismatch"] == ["hh.jsonl, line 1"]

    rows, counts = read(other, good, reading="code")
    assert rows[0].rejected == other["rejected"][len("\n\nHuman: Hi\n\nAssistant: ") :]
    assert counts["rejected_prompt_mismatch"] == 1


def test_single_turns_alone_are_a_choice() -> None:
    one, two = "\n\nHuman: Hi\n\nAssistant: ", HISTORY
    counts, numbered = Counts(), [(1, pair(one + "a", one + "b")), (2, pair(two + "a", two + "b"))]
    rows = list(checked_rows(numbered, "hh.jsonl", partial(parse_hh, turns="single"), "stop", counts))
    assert [len(row.prompt) for row in rows] == [1]
    assert counts["several_turns_left_out"] == 1


def test_the_readings_find_the_last_answer_with_or_without_a_space() -> None:
    record = pair("\n\nHuman: Hi\n\nAssistant: Ho\n\nHuman: Bye\n\nAssistant:", HISTORY.replace("Hello!", "Ho") + "x")
    (row,), counts = read(record)
    assert (len(row.prompt), row.chosen, row.rejected) == (3, "", "x")
    assert counts["empty_chosen"] == 1
    (row,), _ = read(record, reading="code")
    assert (len(row.prompt), row.chosen) == (1, "Ho\n\nHuman: Bye\n\nAssistant:")


def test_odd_turns_are_kept_as_the_released_code_splits_them_and_counted() -> None:
    text = "\n\nHuman: Hi\n\nAssistant: Human: Ho\n\nHuman:  \n\nAssistant: "
    (row,), counts = read(pair(text + "a", text + "b\n\nAssistant: c"))
    assert [(message["role"], message["content"]) for message in row.prompt] == [
        ("user", "Hi"),
        ("assistant", ""),
        ("user", "Ho"),
        ("user", ""),
    ]
    names = ("turns_not_alternating", "empty_turn_in_prompt", "several_turns_in_rejected")
    assert [counts[name] for name in names] == [1, 1, 1]
    _, counts = read(
        pair("\n\nAssistant: Hi\n\nHuman: Ho\n\nAssistant: a", "\n\nAssistant: Hi\n\nHuman: Ho\n\nAssistant: b")
    )
    assert counts["first_turn_not_human"] == 1


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"chosen": HISTORY + "a"}, 'column "rejected" is missing; found chosen'),
        (pair(HISTORY + "a", None), '"rejected" holds null'),  # type: ignore[arg-type]
        (pair("no turns", "no turns"), '"chosen" holds no'),
        (pair("\n\nAssistant: a", "\n\nAssistant: b"), "no Human turn before its last Assistant turn"),
        (pair("Title\n\nHuman: Hi\n\nAssistant: a", HISTORY), "begins with 'Title'; expected \"Human:\""),
        (pair(HISTORY + "a\n\nHuman: More?", HISTORY + "b"), '"chosen" ends with a Human turn'),
        (pair(HISTORY + "a", HISTORY + "b\n\nHuman: More?"), '"rejected" ends with a Human turn'),
    ],
)
@pytest.mark.parametrize("reading", ["paper", "code"])
def test_a_malformed_transcript_is_reported_by_file_and_line(
    record: dict[str, Any], expected: str, reading: Reading
) -> None:
    good = pair(HISTORY + "a", HISTORY + "b")
    with pytest.raises(UserError) as error:
        read(good, record, reading=reading)
    assert str(error.value).startswith("hh.jsonl, line 2: ")
    assert expected in str(error.value)
    rows, counts = read(good, record, reading=reading, on_bad_row="skip")
    assert (len(rows), counts["bad_rows"]) == (1, 1)


def test_released_folders_are_read_by_split(tmp_path: Path) -> None:
    for folder in ("harmless-base", "helpful-base"):
        for split in ("train", "test"):
            path = tmp_path / folder / f"{split}.jsonl.gz"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(gzip.compress(json.dumps(pair(HISTORY + folder, HISTORY + split)).encode()))
    counts = Counts()
    rows = list(load_rows(tmp_path, parse_hh, split="test", counts=counts))
    assert [(row.chosen, row.rejected) for row in rows] == [
        ("harmless-base", "test"),
        ("helpful-base", "test"),
    ]
    assert counts["duplicate_prompts"] == 1
    assert rows[0].prompt_id == rows[1].prompt_id


def test_local_faults_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(pair(HISTORY + "a", HISTORY + "b")).encode() * 99)[:-20])
    with pytest.raises(UserError, match=r"test\.jsonl\.gz: the gzip stream breaks off"):
        list(load_rows(tmp_path, parse_hh, split="test", counts=Counts()))
    with pytest.raises(UserError, match=r"no such file"):
        list(load_rows(f"{tmp_path}/*.jsonl", parse_hh, split="test", counts=Counts()))


def load_sample(reading: Reading) -> tuple[list[PreferenceRow], Counts]:
    if not SAMPLE.exists():
        pytest.skip(f"{SAMPLE} is absent: the released harmless-base test file is not shipped with the code")
    counts = Counts()
    return list(load_rows(SAMPLE, partial(parse_hh, reading=reading), split="test", counts=counts)), counts


def test_the_released_sample_read_as_the_released_code_does() -> None:
    rows, counts = load_sample("code")
    assert counts.manifest()["counts"] == {
        "bad_rows": 0,
        "duplicate_prompts": 2,
        "empty_chosen": 4,
        "empty_rejected": 2,  # two of the four rows whose rejected text is shorter than the chosen prompt
        "empty_turn_in_prompt": 23,
        "rejected_prompt_mismatch": 4,
        "rows": 2312,
        "several_turns_in_rejected": 1,
        "turns_not_alternating": 28,
        "unique_prompts": 2310,
    }
    assert len({row.prompt_id for row in rows}) == 2310
    mismatches = [int(place.split()[-1]) for place in counts.first_locations["rejected_prompt_mismatch"]]
    assert mismatches == [1255, 1689, 1953, 2037]
    # The digest was taken from the prompts and responses that the released get_hh makes of this file.
    triples = [[render_prompt(row.prompt), row.chosen, row.rejected] for row in rows]
    digest = hashlib.sha256(json.dumps(triples).encode()).hexdigest()
    assert digest == "8173e3da72fdefe5546dd21dd316b61c8806d3c2d5e25e9fb3cd540bbebd24ce"


def test_the_released_sample_read_as_the_paper_leaves_out_the_mismatches() -> None:
    rows, counts = load_sample("paper")
    assert (len(rows), len({row.prompt_id for row in rows})) == (2308, 2306)
    assert (counts["rejected_prompt_mismatch"], counts["empty_rejected"], counts["duplicate_prompts"]) == (
        4,
        0,
        2,
    )
