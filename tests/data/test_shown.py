"""Prompts that RPO's Tables 9 to 12 show, found by hash; what stands in for them; and the table of answers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from shared import SHARED

from prefrepro.data.build import build
from prefrepro.data.hh import parse_hh
from prefrepro.data.shown import found, prompt_sha256
from prefrepro.files import ROOT
from prefrepro.plan.build import make_plan
from prefrepro.specs.table import read_table
from prefrepro.tables.build import write

COLUMNS = {column.key: column for column in read_table(ROOT / "paper_tables/rpo/samples_rpo.yaml").columns}


def said(*texts: str) -> dict[str, Any]:
    return {"prompt": [{"role": "user", "content": text} for text in texts]}


def test_print_changes_no_hash_and_the_shortest_conversation_is_taken() -> None:
    wanted = prompt_sha256("He said: “don’t …\nstop”")
    lines = [said("first", 'he said "don\'t... stop"'), said('He said: "Don\'t ... stop"'), said("another")]
    assert found(lines, [wanted]) == {wanted: lines[1]}


def test_table_12_is_a_prompt_of_alpaca_eval() -> None:
    path = SHARED / "data/alpaca_eval/gpt4_1106_preview_reference_outputs.json"
    if not path.is_file():
        pytest.skip(f"{path} is absent: AlpacaEval's instructions are not shipped with the code")
    rows = [said(row["instruction"]) for row in json.loads(path.read_text(encoding="utf-8"))]
    assert rows.index(found(rows, [COLUMNS["table12"].prompt_sha256]).popitem()[1]) == 445


def test_table_11_is_a_prompt_of_hh() -> None:
    path = SHARED / "data/hh_rlhf/harmless-base_test.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"{path} is absent: HH is not shipped with the code")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file if "loves to cook" in line]
    rows = [{"prompt": row.prompt} for row in (parse_hh(record, lambda _: None) for record in records) if row]
    assert len(found(rows, [COLUMNS["table11"].prompt_sha256]).popitem()[1]["prompt"]) == 1


def test_the_first_evaluation_prompts_stand_in_and_the_table_says_so(tmp_path: Path) -> None:
    """The embedded world holds no prompt of the paper; here one of its own is asked for beside one that is absent."""
    plan = make_plan()
    node = plan.tables["samples_rpo"]
    source = plan.nodes[next(one["data_id"] for one in node.spec["shown"] if one["place"] == 1)].spec["source"]
    usual = {key: value for key, value in source.items() if key != "prompt_sha256"}
    build({"source": usual}, {}, tmp_path / "usual")
    prompts = [json.loads(line) for line in (tmp_path / "usual/prompts.jsonl").read_text(encoding="utf-8").splitlines()]
    known = prompt_sha256(prompts[7]["prompt"][-1]["content"])
    build({"source": usual | {"prompt_sha256": ["0" * 64, known]}}, {}, tmp_path / "shown")
    rows = [json.loads(line) for line in (tmp_path / "shown/prompts.jsonl").read_text(encoding="utf-8").splitlines()]
    manifest = json.loads((tmp_path / "shown/manifest.json").read_text(encoding="utf-8"))
    assert rows == [prompts[0], prompts[7]] and manifest["shown"] == [False, True]
    assert manifest["rows"] == dict.fromkeys(("pretrain", "train", "eval", "dev", "judge"), 0) | {"prompts": 2}

    for one in node.spec["shown"]:
        folder = tmp_path / "samples" / one["sample_id"]
        folder.mkdir(parents=True, exist_ok=True)
        answers = [row | {"response": f"{one['row_label']} | {place}"} for place, row in enumerate(rows)]
        (folder / "samples.jsonl").write_text("\n".join(map(json.dumps, answers)) + "\n", encoding="utf-8")
        (tmp_path / "data" / one["data_id"]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / one["data_id"] / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    write(node.spec, tmp_path, tmp_path / "tables")
    page = (tmp_path / "tables/rpo_samples_rpo.md").read_text(encoding="utf-8")
    assert "Table 9: OpenAI Summarization, Table 11: Anthropic-HH, Table 12: AlpacaEval 2.0: the data of this" in page
    assert "RPO-Paired \\| 1" in page and "not comparable" in page
    lines = (tmp_path / "tables/rpo_samples_rpo.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 4 * (1 + 7) and lines[1].startswith("Table 9: OpenAI Summarization,Prompt,")


def test_each_answer_is_of_the_run_of_table_4() -> None:
    """The four tables cost no training of their own."""
    plan = make_plan()
    runs = {plan.nodes[one["sample_id"]].inputs["run"] for one in plan.tables["samples_rpo"].spec["shown"]}
    of_table_4 = {run for cell in plan.tables["table4"].spec["cells"] for run in cell["run_ids"]}
    assert len(runs) == 14 and runs <= of_table_4
