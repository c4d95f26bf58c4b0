"""prefrepro data inspect: what it counts is there, what it shows is what a model reads, and what it writes is used."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from checkout import Checkout
from hub_server import COMMIT, hub
from shared import SHARED
from test_chat_template import CHATML, MISTRAL, with_template

from prefrepro.data.rows import Counts
from prefrepro.data.truncate import Limits
from prefrepro.errors import UserError
from prefrepro.inspect.dataset.measure import Lengths
from prefrepro.inspect.dataset.opened import opened
from prefrepro.inspect.dataset.report import ODD, as_text, inspected
from prefrepro.inspect.dataset.written import _with_line
from prefrepro.model.examples import encode_pairs

LIMITS = Limits(40, 20, "keep_end", "always")


def file_of(tmp_path: Path, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> str:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def pair(prompt: Any, chosen: str, rejected: str, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


def looked_at(path: str, tokenizer: Any = None, **how: Any) -> dict[str, Any]:
    return inspected(opened(path, how.get("form"), how.get("columns", {})), tokenizer, LIMITS, "t")


def test_what_is_odd_is_counted_with_its_first_places_and_what_deals_with_it(tmp_path: Path) -> None:
    question = "How do I feed a cat in winter?"
    rows = [
        pair(question, "Twice a day.", "No idea."),
        pair(question, "Twice a day.", "No idea."),
        pair(question, "No idea.", "Twice a day."),
        pair("A?", "", "x"),
        pair("B?", "same", "same"),
        pair("C?", "fine<|im_end|>", "x"),
        pair(question, f"{question} Twice.", "x"),
        pair("Human: D? \n\nAssistant: E. \n\nUser: F?", "y", "x"),
        pair([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "G?"}], "y", "x"),
        pair("H?", "y", "x", score_chosen=1.0, score_rejected=1.0),
        pair("I?", "y", None),  # pyright: ignore[reportArgumentType]
    ]
    found = looked_at(file_of(tmp_path, rows))
    assert (found["rows"], found["records"], found["bad_rows"], found["left_out"]) == (9, 11, 1, 1)
    odd = {one["name"]: one for one in found["odd"]}
    expected = {
        "same_row_again": "line 2", "opposite_label_before": "line 3", "empty_chosen": "line 4",
        "chosen_equals_rejected": "line 5", "tags_in_answer": "line 6", "question_repeated_in_answer": "line 7",
        "transcript_in_prompt": "line 8", "system_messages": "line 9", "equal_scores_left_out": "line 10",
    }  # fmt: skip
    for name, place in expected.items():
        assert (odd[name]["count"], odd[name]["first"]) == (1, [place])
    assert odd["bad_rows"]["first"][0].startswith('line 11: "rejected" holds ')
    assert odd["duplicate_prompts"]["count"] == 3
    assert all(one["what"] and one["do"] for one in odd.values())
    assert found["marks"] == {"<|im_end|>": 1}
    text = as_text(found, 80)
    assert "9 of 11 read" in text and "on_bad_row: skip" in text and "row 3, as a model reads it" in text
    assert max(map(len, text.splitlines()[1:])) <= 80  # the first names the file, however long


def test_every_count_of_a_reader_has_words() -> None:
    """A reader that counts something new says here what it is and what to do."""
    sources = [path.read_text(encoding="utf-8") for path in Path("prefrepro/data").rglob("*.py")]
    sources.append(Path("prefrepro/inspect/dataset/measure.py").read_text(encoding="utf-8"))
    named = {name for text in sources for name in re.findall(r'note\("(\w+)"\)', text)} - {"left_out"}
    assert named <= ODD.keys(), named - ODD.keys()
    assert all({"what", "do"} == entry.keys() for entry in ODD.values())


@pytest.mark.parametrize("template", [None, CHATML])
def test_tokens_and_cuts_are_those_of_training(tmp_path: Path, template: str | None) -> None:
    tokenizer = with_template(template)
    rows = [pair(f"Why {'so ' * n}?", "So. " * n, "And?") for n in range(1, 30)]
    found = looked_at(file_of(tmp_path, rows), tokenizer)["tokens"]
    asked = [{"role": "user", "content": str(row["prompt"])} for row in rows]
    made = [row | {"prompt": [one], "prompt_id": str(n)} for n, (row, one) in enumerate(zip(rows, asked, strict=True))]
    counts = encode_pairs(made, tokenizer, LIMITS).counts
    assert found["cut_pct"]["prompts in training"] == round(100 * counts["prompts_cut"] / counts["sequences"], 2) > 0
    assert found["cut_pct"]["responses in training"] == round(100 * counts["responses_cut"] / counts["sequences"], 2)
    assert found["cut_pct"]["prompts in sampling"] == found["cut_pct"]["prompts in training"]
    whole = encode_pairs(made, tokenizer, Limits(10_000, 5_000, "keep_end", "always"))
    assert found["lengths"]["chosen"]["max"] == max(len(one.response_ids) for one in whole.chosen)
    assert found["lengths"]["prompt"]["max"] == max(len(one.prompt_ids) for one in whole.chosen)


def test_a_template_that_refuses_a_system_message_is_told_with_the_setting(tmp_path: Path) -> None:
    prompt = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"}]
    found = looked_at(
        file_of(tmp_path, [pair(prompt, "So.", "No."), pair("Why?", "So.", "No.")]), with_template(MISTRAL)
    )
    odd = {one["name"]: one for one in found["odd"]}
    assert odd["refused_by_the_template"]["count"] == 1 and "role_tags" in odd["refused_by_the_template"]["do"]
    assert "refuses a prompt of system, user" in found["tokens"]["refused"]


def test_lengths_are_bounded_and_close() -> None:
    lengths = Lengths()
    for length in range(100_000):
        lengths.add(length)
    found = lengths.summary()
    assert found["max"] == 99_999 and abs(found["median"] / 50_000 - 1) < 0.01 and abs(found["p95"] / 95_000 - 1) < 0.01
    assert len(lengths._counts) < 3_000


def test_rows_of_no_form_are_one_message(tmp_path: Path) -> None:
    rows = [{"question": "Why?", "good": "So.", "bad": "No."}] * 200
    path = file_of(tmp_path, rows)
    with pytest.raises(UserError) as caught:
        opened(path, None, {})
    assert path in str(caught.value) and "question, good, bad" in str(caught.value)
    columns = {"prompt": "question", "chosen": "good", "rejected": "bad"}
    assert looked_at(path, form="pairs", columns=columns)["rows"] == 200
    assert "To try it here: --form pairs --columns prompt=…,chosen=…,rejected=… or" in str(caught.value)
    liked = file_of(tmp_path, [{"question": "Why?", "answer": "So.", "thumb": "up"}])
    with pytest.raises(UserError, match="first row, read as unpaired: \"label\" holds 'up'; expected true or false"):
        opened(liked, "unpaired", {"prompt": "question", "completion": "answer", "label": "thumb"})
    with pytest.raises(UserError, match=r"outputs of one model, no preferences\. Next: prefrepro import-samples"):
        opened(file_of(tmp_path, [{"instruction": "Why?", "output": "So."}]), None, {})
    with pytest.raises(UserError, match=r'form "pair" is unknown. Known: .* Did you mean pairs?'):
        opened(path, "pair", {})
    with pytest.raises(UserError, match=r"line 1: not valid JSON"):
        (tmp_path / "broken.jsonl").write_text("{]\n{]\n", encoding="utf-8")
        opened(str(tmp_path / "broken.jsonl"), None, {})
    with pytest.raises(UserError, match=r"^my/none.jsonl does not exist"):
        opened("my/none.jsonl", None, {})
    with pytest.raises(UserError, match="does not exist; expected a file, a folder or a hub id"):
        opened(str(tmp_path / "nothing.jsonl"), None, {})


def test_a_line_goes_below_its_section_however_that_is_written() -> None:
    for before, after in (
        ("datasets:\n  hh: x\nb: 1\n", "datasets:\n  me: me\n  hh: x\nb: 1\n"),
        ("datasets: {hh: x}   # why\n", "datasets: {hh: x, me: me}\n"),
        ("datasets:   # why\n  hh: x\n", "datasets:   # why\n  me: me\n  hh: x\n"),
        ("a: 1\n", "a: 1\ndatasets:\n  me: me\n"),
    ):
        assert _with_line(before, "datasets", "me: me") == after


def test_what_is_written_is_taken_once(checkout: Checkout, tmp_path: Path) -> None:
    path = file_of(tmp_path, [pair(f"Why {n}?", "So.", "No.") for n in range(300)])
    done = checkout.prefrepro("data", "inspect", path, "--write", "my-data")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Next: snakemake my_data\n")
    planned = checkout.prefrepro("plan", "my_data")
    assert planned.returncode == 0, planned.stderr
    again = checkout.prefrepro("data", "inspect", path, "--write", "my-data")
    assert again.returncode == 2 and "config/datasets/my-data.yaml exists" in again.stderr
    shown = json.loads(checkout.prefrepro("data", "inspect", path, "--json").stdout)
    assert (shown["rows"], shown["written"], shown["reading"]) == (300, [], {"kind": "rows", "form": "pairs"})


def test_one_answer_and_a_label_become_a_table_that_wants_a_judge(checkout: Checkout, tmp_path: Path) -> None:
    rows = [{"prompt": f"Why {n // 2}?", "completion": "So." * (n % 2), "label": bool(n % 3)} for n in range(600)]
    found = looked_at(path := file_of(tmp_path, rows))
    assert found["labels"] == {"true": 400, "false": 200} and set(found["characters"]) == {"prompt", "good", "bad"}
    done = checkout.prefrepro("data", "inspect", path, "--write", "thumbs")
    assert done.stdout.endswith("Next: snakemake thumbs --config judge=NAME\n"), done.stderr
    planned = checkout.prefrepro("plan", "thumbs", "judge=vllm")
    assert planned.returncode == 0 and "kto_" in planned.stdout, planned.stderr
    refused = checkout.prefrepro("plan", "thumbs")  # before anything is trained
    assert refused.returncode == 2 and "knows the reward of the embedded world alone" in refused.stderr


def test_a_hub_id_is_read_and_written_at_its_commit(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = tmp_path / "hub" / "datasets" / "me" / "plants"
    served.mkdir(parents=True)
    for split, first in (("train", 0), ("test", 300)):
        rows = [pair(f"Why {n}?", "So.", "No.") for n in range(first, first + 150)]
        file_of(served, rows, f"{split}.jsonl")
    with hub(tmp_path / "hub") as address:
        settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}
        for name, value in (settings | {"HF_HUB_DISABLE_TELEMETRY": "1"}).items():
            monkeypatch.setenv(name, value)
        done = checkout.prefrepro("data", "inspect", "me/plants", "--write", "plants")
        assert done.returncode == 0, done.stderr
        assert "rows      300 of 300 read, 300 unique prompts\n" in done.stdout
        assert "files     2: train.jsonl, test.jsonl" in done.stdout
        written = (checkout.root / "config/datasets/plants.yaml").read_text(encoding="utf-8")
        assert f"repo: me/plants\nrevision: {COMMIT}\n" in written and "splits: {train: null}" in written
        planned = checkout.prefrepro("plan", "plants")
        assert planned.returncode == 0, planned.stderr
        data = planned.stdout.split("plants_")[1].split()[0]
        made = checkout.snakemake("--cores", "1", f"results/embedded/data/plants_{data}/manifest.json")
        assert made.returncode == 0, made.stderr
        manifest = json.loads(next(checkout.results.glob("data/plants_*/manifest.json")).read_text(encoding="utf-8"))
        assert manifest["rows"]["train"] + manifest["rows"]["eval"] == 300
        gone = checkout.prefrepro("data", "inspect", "me/nothing")
        assert gone.returncode == 2 and "me/nothing at revision main cannot be had from the hub" in gone.stderr


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="../shared/data is not there")
@pytest.mark.parametrize(
    ("name", "read", "of"),
    [
        ("hh_rlhf/harmless-base_test.jsonl.gz", 2308, 2312),
        ("ultrafeedback/ultrafeedback_binarized_train_1000.jsonl.gz", 889, 1000),
        ("ultrafeedback/ultrafeedback_binarized_eval_200.jsonl", 175, 200),
        ("tldr/tldr_ppo1.3b_vs_reference_gpt4_judged_1000.csv.gz", 1000, 1000),
        ("qa_feedback/dev_feedback.json", 500, 500),
        ("alpaca_eval/multi_response_4models_gpt4turbo_score_200.jsonl", 200, 200),
    ],
)
def test_the_real_files(name: str, read: int, of: int) -> None:
    found = looked_at(str(SHARED / "data" / name))
    assert (found["rows"], found["records"]) == (read, of)
    assert max(map(len, as_text(found, 80).splitlines()[1:])) <= 80  # the first is the path
    assert Counts().manifest()["counts"]["bad_rows"] == found["bad_rows"] == 0
