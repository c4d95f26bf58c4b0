"""What single HTTP answers become: a scripted server plays them one by one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
from scripted import REQUEST, Script, Step, completion

from prefrepro.errors import UserError
from prefrepro.judge import transport
from prefrepro.judge.client import JudgeClient
from prefrepro.judge.prompts import compose
from prefrepro.judge.server import Judge

Open = Callable[..., JudgeClient]


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{",
        b"[]",
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"message": {"content": 3}}]},
        "text",
    ],
)
def test_a_malformed_answer_is_retried(play: Script, open_client: Open, broken: Any) -> None:
    reply = open_client(play((200, {}, broken), completion(content="Response 2"))).ask(REQUEST)
    assert (reply.status, reply.text, reply.attempts) == ("ok", "Response 2", 2)
    assert (reply.judge_asked, reply.judge_served, reply.prompt_tokens) == ("m", "m-2026", 3)


def test_malformed_for_ever_is_an_error_and_not_cached(play: Script, open_client: Open) -> None:
    client = open_client(play((200, {}, {"choices": []})), max_retries=1)
    assert client.ask(REQUEST).status == "error"
    assert "choices: List should have at least 1 item" in client.ask(REQUEST).text
    assert not client.is_cached(REQUEST)


@pytest.mark.parametrize(
    "message",
    [
        {"content": None},
        {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
        {"content": None, "refusal": "No."},
    ],
)
def test_an_answer_without_text_is_an_answer(play: Script, open_client: Open, message: dict[str, Any]) -> None:
    reply = open_client(play(completion(**message))).ask(REQUEST)
    assert (reply.status, reply.text) == ("ok", message.get("refusal", ""))
    assert json.loads(reply.body)["choices"][0]["message"] == message


def test_a_pause_that_openai_refuses_is_waited_for(
    play: Script, open_client: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """openai does not retry a Retry-After of more than two minutes."""
    monkeypatch.setattr(transport, "LONGEST_WAIT_S", 0.01)
    wait: Step = (429, {"Retry-After": "600"}, {"error": {"message": "slow down"}})
    assert open_client(play(wait, wait, completion(content="Response 1"))).ask(REQUEST).text == "Response 1"
    reply = open_client(play(wait)).ask(REQUEST, repeat=1)
    assert reply.status == "error" and "slow down" in reply.text


def test_a_date_to_wait_for_is_read_by_the_servers_clock(
    play: Script, open_client: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """By ours it may be a day ahead, which openai refuses to wait for."""
    now = time.time() + 86_400
    headers = {"Date": formatdate(now, usegmt=True), "Retry-After": formatdate(now, usegmt=True)}
    wait: Step = (429, headers, {"error": {"message": "slow down"}})
    assert open_client(play(wait, completion(content="Response 1"))).ask(REQUEST).text == "Response 1"
    assert "wants a pause of 0 s" in caplog.text


def test_the_words_of_another_model_are_no_answer(play: Script, open_client: Open) -> None:
    """Unless the config says that the judge goes by that name. It is not asked again: each try would be billed."""
    other = completion(content="Response 1")
    other[2]["model"] = "n-2026"
    with pytest.raises(UserError, match=r"answers as model 'n-2026', and 'm' was asked.*`served_as: n-2026`"):
        open_client(play(other, completion(content="Response 1"))).ask(REQUEST)
    assert open_client(play(other), max_retries=0, served_as="n-2026").ask(REQUEST).text == "Response 1"


def test_a_time_out_is_an_error_of_its_request(play: Script, open_client: Open) -> None:
    reply = open_client(play(30), timeout_s=1.5, max_retries=0).ask(REQUEST)
    assert reply.status == "error" and "no answer within 1.5 s" in reply.text


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ((404, {}, {"error": {"message": "no such model"}}), "the model or the path is unknown"),
        ((403, {}, {"error": {"message": "the-api-key is barred"}}), r"\*\*\* is barred"),
        ((401, {}, {"error": {"message": "bad key"}}), "the key is refused: .*bad key.*no key is sent"),
        ((429, {}, {"error": {"message": "pay", "code": "insufficient_quota"}}), "the credit is used up"),
        ((402, {}, {"error": {"message": "insufficient credits"}}), "the credit is used up"),
    ],
)
def test_what_ends_the_judging(play: Script, open_client: Open, step: Step, told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        open_client(play(step), max_retries=0).ask(REQUEST)
    assert "the-api-key" not in str(caught.value)


@pytest.mark.parametrize("words", ["prompt flagged by moderation", "the content filter was triggered"])
def test_a_403_for_one_prompt_stops_no_other(play: Script, open_client: Open, words: str) -> None:
    client = open_client(
        play((403, {}, {"error": {"message": words}}), completion(content="Response 1")), max_retries=0
    )
    refused = client.ask(REQUEST)
    assert (refused.status, refused.http_status) == ("refused", 403) and words in refused.text
    assert client.ask(REQUEST | {"max_tokens": 11}).text == "Response 1"


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("<think>I would give [[5]].</think>\n\nRating: [[8]]", "Rating: [[8]]"),
        ("I would give [[5]].</think>Rating: [[8]]", "Rating: [[8]]"),  # the opening tag stands in the template
        ("<think>I would give [[5]], or", ""),
        (
            "<|start|>assistant<|channel|>analysis<|message|>[[5]]<|end|><|start|>assistant<|channel|>final<|message|>[[8]]",
            "[[8]]",
        ),
        (
            "analysisI would give [[5]].assistantfinalRating: [[8]]",
            "Rating: [[8]]",
        ),  # as vLLM shows gpt-oss without its parser
        ("analysis of both: [[5]]", "analysis of both: [[5]]"),
        ("The answer shows <think> and </think> tags: [[2]]", "The answer shows <think> and </think> tags: [[2]]"),
    ],
)
def test_thoughts_are_no_answer(play: Script, open_client: Open, said: str, read: str) -> None:
    assert open_client(play(completion(content=said))).ask(REQUEST).text == read


@pytest.mark.parametrize(("score", "told"), [(float("nan"), "expected finite numbers"), (None, "scorer failed")])
def test_a_scorer_that_fails_is_the_judges_error(
    play: Script, open_client: Open, score: float | None, told: str
) -> None:
    def scorer(_history: str, _response: str) -> float:
        if score is None:
            raise LookupError("unknown world")
        return score

    server = Judge(scorer)
    endpoint = play.serve(server, server.token)
    reply = open_client(endpoint).ask({**REQUEST, "messages": compose("dialogue", "paper", "h", "a", "b")})
    assert reply.status == "refused" and told in reply.text
