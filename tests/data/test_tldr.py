"""OpenAI's comparisons of summaries: as released, as the hub serves them, CNN/DM rows, malformed rows."""

from __future__ import annotations

import csv
import gzip
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet
from shared import SHARED

from prefrepro.data.local import load_rows
from prefrepro.data.rows import Counts, Reading
from prefrepro.data.tldr import SplitRow, parse_tldr
from prefrepro.errors import UserError

JUDGED = SHARED / "data/tldr/tldr_ppo1.3b_vs_reference_gpt4_judged_1000.csv.gz"


def comparison(post: str | None, texts: tuple[str, str] = (" good", " bad"), **changes: Any) -> dict[str, Any]:
    """A row as released, and as datasets' Parquet holds it: the same columns."""
    info = {"id": "t3_1", "post": post, "title": "A title", "subreddit": "r/x", "article": None, "site": None}
    if post is None:
        info |= {"article": "Some news.", "site": "cnndm", "title": None, "subreddit": None}
    summaries = [{"text": text, "policy": "sup1", "note": ""} for text in texts]
    row = {"info": info, "summaries": summaries, "choice": 0, "worker": "w", "batch": "batch3", "split": "train"}
    return row | {"extra": {"confidence": None}} | changes


def read(path: Path, reading: Reading = "paper") -> tuple[list[SplitRow], Counts]:
    counts = Counts()
    return list(load_rows(path, partial(parse_tldr, reading=reading), counts=counts)), counts


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


ROWS = [
    comparison("My  dog left."),
    comparison("My cat came.", choice=1, split="valid1"),
    comparison(None, split="valid2", batch="cnndm0"),
    comparison(None, (" one", " two"), split="valid2", batch="cnndm0"),
]


def test_the_prompt_is_the_post_alone_and_the_answers_keep_their_blank(tmp_path: Path) -> None:
    rows, counts = read(write(tmp_path / "comparisons/batch3.json", *ROWS))
    assert [(row.prompt[0]["content"], row.chosen, row.rejected, row.split) for row in rows] == [
        ("My dog left.", " good", " bad", "train"),  # a run of blanks becomes one, as in the released code
        ("My cat came.", " bad", " good", "validation"),
    ]
    assert counts.by_name == {"rows": 2, "cnn_dm_validation": 2}


def test_under_code_articles_share_one_empty_prompt(tmp_path: Path) -> None:
    rows, counts = read(write(tmp_path / "batch3.json", *ROWS), "code")
    articles = [row for row in rows if row.prompt[0]["content"] == ""]
    assert [row.chosen for row in articles] == [" good", " one"]
    assert len({row.prompt_id for row in articles}) == 1
    assert (counts["empty_prompt"], counts["cnn_dm_validation"]) == (2, 2)


def test_the_hubs_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    released, _ = read(write(tmp_path / "released/batch3.json", *ROWS))
    for split, part in (("train", ROWS[:1]), ("validation", ROWS[1:])):
        path = tmp_path / f"hub/comparisons/{split}/0000.parquet"
        path.parent.mkdir(parents=True)
        parquet.write_table(pyarrow.Table.from_pylist(part), path)
    served, counts = read(tmp_path / "hub")
    assert served == released
    assert counts["cnn_dm_validation"] == 2


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"choice": 2}, '"choice" is 2; expected 0 or 1'),
        ({"choice": True}, '"choice" is True; expected 0 or 1'),
        ({"choice": None}, '"choice" is None'),
        ({"summaries": [{"text": " a"}]}, '"summaries" holds 1 entries; expected two'),
        ({"summaries": [{"text": " a"}, {"note": ""}]}, 'expected objects with "text"'),
        ({"summaries": [{"text": " a"}, {"text": 3}]}, '"summaries" holds a number; expected text'),
        ({"split": "test"}, "\"split\" holds 'test'; expected train"),
        ({"info": {"title": "t"}}, 'neither "post" nor "article"'),
        ({"info": None}, '"info" holds no object'),
    ],
)
def test_a_malformed_row_is_reported_by_file_and_line(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    path = write(tmp_path / "batch3.jsonl", ROWS[0], comparison("x", **changes))
    with pytest.raises(UserError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}, line 2: ")
    assert expected in str(error.value)
    counts = Counts()
    assert len(list(load_rows(path, parse_tldr, on_bad_row="skip", counts=counts))) == 1
    assert counts["bad_rows"] == 1


def test_real_posts_and_summaries_go_through_unchanged(tmp_path: Path) -> None:
    """1,000 posts with a policy's and a person's summary, put into the released columns."""
    if not JUDGED.is_file():
        pytest.skip(f"{JUDGED} is absent: the judged summaries are not shipped with the code")
    given = list(csv.DictReader(io.StringIO(gzip.decompress(JUDGED.read_bytes()).decode("utf-8"))))
    rows = []
    for row in given:
        post = row["query"].split("\n\nPOST: ")[1].removesuffix("\n\nTL;DR:")
        texts = (row["postprocessed_response"], row["reference_responses"])
        rows.append(comparison(post, texts, choice=int(row["preferred"] == "reference"), split="valid1"))
    read_rows, counts = read(write(tmp_path / "batch.json", *rows))
    assert counts["rows"] == len(given) == 1000
    for row, (first, second) in zip(read_rows, ((r["summaries"][0]["text"], r["summaries"][1]["text"]) for r in rows),
                                    strict=True):  # fmt: skip
        assert {" ".join(row.chosen.split()), " ".join(row.rejected.split())} == {
            " ".join(first.split()),
            " ".join(second.split()),
        }
        assert "TL;DR:" not in row.prompt[0]["content"][-10:]
