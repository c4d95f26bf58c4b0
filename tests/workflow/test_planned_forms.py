"""What planning says of data of other forms: read; refused once with the line that reads it; or no method for it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from checkout import NODES, Checkout
from form_rows import READ, USER
from tiny_world import make_tiny

from prefrepro.data.build import build
from prefrepro.errors import UserError
from prefrepro.model.examples import read_rows
from prefrepro.plan.dataset import source_of
from prefrepro.specs.sources import check_named

COMMON = {"kind": "rows", "on_bad_row": "stop", "parts": {"train": 0.6, "eval": 0.4}}
DRAWN = {"n_prompts": 4, "prompt_batch": 4, "order_seed": 1}


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def rows_of(form: str, n: int = 40) -> list[dict[str, Any]]:
    """Rows of a form, each with a prompt of its own."""
    record = json.dumps(next(case[2] for case in READ if case[1] == form))
    return [json.loads(record.replace(USER, f"{USER} {number}")) for number in range(n)]


def settled(path: Path, rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    source = COMMON | {"files": write(path / "rows.jsonl", rows)} | changes
    check_named("datasets", "mine", source)
    return source_of(source, "mine", path)


@pytest.mark.parametrize("form", ["implicit", "sharegpt", "alpaca", "openai", "hh", "hh_prompt", "ultrafeedback"])
def test_a_form_that_nobody_said_is_found_and_read(form: str, tmp_path: Path) -> None:
    source = settled(tmp_path, rows_of(form))
    assert source["form"] == form
    build({"source": source | DRAWN}, {}, tmp_path / "out")
    assert sum(len(read_rows(tmp_path / "out" / f"{part}.jsonl")) for part in ("train", "eval")) == 40
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["counts"]["rows"], manifest["rows"]["prompts"]) == (40, 4)


def test_canonical_rows_are_read_as_before(tmp_path: Path) -> None:
    rows = [{"prompt": f"Q{n}", "chosen": "a", "rejected": "b"} for n in range(5)]
    said, unsaid = settled(tmp_path, rows, form="pairs"), settled(tmp_path, rows)
    assert said == unsaid
    assert "columns" not in said


def test_columns_beside_the_prompt_are_read_with_it(tmp_path: Path) -> None:
    rows = [{"prompt": f"Q{n}", "system": "Be short.", "chosen": "a", "rejected": "b"} for n in range(40)]
    source = settled(tmp_path, rows, form="pairs")
    assert source["columns"] == {"system": "system"}
    build({"source": source | DRAWN}, {}, tmp_path / "out")
    prompt = read_rows(tmp_path / "out/train.jsonl")[0]["prompt"]
    assert [message["role"] for message in prompt] == ["system", "user"]


def test_a_column_that_some_rows_alone_have_is_read_where_it_is(tmp_path: Path) -> None:
    """Absent in a row, empty in the first hundred, or absent from a whole file: each row has what it holds itself."""
    pair = {"chosen": "a", "rejected": "b"}
    some = [{"prompt": f"Q{n}", **pair, **({"system": "Be short."} if n % 2 else {})} for n in range(10)]
    late = [{"prompt": f"L{n}", **pair, "system": "Be short." if n > 149 else ""} for n in range(160)]
    none = [{"prompt": f"N{n}", **pair} for n in range(3)]
    named = (("some", some), ("late", late), ("none", none))
    files = [write(tmp_path / f"{name}.jsonl", rows) for name, rows in named]
    source = source_of(COMMON | {"files": files, "parts": {"train": 1.0, "eval": 0.0}}, "mine", tmp_path)
    build({"source": source | DRAWN}, {}, tmp_path / "out")
    roles = [
        "".join(message["role"][0] for message in row["prompt"]) for row in read_rows(tmp_path / "out/train.jsonl")
    ]
    assert (len(roles), roles.count("su")) == (173, 15)


def test_a_transcript_is_one_message_where_that_is_said_and_counted(tmp_path: Path) -> None:
    source = settled(tmp_path, rows_of("hh_prompt"), form="pairs", columns={"prompt": "prompt"})
    build({"source": source | DRAWN}, {}, tmp_path / "out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["counts"]["rows"], manifest["counts"]["transcript_as_prompt"]) == (40, 40)
    assert len(read_rows(tmp_path / "out/train.jsonl")[0]["prompt"]) == 1


def test_a_named_column_that_no_file_has_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`columns` names sytem, which no row of the first 100 of any file has"):
        settled(tmp_path, rows_of("pairs"), columns={"system": "sytem"})


@pytest.mark.parametrize(
    ("form", "changes", "expected"),
    [
        ("sharegpt", {"form": "pairs"}, "no row of the first 40 is of the form pairs.*form: sharegpt"),
        ("hh_prompt", {"form": "pairs"}, "form: hh_prompt, or columns: {prompt: prompt}"),
        ("pairs", {"columns": {"prompt": "question"}}, "`columns` names question, which no row has"),
    ],
)
def test_another_form_than_is_said_is_one_message(
    form: str, changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=expected):
        settled(tmp_path, rows_of(form), **changes)


def test_rows_on_the_hub_want_their_form(tmp_path: Path) -> None:
    source = COMMON | {"repo": "o/some", "revision": "abc"}
    with pytest.raises(UserError, match=r"mine\.yaml: form is missing.*prefrepro data inspect o/some"):
        source_of(source, "mine", tmp_path)
    assert source_of(source | {"form": "sharegpt"}, "mine", tmp_path)["columns"] == {}
    assert "columns" not in source_of(source | {"form": "pairs"}, "mine", tmp_path)


def test_files_of_several_forms_are_one_message(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{form}.jsonl", rows_of(form)) for form in ("sharegpt", "openai")]
    with pytest.raises(UserError, match=r"openai\.jsonl: form openai.*sharegpt\.jsonl has form sharegpt"):
        source_of(COMMON | {"files": files}, "mine", tmp_path)


@pytest.mark.parametrize(("kind", "form"), [("hh", "sharegpt"), ("hh", "hh_prompt"), ("rows", "sharegpt")])
def test_the_job_refuses_a_file_of_another_form_once(kind: str, form: str, tmp_path: Path) -> None:
    """Also where bad rows are skipped, and where planning could not look, as on the hub."""
    source = COMMON | DRAWN | {"kind": kind, "form": "pairs", "on_bad_row": "skip"}
    source["files"] = write(tmp_path / "rows.jsonl", rows_of(form, 300))
    with pytest.raises(UserError) as error:
        build({"source": source}, {}, tmp_path / "out")
    assert str(error.value).count("rows.jsonl") == 1
    assert f"form: {form}" in str(error.value)


TABLE = {
    "title": "Mine", "where": "ours", "scales": ["embedded"], "metric": "win_rate_pct", "model": "mistral-7b",
    "dataset": "mine", "evaluation": "dialogue", "baseline": "sft", "columns": {"win-rate": {"label": "Win Rate"}},
    "rows": {name: {"label": name, "method": name} for name in ("sft", "kto", "bco", "kto_simple")},
}  # fmt: skip


@pytest.fixture(scope="module")
def unpaired(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy in which a table trains on 64 good and 32 bad completions."""
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    make_tiny(checkout)
    rows = [{"prompt": f"Q{n}?", "completion": f"Answer {n}.", "label": n % 3 > 0} for n in range(96)]
    write(checkout.root / "rows.jsonl", rows)
    checkout.write_yaml("config/datasets/mine.yaml", COMMON | {"files": "rows.jsonl"})
    changes = {"datasets": {"mine": "mine"}, "prompt_sets": {"mine": {"n": 8}}, "sampling": {"n": 8, "batch_size": 8}}
    checkout.edit_yaml("config/scales/embedded.yaml", changes)
    checkout.write_yaml("paper_tables/rpo/mine.yaml", TABLE)
    return checkout


def test_unpaired_rows_are_planned_for_methods_that_learn_from_them(unpaired: Checkout) -> None:
    ask = NODES.replace("table1", "mine")
    done = unpaired.python("-c", ask, json.dumps({"judge": "vllm"}))
    assert done.returncode == 0, done.stderr
    nodes = json.loads(done.stdout)
    runs = {node["spec"]["method"]: node for node in nodes if node["kind"] in ("run", "sft")}
    assert set(runs) == {"sft", "kto", "bco", "kto_simple"}
    assert all(node["spec"]["pairs"] == "unpaired" for node in runs.values())
    assert {"other", "reference_other"} <= set(runs["kto"]["inputs"])
    assert not {"other", "reference_other"} & set(runs["bco"]["inputs"])
    data = [node for node in nodes if node["kind"] == "data" and node["spec"]["source"].get("form") == "unpaired"]
    assert {node["spec"]["source"].get("completions") for node in data} == {None, "of_another_prompt"}


@pytest.mark.parametrize(
    ("changes", "judge", "expected"),
    [
        ({"rows": {"dpo": {"label": "DPO", "method": "dpo"}}}, "vllm",
         "row dpo: dpo wants pairs or groups .* These methods learn from such: bco, kto, kto_simple, kto_zero, sft"),
        ({"rows": {"x": {"label": "X", "method": "rpo_unpaired"}}}, "vllm", "row x: rpo_unpaired wants pairs"),
        ({"rows": {"x": {"label": "X", "method": "ppo"}}}, "vllm", "row x: ppo wants pairs"),
        ({"rows": {"kto": {"pairs": "best_vs_worst"}}}, "vllm", '"pairs" is set, but the data set holds single'),
        ({}, "reward-model", "the judge of win-rate: bradley_terry wants pairs"),
    ],
)  # fmt: skip
def test_other_methods_are_refused_while_planning(
    changes: dict[str, Any], judge: str, expected: str, unpaired: Checkout
) -> None:
    unpaired.edit_yaml("paper_tables/rpo/mine.yaml", changes)
    done = unpaired.prefrepro("plan", "mine", f"judge={judge}")
    unpaired.write_yaml("paper_tables/rpo/mine.yaml", TABLE)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert re.search(expected, done.stderr), done.stderr
