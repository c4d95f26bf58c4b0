"""Parsing, order and verdicts, the latter through a real server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pandas as pd
import pytest
from judge_helpers import make_items

from prefrepro.csv_schema.schema import validate_frame
from prefrepro.errors import UserError
from prefrepro.judge.client import JudgeClient
from prefrepro.judge.pairwise import clean_response, judge_items, paper_order, parse_paper, parse_robust, verdict_of

Open = Callable[..., JudgeClient]


def judge(client: JudgeClient, n: int = 30, protocol: str = "paper", template: str = "dialogue") -> pd.DataFrame:
    return judge_items(make_items(n), client, protocol=protocol, template=template)


@pytest.mark.parametrize(
    ("reply", "choice"),
    [  # docs/judging.md#judge
        ("Response 1", "first"),
        ("response 2 is better", "second"),
        ("I pick RESPONSE 2.", "second"),
        ("Response 1, not Response 2", "first"),
        ("The second response", None),
        ("1", None),
        ("Neither", None),
        ("Both responses are fine", None),
        ("Response A", None),
        ("Response A, rather Response 1", None),
        ("", None),
    ],
)
def test_paper_parser(reply: str, choice: str | None) -> None:
    assert parse_paper(reply, "dialogue") == choice


def test_paper_parser_for_summaries() -> None:
    assert parse_paper("summary 2 is better", "summarization") == "second"
    assert parse_paper("Response 2", "summarization") is None


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("Response 1", "first"),
        (" **response 2.**\n", "second"),
        ("Tie", "tie"),
        ('"tie".', "tie"),
        ("Response 1 is better", None),
        ("Response 12", None),
        ("It is a tie", None),
        ("1", None),
        ("", None),
    ],
)
def test_robust_parser_is_strict(reply: str, choice: str | None) -> None:
    assert parse_robust(reply, "dialogue") == choice


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("One. Two", "One."),
        ("A! b? c", "A! b?"),
        ("no end", "no end"),
        ("", ""),
        ("Mr. X said.", "Mr. X said."),
    ],
)
def test_clean_response(text: str, cut: str) -> None:
    assert clean_response(text) == cut


@pytest.mark.parametrize("candidate_first", [True, False])
def test_verdict_is_the_candidates(candidate_first: bool) -> None:
    assert verdict_of("first", candidate_first) == ("win" if candidate_first else "loss")
    assert verdict_of("second", candidate_first) == ("loss" if candidate_first else "win")
    assert verdict_of("tie", candidate_first) == "tie"
    assert verdict_of(None, candidate_first) == "invalid"


@pytest.mark.parametrize("template", ["dialogue", "summarization"])
def test_paper_protocol(open_client: Open, template: str) -> None:
    """The shorter answer wins: the candidate's in two of three items."""
    frame = judge(open_client(), 30, template=template)
    validate_frame(frame.assign(verdict_set_id="v"), "verdicts", "test")
    assert list(frame["prompt_id"]) == [item["prompt_id"] for item in make_items(30)]
    assert [order == "candidate_first" for order in frame["order"]] == paper_order(30)
    assert list(frame["verdict"]) == ["win" if number % 3 else "loss" for number in range(30)]
    assert set(frame["judge_served"]) == {"length-judge"}


def test_robust_protocol_asks_both_orders(open_client: Open) -> None:
    """A judge without position bias gives the same verdict in both; only the shown order flips."""
    frame = judge(open_client(), 9, "robust")
    validate_frame(frame.assign(verdict_set_id="v"), "verdicts", "test")
    for number, (_, rows) in enumerate(frame.groupby("prompt_id")):
        assert sorted(rows["order"]) == ["baseline_first", "candidate_first"]
        assert set(rows["verdict"]) == {"win" if number % 3 else "loss"}
        assert set(rows["raw_reply"]) == {"Response 1", "Response 2"}


def test_equal_answers_tie_or_toss_a_fair_coin(open_client: Open) -> None:
    items = [{**item, "baseline": item["response"]} for item in make_items(100)]
    client = open_client()
    robust = judge_items(items, client, protocol="robust", template="dialogue")
    assert set(robust["verdict"]) == {"tie"}
    assert client.asked == 100, "both orders are the same request: it is paid once"
    paper = judge_items(items, client, protocol="paper", template="dialogue")
    wins = Counter(paper["verdict"])["win"]
    assert 30 <= wins <= 70  # binomial(100, ½): outside with p = 3e-5; the coin is seeded, so this never flickers


def test_items_without_or_with_double_ids_are_refused(open_client: Open) -> None:
    client = open_client()
    with pytest.raises(UserError, match="found no items"):
        judge_items([], client, protocol="paper", template="dialogue")
    with pytest.raises(UserError, match="p0000 is there more than once"):
        judge_items(make_items(1) * 2, client, protocol="paper", template="dialogue")
    with pytest.raises(UserError, match='"dialog" for protocol "paper" is unknown'):
        judge(client, template="dialog")
