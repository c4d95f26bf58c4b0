"""Whatever the judge may bill is booked, however the request ends, and the budget bounds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from scripted import DROPPED, REQUEST, USAGE, Script, Step, completion

from prefrepro.errors import UserError
from prefrepro.judge.asking import ask_all
from prefrepro.judge.client import JudgeClient

Open = Callable[..., JudgeClient]
PRICE = {"input": 1e6, "output": 1e6}
"""A token costs 1 USD, so that amounts are tokens."""
PAID = float(sum(USAGE.values()))
GOOD = completion(content="Response 1")
NOTHING, ESTIMATE = 0.0, -1.0


def without_usage(step: Step) -> Step:
    return step[0], step[1], {key: value for key, value in step[2].items() if key != "usage"}


def error(**told: Any) -> dict[str, Any]:
    return {"error": told}


WAYS: dict[str, tuple[Step | float, float]] = {
    "an empty body": ((200, {}, b""), ESTIMATE),
    "cut JSON": ((200, {}, b'{"choices": [{"mess'), ESTIMATE),
    "no choices": ((200, {}, {"choices": []}), ESTIMATE),
    "no choices, and a bill": ((200, {}, {"choices": [], "usage": USAGE}), PAID),
    "another form, and a bill": ((200, {}, {"output": "Response 1", "usage": USAGE}), PAID),
    "a content that is a number, and a bill": (completion(content=3), PAID),
    "an error with 200": ((200, {}, error(code=429, message="slow down")), NOTHING),
    "an error with 200, and a bill": ((200, {}, error(code="server_error", message="x") | {"usage": USAGE}), PAID),
    "a gateway's time-out with 200": ((200, {}, error(code=504, message="upstream timed out")), ESTIMATE),
    "no answer in time": (30.0, ESTIMATE),
    "a gateway that waited in vain": ((504, {}, error(message="upstream")), ESTIMATE),
    "a bad gateway": ((502, {}, b"<html>"), ESTIMATE),
    "too many requests": ((429, {"Retry-After": "0"}, error(message="slow down")), NOTHING),
    "overloaded": ((503, {}, error(message="overloaded")), NOTHING),
    "the judge fails": ((500, {}, error(message="oops")), NOTHING),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_failed_try_is_booked_with_the_answer_that_follows(play: Script, open_client: Open, way: str) -> None:
    step, expected = WAYS[way]
    client = open_client(play(step, GOOD), price_usd_per_mtok=PRICE, timeout_s=1.0)
    reply = client.ask(REQUEST)
    first = client.estimate_usd(REQUEST) if expected == ESTIMATE else expected
    assert (reply.text, reply.attempts, len(play.requests)) == ("Response 1", 2, 2)
    assert reply.cost_usd == client.spent_usd() == pytest.approx(first + PAID)
    assert client.ask(REQUEST).cost_usd == reply.cost_usd and len(play.requests) == 2, "from the cache"


@pytest.mark.parametrize("way", WAYS)
def test_a_request_that_never_succeeds_is_booked(play: Script, open_client: Open, way: str) -> None:
    step, expected = WAYS[way]
    client = open_client(play(step), price_usd_per_mtok=PRICE, timeout_s=1.0, max_retries=1)
    reply = client.ask(REQUEST)
    each = client.estimate_usd(REQUEST) if expected == ESTIMATE else expected
    assert (reply.status, len(play.requests)) == ("error", 2)
    assert reply.cost_usd == client.spent_usd() == pytest.approx(2 * each)


def test_a_connection_that_breaks_stops_all_and_is_booked(play: Script, open_client: Open) -> None:
    client = open_client(play(DROPPED), price_usd_per_mtok=PRICE, max_retries=1)
    with pytest.raises(UserError, match="the connection broke"):
        client.ask(REQUEST)
    assert client.spent_usd() == pytest.approx(2 * client.estimate_usd(REQUEST))


def test_nobody_there_costs_nothing(open_client: Open, play: Script) -> None:
    endpoint = play(GOOD)
    play.close()
    client = open_client(endpoint, price_usd_per_mtok=PRICE, max_retries=0)
    with pytest.raises(UserError, match="cannot be reached"):
        client.ask(REQUEST)
    assert client.spent_usd() == 0


def test_another_models_reply_is_asked_once_booked_and_kept(play: Script, open_client: Open) -> None:
    """../shared/cases: 154 paid requests were booked as 0 USD. Once the file says that the two are one, it is used."""
    other = completion(content="Response 1")
    other[2]["model"] = "deployment-7"
    endpoint = play(other)
    with pytest.raises(UserError, match="`served_as: deployment-7`"):
        open_client(endpoint, price_usd_per_mtok=PRICE).ask(REQUEST)
    mended = open_client(endpoint, price_usd_per_mtok=PRICE, served_as="deployment-7")
    assert (mended.ask(REQUEST).text, len(play.requests), mended.spent_usd()) == ("Response 1", 1, PAID)


@pytest.mark.parametrize("step", [without_usage(GOOD), (200, {}, {"choices": []}), (504, {}, {})])
def test_the_budget_is_not_passed(play: Script, open_client: Open, step: Step) -> None:
    """Nothing names a usage here, so the judge may bill all that was estimated."""
    requests = [REQUEST | {"max_tokens": 10 + number} for number in range(60)]
    client = open_client(play(step), price_usd_per_mtok=PRICE, max_retries=2, budget_usd=700)
    with pytest.raises(UserError, match="budget"):
        ask_all(client.ask, requests, 4, progress=False)
    billed = sum(map(client.estimate_usd, play.requests))
    assert 600 < billed <= 700 and client.spent_usd() == pytest.approx(billed)


def test_a_usage_of_nothing_is_no_bill(play: Script, open_client: Open) -> None:
    free = completion(content="Response 1")
    free[2]["usage"] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    client = open_client(play(free), price_usd_per_mtok=PRICE)
    assert client.ask(REQUEST).cost_usd == client.estimate_usd(REQUEST)


def test_thoughts_that_only_the_total_counts_are_booked(play: Script, open_client: Open) -> None:
    thinks = completion(content="Response 1")
    thinks[2]["usage"] = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 905}
    assert open_client(play(thinks), price_usd_per_mtok=PRICE).ask(REQUEST).cost_usd == 905


SCRIPTS = {
    "Chinese": ("请比较以下两个回答并选择更好的一个", 2.0),
    "Japanese": ("次の二つの回答を比べてください", 2.0),
    "Korean": ("다음 두 답변을 비교하세요", 2.0),
    "Thai": ("กรุณาเปรียบเทียบคำตอบ", 3.0),
    "emoji": ("🙂🧪🚀", 4.0),
    "digits": ("3141592653589793", 1.0),
    "code": ("for(i=0;i<n;++i){a[i]^=b[i];}", 0.7),
    "English": ("Please compare the two answers and choose the better one. ", 0.3),
}
"""Tokens for a character, more than a tokenizer of a judge of today makes of such text; at worst a byte is one."""


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_estimate_holds_for_any_script(open_client: Open, script: str) -> None:
    text, tokens = SCRIPTS[script]
    client = open_client(price_usd_per_mtok={"input": 1e6, "output": 0})
    asked = {"model": "m", "messages": [{"role": "user", "content": text * 50}], "max_tokens": 1}
    assert client.estimate_usd(asked) >= tokens * len(text) * 50
