"""Every form of preference data that people have: recognised, read to canonical rows, or refused once with the line of
YAML that says how to read it."""

from __future__ import annotations

import bz2
import csv
import functools
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pyarrow
import pytest
from form_rows import ASKED, BAD, GOOD, OTHER, PAIR, READ, SHORT, TALK, USER, said
from hub_server import COMMIT, hub
from pyarrow import parquet
from shared import SHARED

from prefrepro.data.forms.files import files_of, first_records, load
from prefrepro.data.forms.parse import parse_form
from prefrepro.data.forms.recognise import FORMS, Form, recognise
from prefrepro.data.hh import parse_hh
from prefrepro.data.local import load_rows, read_records
from prefrepro.data.rows import Counts, OnBadRow, PreferenceRow, RankedRow, parse_preference
from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.specs import sources as specs


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(path: Path, form: Form, on_bad_row: OnBadRow = "stop") -> tuple[list[Any], Counts]:
    counts = Counts()
    parse = functools.partial(parse_form, form=form.name, columns=form.columns)
    return list(load(path, parse, on_bad_row=on_bad_row, counts=counts)), counts


@pytest.mark.parametrize(("name", "record", "row"), [case[1:] for case in READ], ids=[case[0] for case in READ])
def test_a_form_is_recognised_and_read(name: str, record: dict[str, Any], row: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", record, record)
    form = recognise(first_records(path, 100), "rows.jsonl")
    assert (form.name, form.is_certain, form.fitting) == (name, True, (2, 2))
    rows, counts = rows_of(path, form)
    assert rows == [row, row]
    assert (counts["rows"], counts["bad_rows"], counts["left_out"]) == (2, 0, 0)


def test_every_form_has_a_case_and_a_name_in_the_data_sets_file() -> None:
    uncertain = {name for name, form in FORMS.items() if not form.get("certain", True)}
    assert {case[1] for case in READ} | uncertain == set(FORMS) == set(get_args(specs.Form))
    assert all(specs.shape_of({"form": name}) == form["shape"] for name, form in FORMS.items())


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("two texts", {"chosen": "The sky is blue.", "rejected": "The sky is green."}, "form: implicit_text"),
    ("another name", {"question": USER, "chosen": GOOD, "rejected": BAD}, "form: pairs, columns: {prompt: question}"),
    ("other names", {"instruction": USER, "chosen_response": GOOD, "rejected_response": BAD},
     "columns: {prompt: instruction, chosen: chosen_response, rejected: rejected_response}"),
    ("two outputs", {"instruction": USER, "input": "", "output": [GOOD, BAD]}, "form: alpaca_outputs"),
    ("a context", {"prompt": USER, "context": "A wood.", "chosen": GOOD, "rejected": BAD}, "columns: {input: context}"),
    ("scores of responses", {"prompt": USER, "responses": [GOOD, BAD], "ratings": [2, 1]},
     "form: ranked, columns: {completions: responses, scores: ratings}"),
    ("one answer", {"instruction": USER, "output": GOOD}, "A preference has two answers"),
    ("no column", {}, "columns: none"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "line"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_not_certain_is_refused_once_with_the_line_that_reads_it(record: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as error:
        recognise([record] * 1000, "my/rows.jsonl")
    message = str(error.value)
    assert message.startswith("my/rows.jsonl: ")
    assert line in message
    assert len(message) < 600


@pytest.mark.parametrize(
    ("record", "form", "columns", "row"),
    [
        (REFUSED[0][1], "implicit_text", {}, PreferenceRow([said("user", "The sky is")], " blue.", " green.")),
        (REFUSED[1][1], None, {"prompt": "question"}, PAIR),
        (REFUSED[3][1], "alpaca_outputs", {}, PAIR),
        (REFUSED[4][1], None, {"input": "context"}, PreferenceRow([said("user", f"{USER}\nA wood.")], GOOD, BAD)),
        (REFUSED[4][1], "pairs", {}, PAIR),
        (
            REFUSED[5][1],
            "ranked",
            {"completions": "responses", "scores": "ratings"},
            RankedRow(ASKED, [GOOD, BAD], [2, 1]),
        ),
    ],
)
def test_the_line_that_was_named_reads_it(
    record: dict[str, Any], form: str | None, columns: dict[str, str], row: Any, tmp_path: Path
) -> None:
    path = write(tmp_path / "rows.jsonl", record)
    assert rows_of(path, recognise([record], "x", form, columns))[0] == [row]


BAD_ROWS: list[tuple[str, dict[str, Any], str]] = [
    ("pairs", {"prompt": USER, "chosen": None, "rejected": BAD}, '"chosen" holds'),
    ("pairs", {"prompt": [said("tool", "42")], "chosen": GOOD, "rejected": BAD}, "message of role 'tool'"),
    ("pairs", {"prompt": [said("user", [{"type": "image_url", "image_url": "x"}])], "chosen": GOOD, "rejected": BAD},
     "part of type 'image_url'; only text"),
    ("pairs", {"prompt": USER, "tools": [{"name": "f"}], "chosen": GOOD, "rejected": BAD}, '"tools" holds'),
    ("pairs", {"prompt": USER, "history": "Hi", "chosen": GOOD, "rejected": BAD}, '"history" holds'),
    ("pairs", {"prompt": USER, "chosen": [said("user", "x")], "rejected": BAD}, "does not end with an assistant"),
    ("pairs", {"prompt": USER, "chosen": [SHORT, *TALK[1:]], "rejected": BAD}, "beginning is not the prompt"),
    ("openai", {"input": {"messages": ASKED, "tools": [{}]}, "preferred_output": GOOD, "non_preferred_output": BAD},
     "brings tools"),
    ("unpaired", {"prompt": USER, "completion": GOOD, "label": "fine"}, "'fine'; expected true or false"),
    ("alpaca_outputs", {"instruction": USER, "output": [GOOD]}, "expected two answers"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "record", "cause"), BAD_ROWS)
def test_a_bad_row_names_file_line_and_cause(form: str, record: dict[str, Any], cause: str, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", record)
    parse = functools.partial(parse_form, form=form)
    with pytest.raises(UserError) as error:
        list(load(path, parse, counts=Counts()))
    assert str(error.value).startswith(f"{path}, line 1: ")
    assert cause in str(error.value)


def test_conversations_that_part_early_are_left_out_and_counted(tmp_path: Path) -> None:
    other = [said("user", "Something else?"), said("assistant", BAD)]
    path = write(tmp_path / "rows.jsonl", {"chosen": TALK, "rejected": other}, {"chosen": TALK, "rejected": OTHER})
    rows, counts = rows_of(path, recognise(first_records(path, 9), "x"))
    assert rows == [PAIR]
    assert (counts["rejected_prompt_mismatch"], counts["left_out"]) == (1, 1)


def test_a_file_of_which_nothing_is_left_says_why(tmp_path: Path) -> None:
    other = [said("user", "Something else?"), said("assistant", BAD)]
    path = write(tmp_path / "rows.jsonl", {"chosen": TALK, "rejected": other})
    with pytest.raises(
        UserError, match=r"no usable row \(0 bad, 1 left out\)\. The first: rejected_prompt_mismatch .*line 1"
    ):
        rows_of(path, recognise(first_records(path, 9), "x"))


RECORDS = [{"prompt": f"Q{n}?", "chosen": GOOD, "rejected": BAD} for n in range(3)]


def lay_out(folder: Path, kind: str) -> Path:
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()
    path = folder / f"train.{kind}"
    if kind == "jsonl":
        path.write_bytes(lines)
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress(lines))
    elif kind == "jsonl.bz2":
        path.write_bytes(bz2.compress(lines))
    elif kind == "json":
        path.write_text(json.dumps(RECORDS))
    elif kind == "json.gz":
        path.write_bytes(gzip.compress(json.dumps(RECORDS).encode()))
    elif kind == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(RECORDS), path)
    elif kind == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, RECORDS[0])
            writer.writeheader()
            writer.writerows(RECORDS)
    else:
        from datasets import Dataset

        Dataset.from_list(RECORDS).save_to_disk(str(path))
    return path


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "jsonl.bz2", "json", "json.gz", "parquet", "csv", "saved"])
def test_every_kind_of_file_gives_the_same_rows(kind: str, tmp_path: Path) -> None:
    path = lay_out(tmp_path, kind)
    first = first_records(files_of(path, None)[0], 100)
    rows, _ = rows_of(path, recognise(first, "x"))
    assert [row.prompt[0]["content"] for row in rows] == ["Q0?", "Q1?", "Q2?"]


def test_a_folders_card_says_which_files_a_configuration_and_split_have(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / f"{name}.jsonl", {"prompt": name, "chosen": GOOD, "rejected": BAD})
    card = """---
configs:
- config_name: small
  data_files: [{split: train, path: a.jsonl}, {split: test, path: b.jsonl}]
- config_name: large
  data_files: [{split: train, path: c.jsonl}]
---
"""
    (tmp_path / "README.md").write_text(card)
    assert [path.name for path in files_of(tmp_path, "train", "small")] == ["a.jsonl"]
    assert [path.name for path in files_of(tmp_path, None, "small")] == ["a.jsonl", "b.jsonl"]
    assert [path.name for path in files_of(tmp_path, "train", "large")] == ["c.jsonl"]
    with pytest.raises(UserError, match='no split "dev"; found train, test'):
        files_of(tmp_path, "dev", "small")
    with pytest.raises(UserError, match="small"):
        files_of(tmp_path, "train")


@pytest.mark.parametrize(
    "name", ["hh_rlhf/harmless-base_test.jsonl.gz", "ultrafeedback/ultrafeedback_binarized_eval_200.jsonl"]
)
def test_real_files_give_the_rows_that_they_gave(name: str) -> None:
    path = SHARED / "data" / name
    if not path.is_file():
        pytest.skip(f"{path} is absent: released data are not shipped with the code")
    form = recognise(first_records(path, 100), str(path))
    parse = {"hh": parse_hh, "pairs": parse_preference}[form.name]
    counts = Counts()
    before = list(load_rows(path, parse, counts=counts))
    rows, now = rows_of(path, form)
    assert rows == before
    assert now["rows"] + now["left_out"] == len(list(read_records(path)))
    assert {name: n for name, n in now.by_name.items() if name != "left_out"} == counts.by_name


CASES: dict[str, tuple[str, str]] = {
    "01_implicit_prompt/rows.jsonl": ("implicit", "rows: 2"),
    "01_implicit_prompt/text.jsonl": ("", "form: implicit_text"),
    "02_transcript_as_prompt/rows.jsonl": ("hh_prompt", "rows: 2, transcript_as_prompt: 2"),
    "03_sharegpt/rows.json": ("sharegpt", "rows: 1"),
    "13_hh_oddities/assistant_first.jsonl": ("hh", "first_turn_not_human: 1, rows: 1"),
    "13_hh_oddities/code_in_answer.jsonl": ("hh", "rows: 1"),
    "13_hh_oddities/crlf.jsonl": ("hh", "rows: 1, windows_line_ends_mended: 1"),
    "13_hh_oddities/diverges_early.jsonl": ("hh", "rejected_prompt_mismatch"),
    "13_hh_oddities/emoji_rtl.jsonl": ("hh", "rows: 1"),
    "13_hh_oddities/empty_rejected.jsonl": ("hh", "empty_rejected: 1, rows: 1"),
    "13_hh_oddities/ends_with_human.jsonl": ("hh", '"chosen" ends with a Human turn'),
    "13_hh_oddities/nbsp_after_tag.jsonl": ("hh", "rows: 1, tags_mended: 1"),
    "13_hh_oddities/no_blank_after_tag.jsonl": ("hh", "rows: 1, tags_mended: 1"),
    "13_hh_oddities/no_leading_newlines.jsonl": ("hh", "rows: 1, tags_mended: 1"),
    "13_hh_oddities/null_rejected.jsonl": ("hh", '"rejected" holds null; expected text'),
    "13_hh_oddities/rejected_longer.jsonl": ("hh", "rows: 1, several_turns_in_rejected: 1"),
    "13_hh_oddities/single_newline.jsonl": ("hh", "rows: 1, tags_mended: 1"),
    "13_hh_oddities/tag_in_text.jsonl": ("hh", "rows: 1, turns_not_alternating: 1"),
    "14_ultrafeedback_oddities/all_equal.jsonl": ("ultrafeedback", "all_scores_equal: 1, rows: 1"),
    "14_ultrafeedback_oddities/annotations_as_lists.jsonl": ("ultrafeedback", "rows: 1, score_undecided: 1"),
    "14_ultrafeedback_oddities/no_completions.jsonl": ("ultrafeedback", "0 usable responses"),
    "14_ultrafeedback_oddities/null_response.jsonl": ("ultrafeedback", "response_missing: 1, rows: 1"),
    "14_ultrafeedback_oddities/one_with_nan_score.jsonl": ("ultrafeedback", "rows: 1, score_missing: 1"),
    "14_ultrafeedback_oddities/one_with_null_score.jsonl": ("ultrafeedback", "rows: 1, score_missing: 1"),
    "14_ultrafeedback_oddities/one_without_score_key.jsonl": ("ultrafeedback", "rows: 1, score_missing: 1"),
    "14_ultrafeedback_oddities/rating_float_text.jsonl": ("ultrafeedback", "Rating is '4.5'"),
    "14_ultrafeedback_oddities/score_as_text.jsonl": ("ultrafeedback", "rows: 1"),
    "60_import_crash/answers.jsonl": ("", "A preference has two answers"),
    "63_context_columns_ignored/rows.jsonl": ("pairs", "history_column_read: 1, rows: 1, system_column_read: 1"),
}
"""Case of the field -> its form, and what is counted, or what the refusal says"""


@pytest.mark.parametrize("case", CASES)
def test_a_case_of_the_field_is_read_and_counted_or_refused_for_its_cause(case: str) -> None:
    path = SHARED / "cases" / case
    if not path.is_file():
        pytest.skip(f"{path} is absent: the cases are not shipped with the code")
    name, expected = CASES[case]
    try:
        form = recognise(first_records(path, 100), str(path))
        assert form.name == name
        _, counts = rows_of(path, form)
        said_of = ", ".join(f"{cause}: {n}" for cause, n in sorted(counts.by_name.items()))
        assert said_of == expected
    except UserError as error:
        assert path.name in str(error)
        assert expected in str(error)


def test_no_case_of_the_field_is_forgotten() -> None:
    folder = SHARED / "cases"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: the cases are not shipped with the code")
    assert {str(path.relative_to(folder)) for path in folder.glob("*/*.json*")} == set(CASES)


READ_FROM_HUB = """
import json, sys
from prefrepro.data.build import build
from pathlib import Path
build({"source": json.loads(sys.argv[1])}, {}, Path(sys.argv[2]))
"""


def test_a_hub_id_is_read_by_the_configurations_of_its_card(tmp_path: Path) -> None:
    """The real client of the hub and the real `datasets`, against a hub of our own."""
    repo = tmp_path / "hub/datasets/o/pairs"
    repo.mkdir(parents=True)
    record = next(case[2] for case in READ if case[1] == "sharegpt")
    for name in ("a", "b"):
        (repo / f"{name}.json").write_text(json.dumps([record] * (3 if name == "a" else 5)))
    (repo / "README.md").write_text(
        "---\nconfigs:\n- config_name: a\n  data_files: a.json\n- config_name: b\n  data_files: b.json\n---\n"
    )
    source = {
        "kind": "rows", "form": "sharegpt", "columns": {}, "repo": "o/pairs", "revision": COMMIT, "config": "b",
        "on_bad_row": "stop", "parts": {"train": 1.0, "eval": 0.0}, "n_prompts": 1, "prompt_batch": 1, "order_seed": 1,
    }  # fmt: skip
    with hub(tmp_path / "hub") as address:
        settings = {
            "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", READ_FROM_HUB, json.dumps(source), str(tmp_path / "out")],
            env={**os.environ, **settings}, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["counts"]["rows"], manifest["from"]["commit"]) == (5, COMMIT)
