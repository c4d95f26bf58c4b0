"""A judge of whom 30 % of the answers go wrong, in every way that its server knows, says the same in the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from faulty_judge import local_judge
from judge_faults import KINDS
from judge_helpers import IDENTITY, make_config, make_items, stats

from prefrepro.errors import UserError
from prefrepro.judge.client import JudgeClient
from prefrepro.judge.completion import is_model
from prefrepro.judge.endpoint import Endpoint
from prefrepro.judge.pairwise import judge_items

Tell = Callable[..., None]
RATE = 0.3
SEED = 3
REPEATED = ("nonsense", "refusal")
"""Answers that are replies all the same: they are kept, paid for, and asked again."""
VERDICT = ["prompt_id", "order", "verdict", "score", "raw_reply", "prompt_sha256", "judge_served"]
"""What must not depend on how often was asked; the reply's address and the tokens paid for do."""

PASSING = tuple(kind for kind in KINDS if kind != "wrong_model")
"""Faults that a new try mends. Another model's reply ends the judging: each try would be billed."""


def judged(endpoint: Endpoint, cache: Path, n: int, protocol: str) -> tuple[pd.DataFrame, JudgeClient, float]:
    price = {"input": 1e6, "output": 1e6}  # a token costs 1 USD
    config = make_config(timeout_s=1.0, concurrency=8, reasks=6, price_usd_per_mtok=price)  # three refusals in a row
    with JudgeClient(config, cache, IDENTITY, lambda: endpoint) as client:
        frame = judge_items(make_items(n), client, protocol=protocol, template="dialogue", progress=False)
        booked = client.spent_usd()
    return frame, client, booked


def compared(tmp_path: Path, kinds: tuple[str, ...], n: int, protocol: str) -> dict[str, int]:
    """Judge n items with faults and without; the server's counters, `wrong` and `unbooked`.

    `wrong`: verdicts that differ. `unbooked`: tokens that the server bills and nobody booked. The faults are drawn from
    the request, so how often each is met does not depend on threads or time: a stall lasts until the client gives up.
    """
    with local_judge("length") as calm:
        expected, _, _ = judged(calm, tmp_path / "calm.sqlite", n, protocol)
    with local_judge("length", "--fault-kinds", ",".join(kinds), fault_rate=RATE, fault_seed=SEED) as shaky:
        found, client, booked = judged(shaky, tmp_path / "stormy.sqlite", n, protocol)
        counted = stats(shaky)
    assert len(found) == len(expected)
    assert client.asked == len(expected) + client.reasked
    assert client.reasked <= sum(counted.get(kind, 0) for kind in REPEATED), "one that came too late is not asked again"
    pairs = zip(found.to_dict("records"), expected.to_dict("records"), strict=True)
    wrong = sum(any(repr(one[key]) != repr(other[key]) for key in VERDICT) for one, other in pairs)
    unbooked = max(0, round(counted["billed_tokens"] - booked))
    return counted | {"wrong": wrong, "verdicts": len(expected), "unbooked": unbooked}


@pytest.mark.parametrize(("protocol", "n"), [("paper", 300), ("robust", 150)])
def test_all_kinds_together_change_no_verdict(tmp_path: Path, tell: Tell, protocol: str, n: int) -> None:
    counted = compared(tmp_path, PASSING, n, protocol)
    assert all(counted.get(kind) for kind in PASSING), counted
    requests = counted["requests"] / counted["verdicts"]
    assert requests < 2, "1 / (1 - 0.3) = 1.43 requests a verdict are expected"
    faults = counted["faults"]
    name = f"judge: all kinds at once, 30 %, protocol {protocol}: {requests:.2f} requests a verdict"
    tell(name, faults, recovered=faults - counted["wrong"], wrong=counted["wrong"], unbooked=counted["unbooked"])


@pytest.mark.faults
@pytest.mark.parametrize("kind", PASSING)
def test_each_kind_alone_changes_no_verdict(tmp_path: Path, tell: Tell, kind: str) -> None:
    counted = compared(tmp_path, (kind,), 60, "paper")
    requests = counted["requests"] / counted["verdicts"]
    name = f"judge: {kind}, 30 %: {requests:.2f} requests a verdict"
    tell(
        name,
        counted[kind],
        recovered=counted[kind] - counted["wrong"],
        wrong=counted["wrong"],
        unbooked=counted["unbooked"],
    )


@pytest.mark.parametrize("kind", ["wrong_model", "drip", "unavailable"])
def test_a_fault_that_never_ends_is_told_and_no_verdict(tmp_path: Path, kind: str) -> None:
    """Neither the words of another model nor half an answer become a verdict."""
    said = {"wrong_model": "answers as model 'somebody-else'", "drip": "no answer within 0.2 s", "unavailable": "503"}
    with local_judge("length", "--fault-kinds", kind, fault_rate=1.0) as broken:
        config = make_config(timeout_s=0.2, max_retries=1)
        with JudgeClient(config, tmp_path / "cache.sqlite", IDENTITY, lambda: broken) as client:
            with pytest.raises(UserError, match=said[kind]):
                judge_items(make_items(3), client, protocol="paper", template="dialogue")
            assert client.asked == 0


@pytest.mark.parametrize(
    ("asked", "served", "same"),
    [
        ("gpt-4", "gpt-4", True),
        ("gpt-4", "gpt-4-0613", True),
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4", "openai/GPT-4", True),
        ("meta/llama-3", "llama-3", True),
        ("gpt-4", "gpt-4-mini", False),
        ("gpt-4-0613", "gpt-4-1106-preview", False),
        ("gpt-4", "gpt-3.5-turbo", False),
        ("gpt-4.1", "gpt-421", False),
    ],
)
def test_which_model_may_answer_for_another(asked: str, served: str, same: bool) -> None:
    assert is_model(asked, served) is same
