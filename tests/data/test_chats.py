"""A chat template or tokenizer that cannot take the data is said before the first job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from checkout import Checkout
from test_chat_template import CHATML, EOS, MISTRAL, with_template, with_turn_tokens

from prefrepro.errors import UserError
from prefrepro.files import write_json, write_lines
from prefrepro.inspect.chats import refuse_chats
from prefrepro.plan.nodes import Graph, Node

SYSTEM = {"role": "system", "content": "Be kind."}


def row(number: int, *before: dict[str, str]) -> str:
    asked = [*before, {"role": "user", "content": f"Why {number}?"}]
    return json.dumps({"prompt": asked, "chosen": "So.", "rejected": "No."}) + "\n"


def graph_of(folder: Path, made: Any, source: dict[str, Any], **tokens: Any) -> Graph:
    made.save_pretrained(folder / "model")
    hub = {"repo": str(folder / "model"), "revision": None, "template": "chat", "tokens": tokens}
    data = Node("data", "d", "d", {"source": source}, {}, ())
    run = Node("sft", "sft_m_d_1", "sft_m_d", {"init": hub}, {"data": "d"}, ())
    return Graph(folder / "results", [], {}, {}, {"d": data, run.id: run})


def test_a_system_message_that_the_template_refuses_is_found_in_the_file_and_in_the_built_data(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    write_lines(file, [row(1), row(2, SYSTEM)])
    graph = graph_of(tmp_path, with_template(MISTRAL), {"kind": "rows", "form": "pairs", "files": str(file)})
    nodes = list(graph.nodes.values())
    with pytest.raises(UserError, match=r"rows.jsonl, row 2 begins with a system message, .*refuses \(roles must"):
        refuse_chats(graph, nodes)
    folder = graph.results / "data" / "d"
    for name in ("train", "eval", "prompts"):
        write_lines(folder / f"{name}.jsonl", [row(1), row(2, SYSTEM)] if name == "eval" else [row(3)])
    write_json(folder / "manifest.json", {})
    with pytest.raises(UserError, match=r"eval.jsonl, line 2 begins with a system message"):
        refuse_chats(graph, nodes)
    write_lines(folder / "eval.jsonl", [row(1)])
    refuse_chats(graph, nodes)


def test_a_template_that_takes_system_messages_and_a_wrong_tokenizer(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    write_lines(file, [row(1, SYSTEM)])
    source = {"kind": "rows", "form": "pairs", "files": str(file)}
    graph = graph_of(tmp_path, with_template(CHATML), source)
    refuse_chats(graph, list(graph.nodes.values()))
    wrong = graph_of(tmp_path / "wrong", with_turn_tokens(), source)
    with pytest.raises(UserError, match=f"eos_token is {EOS}: answers would run on"):
        refuse_chats(wrong, list(wrong.nodes.values()))


def test_snakemake_says_it_before_its_first_job(checkout: Checkout, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    write_lines(file, [row(number, *[SYSTEM][: number % 2]) for number in range(300)])
    with_template(MISTRAL).save_pretrained(checkout.root / "models" / "mine")
    model = {"kind": "hub", "repo": "models/mine", "revision": None, "template": "chat"}
    checkout.write_yaml("config/models/mine.yaml", model)
    checkout.edit_yaml("config/scales/embedded.yaml", {"models": {"mistral-7b": "mine"}})
    assert checkout.prefrepro("data", "inspect", str(file), "--write", "my-data").returncode == 0
    done = checkout.snakemake("my_data", "--cores", "1")
    assert done.returncode != 0
    assert "error: " in done.stderr and "rows.jsonl, row 2 begins with a system message" in done.stderr
    assert "Next: template: role_tags" in done.stderr and "Traceback" not in done.stderr
    assert not (checkout.results / "data").exists()
