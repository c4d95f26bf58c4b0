"""Cache, budget, keys and fatal failures, against a real server."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from judge_helpers import make_items, stats

from prefrepro.errors import UserError
from prefrepro.judge.client import BudgetError, JudgeClient
from prefrepro.judge.endpoint import Endpoint
from prefrepro.judge.pairwise import judge_items
from prefrepro.judge.prompts import compose

Open = Callable[..., JudgeClient]
PRICE = {"input": 1000.0, "output": 1000.0}
REQUEST = {
    "model": "length-judge",
    "messages": compose("dialogue", "paper", "Hi", "a.", "bbb."),
    "max_tokens": 10,
    "temperature": 0,
}


def judge(client: JudgeClient, n: int = 20):
    return judge_items(make_items(n), client, protocol="paper", template="dialogue")


def test_reply_holds_its_provenance(open_client: Open, endpoint: Endpoint) -> None:
    client = open_client(price_usd_per_mtok=PRICE)
    before = stats(endpoint)["requests"]
    first, again = client.ask(REQUEST), client.ask(REQUEST)
    assert stats(endpoint)["requests"] == before + 1
    assert (first.status, first.text, first.finish_reason) == ("ok", "Response 1", "stop")
    assert (first.judge_asked, first.judge_served) == ("length-judge", "length-judge")
    assert first.cost_usd == pytest.approx((first.prompt_tokens + first.completion_tokens) * 1e-3)
    assert first.cost_usd == client.spent_usd() > 0
    assert (first.cached, first.attempts) == (False, 1)
    assert again.cached and (again.created, again.request_sha256) == (first.created, first.request_sha256)


def test_another_request_repeat_or_judge_is_another_reply(
    open_client: Open, tmp_path: Path, endpoint: Endpoint
) -> None:
    client = open_client()
    asked = [client.ask(REQUEST), client.ask(REQUEST, repeat=1), client.ask({**REQUEST, "seed": 1})]
    with JudgeClient(client.config, tmp_path / "cache.sqlite", "other", lambda: endpoint) as other:
        asked.append(other.ask(REQUEST))
    assert len({reply.request_sha256 for reply in asked}) == 4
    assert not any(reply.cached for reply in asked)


def test_a_cached_judging_asks_nothing_and_is_the_same(open_client: Open, endpoint: Endpoint) -> None:
    first = judge(open_client())
    before = stats(endpoint)["requests"]

    def no_server() -> Endpoint:
        raise AssertionError("a cached judging needs no server")

    client = open_client()
    client._connect = no_server
    again = judge(client)
    assert stats(endpoint)["requests"] == before
    assert (client.asked, client.cached) == (0, 20)
    assert again.to_csv() == first.to_csv()


def test_unreachable_judge_is_one_error_however_many_requests_wait(open_client: Open) -> None:
    """A port that is bound, so that nobody else can have it, and not listened to."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        client = open_client(Endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}/v1", "a-secret-key"))
        connect, connections = client._connect, []

        def counted() -> Endpoint:
            connections.append(1)
            return connect()

        client._connect = counted
        with pytest.raises(UserError, match=r"cannot be reached at http://127\.0\.0\.1.*refused.*Next: check"):
            judge(client)
    assert len(connections) == 1


def test_wrong_token_is_a_clear_error(open_client: Open, endpoint: Endpoint) -> None:
    with pytest.raises(UserError, match=r"the key is refused: .*401") as caught:
        judge(open_client(Endpoint(endpoint.base_url, "a-wrong-secret")))
    assert "a-wrong-secret" not in str(caught.value)


def test_full_budget_stops_and_a_higher_one_pays_only_the_rest(open_client: Open, endpoint: Endpoint) -> None:
    whole = open_client().estimate_usd(REQUEST)
    assert whole == 0, "a free judge costs nothing"
    client = open_client(price_usd_per_mtok=PRICE, budget_usd=1.0)
    before = stats(endpoint)["requests"]
    with pytest.raises(
        UserError, match=r"budget 1\.0000 USD: spent .*raise budget_usd in config/judges/test\.yaml"
    ) as caught:
        judge(client)
    paid = stats(endpoint)["requests"] - before
    assert 0 < paid < 20
    assert f"Still to be asked: {20 - paid} of 20 requests, up to " in str(caught.value)
    assert 0 < client.spent_usd() <= 1.0
    richer = open_client(price_usd_per_mtok=PRICE, budget_usd=100.0)
    frame = judge(richer)
    assert (richer.asked, richer.cached) == (20 - paid, paid)
    assert stats(endpoint)["requests"] - before == 20
    assert richer.spent_usd() == pytest.approx(frame["cost_usd"].sum())


def test_no_budget_no_call(open_client: Open, endpoint: Endpoint) -> None:
    before = stats(endpoint)["requests"]
    with pytest.raises(BudgetError, match="needed for the next call"):
        open_client(price_usd_per_mtok=PRICE, budget_usd=0).ask(REQUEST)
    assert stats(endpoint)["requests"] == before


def test_the_key_is_nowhere_on_disk(open_client: Open, endpoint: Endpoint, tmp_path: Path) -> None:
    frame = judge(open_client())
    assert endpoint.api_key not in frame.to_csv() + repr(endpoint)
    for file in tmp_path.iterdir():
        assert endpoint.api_key.encode() not in file.read_bytes()


def test_request_rate_is_held(open_client: Open) -> None:
    started = time.monotonic()
    judge(open_client(requests_per_minute=1200), n=11)
    assert time.monotonic() - started >= 10 * 60 / 1200


def test_a_cache_that_is_no_database_is_a_clear_error(open_client: Open, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("not a database, but long enough to look at it twice" * 20)
    with pytest.raises(UserError, match="reply cache cannot be opened"):
        open_client(cache=tmp_path / "other")
