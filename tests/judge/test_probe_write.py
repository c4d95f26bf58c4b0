"""`prefrepro judge probe URL --write NAME` of unlike servers: files that judge without a further change."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
from alpaca_helpers import make_rows
from judge_helpers import IDENTITY, make_items
from odd_judges import JUDGES, server_of
from scripted import Script

from prefrepro.cli import judge as command
from prefrepro.errors import UserError
from prefrepro.judge import arena_hard, mt_bench
from prefrepro.judge.alpaca import evaluate as alpaca
from prefrepro.judge.client import JudgeClient
from prefrepro.judge.endpoint import Endpoint
from prefrepro.judge.pairwise import judge_items
from prefrepro.judge.probe import probe as find_abilities
from prefrepro.specs.files import read_yaml
from prefrepro.specs.judge import JudgeConfig, load_judge

EXPECTED: dict[str, dict[str, Any]] = {
    "deployment": {"served_as": "my-deployment-eu"},
    "newer": {
        "token_limit_field": "max_completion_tokens", "temperature": 1.0, "seed": None, "leave_out": ("top_p",),
    },
    "thinker": {"max_tokens": 1024, "limits": {"alpaca_eval": 1024}},
    "template": {"join_messages": "all"},
    "gateway": {"temperature": None, "leave_out": ("tool_choice",)},
    "one of two": {"temperature": 0.0, "leave_out": ("top_p",)},
    "router": {"leave_out": ("tool_choice",)},
    "silent": {"max_tokens": 1024, "limits": {"alpaca_eval": 1024}},
}  # fmt: skip
CONVERSATION = {
    "prompt_id": "p1", "category": "writing", "turns": ["Write.", "Again."], "responses": ["A text.", "Another."],
}  # fmt: skip
GAME = {"prompt_id": "p1", "prompt": [{"role": "user", "content": "Which?"}], "response": "This one."}


def probe(url: str, write: str = "mine") -> None:
    options = {"model": "odd-1", "api_key_env": None, "json": False, "evaluations": None}
    command.probe(argparse.Namespace(judge=url, write=write, **options))
    read_yaml.cache_clear()  # a process reads a file once


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", JUDGES)
def test_the_file_that_it_writes_judges(
    play: Script, folder: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = play.serve(server_of(JUDGES[kind]()), "none")
    probe(endpoint.base_url)
    config = load_judge(folder / "mine.yaml")
    assert {key: getattr(config, key) for key in EXPECTED[kind]} == EXPECTED[kind]
    assert f"written: {folder / 'mine.yaml'}" in capsys.readouterr().out
    judged = judge_with_all(config, endpoint, folder / "cache.sqlite")
    assert judged == {
        "pairwise": {"win", "loss"},
        "mt_bench": {"rated"},
        "arena_hard": {"win", "loss"},
        "alpaca_eval": {"win", "loss"},
    }


def judge_with_all(config: JudgeConfig, endpoint: Endpoint, cache: Path) -> dict[str, set[str]]:
    """The verdicts of each evaluation."""
    with JudgeClient(config, cache, IDENTITY, lambda: endpoint) as client:
        frames = {"pairwise": judge_items(make_items(8), client, protocol="robust", template="dialogue")}
        frames["mt_bench"] = mt_bench.evaluate([CONVERSATION], client, {"protocol": "mt_bench"}).frame
        rows = [GAME | {"references": {"gpt-4-0314": "That one."}}]
        frames["arena_hard"] = arena_hard.evaluate(rows, client, {"protocol": "arena_hard"}).frame
        spec = {"protocol": "alpaca_eval", "annotator": "fn"}
        frames["alpaca_eval"] = alpaca.evaluate(make_rows(8), client, spec).frame
    return {name: set(frame["verdict"]) for name, frame in frames.items()}


def test_a_file_that_is_there_keeps_its_comments(play: Script, folder: Path) -> None:
    endpoint = play.serve(server_of(JUDGES["newer"]()), "none")
    text = f"""# ours
name: mine
kind: api
base_url: {endpoint.base_url}
model: odd-1
temperature: 0  # the release's
price_usd_per_mtok:
  input: 1
  output: 2
budget_usd: 3  # enough
"""
    (folder / "mine.yaml").write_text(text)
    probe("mine", write="")
    written = (folder / "mine.yaml").read_text()
    assert written.startswith("# ours\n") and "budget_usd: 3  # enough\n" in written and "  input: 1\n" in written
    assert "temperature: 1\n" in written and "seed: null\n" in written
    probe("mine", write="")
    assert (folder / "mine.yaml").read_text() == written, "nothing more to change"


@pytest.mark.parametrize("kind", ["thinker", "silent"])
def test_a_judge_that_is_told_not_to_think_keeps_its_limit(play: Script, folder: Path, kind: str) -> None:
    judge = JUDGES[kind]()
    if kind == "thinker":
        bend = judge.bend
        judge.bend = lambda request, choice: (
            choice if request.get("reasoning_effort") == "none" else bend(request, choice)
        )
    endpoint = play.serve(server_of(judge), "none")
    text = f"name: mine\nkind: api\nbase_url: {endpoint.base_url}\nmodel: odd-1\nreasoning_effort: 'none'\n"
    (folder / "mine.yaml").write_text(text + "max_tokens: 16\nprice_usd_per_mtok: {input: 1, output: 1}\n")
    probe("mine", write="")
    config = load_judge(folder / "mine.yaml")
    assert (config.max_tokens, config.limits) == (16, None)


def test_a_limit_is_never_lowered(play: Script, folder: Path) -> None:
    """A judge that thinks now and then past Arena-Hard's 4096: the first question for it is cut, later ones are not."""
    judge, cut = JUDGES["deployment"](), []

    def bend(request: dict[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
        if request.get("max_tokens") == arena_hard.MAX_TOKENS and not cut:
            cut.append(1)
            return {"message": {"role": "assistant", "content": ""}, "finish_reason": "length"}
        return choice

    judge.bend = bend
    probe(play.serve(server_of(judge), "none").base_url)
    assert cut and (load_judge(folder / "mine.yaml").limits or {})["arena_hard"] == 8192


def test_a_file_without_a_last_line_end(play: Script, folder: Path) -> None:
    endpoint = play.serve(server_of(JUDGES["newer"]()), "none")
    text = f"name: mine\nkind: api\nbase_url: {endpoint.base_url}\nmodel: odd-1\n"
    (folder / "mine.yaml").write_text(text + "price_usd_per_mtok: {input: 1, output: 1}\nseed: 0")
    probe("mine", write="")
    config = load_judge(folder / "mine.yaml")
    assert (config.seed, config.temperature) == (None, 1)


def test_a_probe_tells_all_that_it_cost(play: Script, open_client: Any) -> None:
    endpoint = play.serve(server_of(JUDGES["deployment"]()), "none")
    price = {"input": 1e6, "output": 1e6}
    client = open_client(endpoint, model="odd-1", price_usd_per_mtok=price)
    assert find_abilities(client).cost_usd == client.spent_usd() > 0


def test_another_judges_file_is_not_written_over(play: Script, folder: Path) -> None:
    endpoint = play.serve(server_of(JUDGES["deployment"]()), "none")
    (folder / "mine.yaml").write_text("name: mine\nkind: local\nscorer: length\nmodel: m\n")
    with pytest.raises(UserError, match="is there and is of another judge"):
        probe(endpoint.base_url)


def test_a_file_that_cannot_be_changed_by_lines_is_left_as_it_is(play: Script, folder: Path) -> None:
    """The comment cuts the value that is replaced in two."""
    endpoint = play.serve(server_of(JUDGES["thinker"]()), "none")
    text = f"name: mine\nkind: api\nbase_url: {endpoint.base_url}\nmodel: odd-1\nlimits:\n  mt_bench: 2048\n# more\n"
    text += "  alpaca_eval: 100\nprice_usd_per_mtok: {input: 1, output: 2}\n"
    (folder / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match="cannot be changed line by line"):
        probe("mine", write="")
    assert (folder / "mine.yaml").read_text() == text
