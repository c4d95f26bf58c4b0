"""The data sets of scale laptop: small files of the released forms and, where they lie, the real ones."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from shared import SHARED

from prefrepro.data.build import build
from prefrepro.data.hub import downloaded
from prefrepro.data.local import load_rows
from prefrepro.data.qa_feedback import parse_qa_feedback
from prefrepro.data.rows import Counts, parse_preference, parse_ranked
from prefrepro.data.splits import split_of
from prefrepro.data.tldr import parse_judged
from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.model.examples import read_rows

PARTS = ("train", "eval", "dev", "judge")
LAPTOP = ("hh", "tldr", "ultrafeedback", "qa-feedback")


def answered(number: int, labels: list[int], **changed: Any) -> dict[str, Any]:
    passages = [["Ferns", "Ferns are  plants.", "They\nlike shade."], ["Pots", "A pot holds soil."]]
    answers = {f"prediction {n}": f"Answer {n}. " for n in range(1, 5)}
    return {"question": f"Question {number}? ", "passages": passages, "preference": labels} | answers | changed


def judged(number: int, preferred: str, query: str | None = None) -> dict[str, Any]:
    post = f'SUBREDDIT: r/x\n\nTITLE: T\n\nPOST: Post  {number},\nline "two".\n\nTL;DR:'
    texts = {"postprocessed_response": "  a model's", "reference_responses": "  a person's"}
    return {"query": query or post, **texts, "explanation": "", "preferred": preferred, "shuffled_index": 0}


def as_csv(rows: list[dict[str, Any]], path: Path) -> Path:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(gzip.compress(out.getvalue().encode()))
    return path


def test_labels_of_people_become_pairs_and_wins(tmp_path: Path) -> None:
    """1-2 the first, 1-3 the second, 1-4 neither, 2-3 the first, 2-4 the second, 3-4 neither."""
    path = tmp_path / "dev_feedback.json"
    path.write_text(json.dumps([answered(0, [1, 2, 0, 1, 2, 0]), answered(1, [0] * 6)]), encoding="utf-8")
    counts = Counts()
    row, tied = load_rows(path, parse_qa_feedback, counts=counts)
    assert row.prompt == [{"role": "user", "content": "Question 0?"}]
    assert row.completions == [f"Answer {n}." for n in range(1, 5)]
    assert row.preferences == [[0, 1], [2, 0], [1, 2], [3, 1]]
    assert row.scores == [1.5, 1.0, 1.5, 2.0] and sum(row.scores) == 6
    assert (tied.preferences, tied.scores) == ([], [1.5] * 4)
    assert (counts["tied_labels_left_out"], counts["all_scores_equal"]) == (8, 1)


def test_a_question_may_come_with_its_passages() -> None:
    row = parse_qa_feedback(
        answered(3, [1] * 6, **{"prediction 2": "Answer 1."}), (noted := []).append, prompt="passages"
    )
    said = "question: Question 3? context: wikipage: Ferns text: Ferns are plants. They like shade. "
    assert row.prompt[0]["content"] == said + "wikipage: Pots text: A pot holds soil."
    assert noted == ["repeated_answers"]


@pytest.mark.parametrize("labels", [[1] * 5, [1, 1, 1, 1, 1, 3], [1, 1, 1, 1, 1, True], "111111"])
def test_labels_that_nobody_can_read_are_one_message(labels: Any, tmp_path: Path) -> None:
    path = tmp_path / "dev_feedback.json"
    path.write_text(json.dumps([answered(0, labels)]), encoding="utf-8")
    with pytest.raises(UserError, match=r'line 1: "preference" holds .*; expected six numbers, each 0, 1 or 2'):
        list(load_rows(path, parse_qa_feedback, counts=Counts()))


def test_a_verdict_of_gpt_4_names_the_better_summary(tmp_path: Path) -> None:
    rows = [judged(0, "ours"), judged(1, "reference"), judged(2, "tie"), judged(3, "")]
    counts = Counts()
    ours, reference = load_rows(as_csv(rows, tmp_path / "judged.csv.gz"), parse_judged, counts=counts)
    assert ours.prompt == [{"role": "user", "content": 'Post 0,\nline "two".'}], "the post alone, as kind tldr"
    assert (ours.chosen, ours.rejected) == (" a model's", " a person's")
    assert (reference.chosen, reference.rejected) == (" a person's", " a model's")
    assert (counts["rows"], counts["no_verdict_left_out"]) == (2, 2)
    with pytest.raises(UserError, match=r'"query" begins with \'No post\'; expected "POST: …"'):
        list(load_rows(as_csv([judged(0, "ours", "No post")], tmp_path / "j.csv"), parse_judged, counts=Counts()))


@pytest.mark.parametrize("content", ["", "query,preferred\n", 'query\n"open', b"\xff\xfe,\n1,2\n"])
def test_a_csv_file_that_is_damaged_is_one_message(content: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "judged.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=r"judged\.csv: (cannot be read as CSV after record|no record in it)"):
        list(load_rows(path, parse_judged, counts=Counts()))


@pytest.mark.parametrize(
    "scores", [{"score_chosen": 7, "score_rejected": 7.0}, {"metadata": {"score_chosen": 1, "score_rejected": 1}}]
)
def test_a_pair_of_equal_scores_is_left_out_and_counted(scores: dict[str, Any]) -> None:
    noted: list[str] = []
    pair = {"prompt": "Q?", "chosen": "a", "rejected": "b"}
    assert parse_preference(pair | scores, noted.append) is None and noted == ["equal_scores_left_out"]
    for unscored in ({}, {"metadata": {"n": 1}}, {"metadata": None}, {"score_chosen": 7, "score_rejected": 3}):
        assert parse_preference(pair | unscored, noted.append) is not None
    assert len(noted) == 1


def test_groups_may_carry_what_people_preferred() -> None:
    group = {"prompt": "Q?", "completions": ["a", "b"], "scores": [1, 0]}
    assert parse_ranked(group | {"preferences": [[0, 1]]}, print).preferences == [[0, 1]]
    assert parse_ranked(group, print).preferences is None
    for wrong in ([[0, 2]], [[0, 0]], [[0]], ["01"], [[True, 0]], {"0": 1}):
        with pytest.raises(Exception, match=r'"preferences" holds .* expected pairs \[better, worse\]'):
            parse_ranked(group | {"preferences": wrong}, print)


def built(source: dict[str, Any], out: Path) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    asked = {"n_prompts": 4, "prompt_batch": 2, "order_seed": 1, "splits": {"train": None}}
    build({"source": asked | source}, {}, out)
    return {name: read_rows(out / f"{name}.jsonl") for name in PARTS}, json.loads((out / "manifest.json").read_text())


def test_every_part_can_be_limited_and_says_what_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "dev_feedback.json"
    path.write_text(json.dumps([answered(number, [1] * 6) for number in range(200)]), encoding="utf-8")
    shares = {"train": 0.4, "eval": 0.3, "dev": 0.2, "judge": 0.1}
    source = {"kind": "qa_feedback", "form": "ranked", "files": str(path), "on_bad_row": "stop", "parts": shares}
    whole, manifest = built(source, tmp_path / "whole")
    assert sum(map(len, whole.values())) == 200 and manifest["rows_left_out"] == dict.fromkeys(PARTS, 0)
    assert all(row["preferences"] == [list(pair) for pair in combinations(range(4), 2)] for row in whole["dev"])
    few, manifest = built(source | {f"{name}_rows": 5 for name in PARTS} | {"labels": "human"}, tmp_path / "few")
    for name in PARTS:
        places = [place * len(whole[name]) // 5 for place in range(5)]
        assert few[name] == [whole[name][place] for place in places], "evenly spread, in file order"
        assert manifest["rows"][name] + manifest["rows_left_out"][name] == len(whole[name])
    assert manifest["labels"] == "human"


def test_dev_and_eval_share_no_prompt_whatever_parts_two_plans_use() -> None:
    both, eval_alone, dev_alone = ({"eval": 0.3, "dev": 0.2}, {"eval": 0.3}, {"dev": 0.2})
    found = {}
    for name, shares in (("both", both), ("eval", eval_alone), ("dev", dev_alone), ("judge", both | {"judge": 0.1})):
        shares = shares | {"train": 1 - sum(shares.values())}
        found[name] = [split_of(str(number), shares, "salt") for number in range(3000)]
    for part, alone in (("eval", "eval"), ("dev", "dev")):
        held = [[place for place, one in enumerate(found[name]) if one == part] for name in ("both", alone, "judge")]
        assert held[0] == held[1] == held[2] and len(held[0]) > 400


def test_a_file_to_download_is_found_checked_or_asked_for(tmp_path: Path) -> None:
    wanted = {"a/x.csv.gz": {"url": "https://host/x.csv", "sha256": hashlib.sha256(b"x").hexdigest()}}
    with pytest.raises(
        UserError, match=r"1 of 1 data files are not in .* curl -L --create-dirs -o \S+/a/x\.csv https://"
    ):
        downloaded(wanted, tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.csv").write_bytes(b"x")
    assert downloaded(wanted, tmp_path) == [str(tmp_path / "a/x.csv")]
    (tmp_path / "a/x.csv.gz").write_bytes(gzip.compress(b"x"))
    assert downloaded(wanted, tmp_path) == [str(tmp_path / "a/x.csv.gz")], "the hash is of the content, unzipped"
    (tmp_path / "a/x.csv.gz").write_bytes(gzip.compress(b"y"))
    with pytest.raises(UserError, match=r"x\.csv\.gz: its content has sha256 \w+; expected \w+\. Remove it"):
        downloaded(wanted, tmp_path)


@pytest.mark.parametrize(
    ("name", "rows", "least"),
    [
        ("hh", 2312, {"train": 192, "eval": 500, "dev": 250, "judge": 450}),
        ("tldr", 1000, {"train": 192, "eval": 500, "dev": 150}),
        ("ultrafeedback", 1200, {"train": 128, "eval": 500, "dev": 180}),
        ("qa-feedback", 500, {"train": 128, "eval": 220, "dev": 60}),
    ],
)
def test_the_real_files_give_parts_that_share_no_prompt(
    name: str, rows: int, least: dict[str, int], tmp_path: Path
) -> None:
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: the real files are not shipped with the code")
    source = yaml.safe_load((ROOT / f"config/datasets/{name}-laptop.yaml").read_text(encoding="utf-8"))
    if name == "qa-feedback":
        del source["train_rows"]  # its labels are counted below
    source["files"] = downloaded(source["download"], folder)
    parts, manifest = built(source, tmp_path)
    counts, out = manifest["counts"], manifest["rows_left_out"]
    left_out = sum(counts.get(why, 0) for why in ("equal_scores_left_out", "rejected_prompt_mismatch", "bad_rows"))
    assert counts["rows"] + left_out == rows
    assert sum(map(len, parts.values())) + sum(out.values()) == counts["rows"]
    assert {part: len(parts[part]) >= n for part, n in least.items()} == dict.fromkeys(least, True)
    assert manifest["labels"] == ("human" if name in ("hh", "qa-feedback") else "gpt-4")
    prompts = {
        part: {" ".join(" ".join(m["content"] for m in row["prompt"]).lower().split()) for row in parts[part]}
        for part in PARTS
    }
    for one, other in combinations(PARTS, 2):
        assert not prompts[one] & prompts[other], "not even but for case and blanks"
    if name == "qa-feedback":
        labels = sum(len(row["preferences"]) for lines in parts.values() for row in lines)
        assert labels + counts["tied_labels_left_out"] == 6 * 500 and counts["tied_labels_left_out"] == 384
