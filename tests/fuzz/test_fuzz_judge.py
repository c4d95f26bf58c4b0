"""A judge's replies with one thing wrong, over real HTTP: a verdict, an invalid one, or one message. Never a crash."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answering import Handler, Server
from hypothesis import example, given
from hypothesis import strategies as st
from mutations import FEW, Case, cases, refusal, spoiled_bytes

from prefrepro.csv_schema.schema import read_csv, write_csv
from prefrepro.judge.alpaca.client import Route, raw_text
from prefrepro.judge.alpaca.package import open_annotator, single
from prefrepro.judge.arena_hard import read_2024, read_2025
from prefrepro.judge.client import JudgeClient, chat_request
from prefrepro.judge.dialects.probe import MESSAGES
from prefrepro.judge.endpoint import Endpoint
from prefrepro.judge.mt_bench import read_rating
from prefrepro.judge.pairwise import judge_items
from prefrepro.specs.judge import JudgeConfig, judge_config

pytestmark = pytest.mark.fuzz


def token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": None}


USAGE = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
TOP = [token("m", -0.1), token("M", -2.5), token("a", -9.0), token("b", -9.0), token("c", -9.0)]
CALL = {"id": "1", "type": "function", "function": {"name": "make_partial_leaderboard", "arguments": json.dumps(
    {"ordered_models": [{"model": "m", "rank": 1}, {"model": "M", "rank": 2}]})}}  # fmt: skip
BODIES: dict[str, dict[str, Any]] = {
    "text": {
        "object": "chat.completion", "created": 1, "model": "judge", "system_fingerprint": "f", "usage": USAGE,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Response 1"}}],
    },
    "weighted": {
        "model": "judge", "usage": USAGE,
        "choices": [{"finish_reason": "length", "message": {"content": "m"},
                     "logprobs": {"content": [{**TOP[0], "top_logprobs": TOP}]}}],
    },
    "fn": {
        "model": "judge", "usage": USAGE,
        "choices": [{"finish_reason": "tool_calls", "message": {"content": None, "tool_calls": [CALL]}}],
    },
}  # fmt: skip
ITEM = {"prompt_id": "p", "history": "\n<|user|>\nTwo?", "response": "Four.", "baseline": "Five."}


class Judge:
    """Clients of one server that keep nothing: every case is asked anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        self.endpoint = Endpoint(url, "none")
        self.config: JudgeConfig = judge_config(
            {
                "name": "judge", "kind": "api", "base_url": url, "model": "judge", "max_retries": 0, "reasks": 0,
                "invalid_limit": 1.0, "concurrency": 1, "price_usd_per_mtok": {"input": 1, "output": 1},
            },
            "test",
        )  # fmt: skip
        self.client = JudgeClient(self.config, folder / "cache.sqlite", url, lambda: self.endpoint)
        self.asked = 0
        self.annotators = {kind: single(open_annotator(kind, "judge")) for kind in ("weighted", "fn")}

    def judge(self, body: bytes) -> list[str]:
        """Every reader of a reply reads this one; the verdicts are written, and read back."""
        self.server.body, verdicts = body, []
        self.asked += 1
        item = ITEM | {"response": f"Four. {self.asked}."}
        for protocol in ("paper", "robust"):
            frame = judge_items(
                [item],
                self.client,
                protocol=protocol,
                template="dialogue",
                progress=False,
            )
            write_csv(frame.assign(verdict_set_id="s"), self.folder / "verdicts.csv", "verdicts")
            verdicts += list(read_csv(self.folder / "verdicts.csv", "verdicts")["verdict"])
        reply = self.client.ask(chat_request(self.config, MESSAGES), repeat=self.asked)
        for read in (read_rating, read_2024, read_2025):
            read(reply.text)
        raw_text(reply)
        for kind, annotator in self.annotators.items():
            messages = [{"role": "user", "content": f"{kind} {self.asked}"}]
            Route(self.client, annotator).ask({"messages": messages, "model": "judge"})
        return verdicts


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    made = Judge(tmp_path_factory.mktemp("judge"))
    yield made
    made.client.close()
    made.server.shutdown()


def changed(kind: str, *path: str | int, to: Any) -> Case:
    """A body with one value put into it."""
    body = copy.deepcopy(BODIES[kind])
    inner = body
    for key in path[:-1]:
        inner = inner[key]  # pyright: ignore[reportArgumentType]
    inner[path[-1]] = to  # pyright: ignore[reportArgumentType]
    return Case(body, path, "example", False)


def is_free_in_a_reply(path: tuple[str | int, ...]) -> bool:
    return True


@FEW
@example(changed("text", "choices", 0, "message", "content", to="\ud800"))
@example(changed("text", "choices", 0, "message", "content", to=""))
@example(changed("text", "choices", 0, "message", to={"content": None, "refusal": {"a": 1}}))
@example(changed("text", "choices", 0, "message", "content", to="[[" + "9" * 5000 + "]]"))
@example(changed("text", "usage", "prompt_tokens", to=-5))
@example(changed("text", "usage", "prompt_tokens", to=10**30))
@example(changed("text", "usage", "completion_tokens", to=True))
@example(changed("text", "usage", to=[]))
@example(changed("text", "model", to={"a": 1}))
@example(changed("text", "choices", 0, "finish_reason", to=["stop"]))
@example(changed("weighted", "choices", 0, "logprobs", "content", to=[]))
@example(changed("weighted", "choices", 0, "logprobs", "content", 0, "top_logprobs", to=[{"token": 1}]))
@example(changed("weighted", "choices", 0, "logprobs", "content", 0, "top_logprobs", 0, "logprob", to=1000))
@example(changed("fn", "choices", 0, "message", "tool_calls", to=[3]))
@example(changed("fn", "choices", 0, "message", "tool_calls", 0, "type", to=7))
@example(changed("fn", "choices", 0, "message", "tool_calls", 0, "function", "arguments", to="[" * 100_000))
@example(changed("fn", "choices", 0, "message", "tool_calls", 0, "function", "arguments", to="__import__('os')"))
@given(st.sampled_from(sorted(BODIES)).flatmap(lambda kind: cases(BODIES[kind], is_free=is_free_in_a_reply)))
def test_replies(judge: Judge, case: Case) -> None:
    refusal(lambda: judge.judge(json.dumps(case.value).encode()), names=("judge",))


@FEW
@example(b"[" * 200_000)
@example(b"")
@example(b"\xff\xfe")
@example(b"null")
@given(st.sampled_from(sorted(BODIES)).flatmap(lambda kind: spoiled_bytes(json.dumps(BODIES[kind]).encode())))
def test_bytes_of_replies(judge: Judge, body: bytes) -> None:
    refusal(lambda: judge.judge(body), names=("judge",))


WORDS = [
    "Response 1", "Response 2", "response", "Summary 1", "tie", "Tie", "[[A>>B]]", "[[5]]", "[[11]]", "9" * 400, "\0",
    "\n", " ", ".", "*", "`", "1", "2", "first", "<|im_end|>", "\x1b[2J", "x" * 1000,
]  # fmt: skip


@FEW
@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=6).map("".join))
def test_words_of_replies(judge: Judge, words: str) -> None:
    """Any text is a verdict or an invalid one; under `robust` nothing but the bare answer counts."""
    body = changed("text", "choices", 0, "message", "content", to=words).value
    message = refusal(lambda: judge.judge(json.dumps(body).encode()), names=("judge",))
    assert message is None or "surrogate" in message or "reached" in message, message
