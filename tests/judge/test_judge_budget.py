"""A budget holds for all processes that share a cache, and outlives none of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from judge_helpers import IDENTITY, ROOT, child_environment, stats

from prefrepro.judge import cache as caching
from prefrepro.judge.cache import OverBudgetError, ReplyCache
from prefrepro.judge.endpoint import Endpoint

RESERVE_IN_A_CHILD = """
import sys
from pathlib import Path
from prefrepro.judge.cache import ReplyCache
print(ReplyCache(Path(sys.argv[1])).reserve(0.6, 1.0), flush=True)
sys.stdin.read()
"""
JUDGE_IN_A_CHILD = f"""
import os, sys
from pathlib import Path
from judge_helpers import make_config, make_items
from prefrepro.errors import UserError
from prefrepro.judge.client import JudgeClient
from prefrepro.judge.endpoint import Endpoint
from prefrepro.judge.pairwise import judge_items
endpoint = Endpoint(os.environ["TEST_URL"], os.environ["TEST_TOKEN"])
config = make_config(price_usd_per_mtok={{"input": 1000, "output": 1000}}, budget_usd=float(sys.argv[2]))
start = int(sys.argv[3])
with JudgeClient(config, Path(sys.argv[1]), "{IDENTITY}", lambda: endpoint) as client:
    try:
        judge_items(make_items(start + 30)[start:], client, protocol="robust", template="dialogue")
    except UserError as error:
        sys.exit(3 if "budget" in str(error) else 1)
"""


@contextmanager
def reserved_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds 0.6 USD of a budget of 1 until it is ended."""
    command = [sys.executable, "-c", RESERVE_IN_A_CHILD, str(path)]
    with subprocess.Popen(
        command, env=child_environment(), cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and int(child.stdout.readline()) > 0
        try:
            yield child
        finally:
            child.kill()


def test_what_another_process_reserved_is_not_there_to_spend(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "cache.sqlite")
    with reserved_elsewhere(tmp_path / "cache.sqlite"):
        with pytest.raises(OverBudgetError, match=r"spent 0\.0000, on the way 0\.6000"):
            cache.reserve(0.5, 1.0)
        cache.settle(cache.reserve(0.4, 1.0), 0.0)
        cache.reserve(0.5, 1.2)
    cache.close()


def test_what_a_killed_process_had_under_way_is_booked(tmp_path: Path) -> None:
    """The judge may have answered it, and bills it then."""
    cache = ReplyCache(tmp_path / "cache.sqlite")
    with reserved_elsewhere(tmp_path / "cache.sqlite") as child:
        child.kill()
        child.wait(10)
        with pytest.raises(OverBudgetError, match=r"spent 0\.6000, on the way 0\.0000"):
            cache.reserve(0.5, 1.0)
        cache.reserve(0.4, 1.0)
    cache.close()


def test_a_reservation_of_another_host_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its process lives cannot be seen from here."""
    cache = ReplyCache(tmp_path / "cache.sqlite")
    monkeypatch.setattr(caching.platform, "node", lambda: "elsewhere")
    cache.reserve(0.6, 1.0)
    monkeypatch.setattr(caching, "RESERVED_FOR_S", -1.0)
    cache.reserve(0.4, 1.0)
    monkeypatch.undo()
    with pytest.raises(OverBudgetError, match=r"on the way 0\.6000"):
        cache.reserve(0.5, 1.0)
    cache.close()


def test_two_judging_processes_stay_in_one_budget(endpoint: Endpoint, tmp_path: Path) -> None:
    """Each alone would need more than the budget; together they pay for no more than it, and say so."""
    budget = 2.0
    environment = {**child_environment(), "TEST_URL": endpoint.base_url, "TEST_TOKEN": endpoint.api_key}
    before = stats(endpoint)["requests"]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", JUDGE_IN_A_CHILD, str(tmp_path / "cache.sqlite"), str(budget), str(start)],
            env=environment, cwd=ROOT,
        )
        for start in (0, 30)
    ]  # fmt: skip
    assert [child.wait(60) for child in children] == [3, 3]
    cache = ReplyCache(tmp_path / "cache.sqlite")
    assert 0 < cache.spent_usd() <= budget
    assert 0 < stats(endpoint)["requests"] - before < 120
    cache.reserve(budget - cache.spent_usd() - 1e-6, budget)  # nothing is held back any more
    cache.close()


def test_own_reservations_add_up_and_are_given_back(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path / "cache.sqlite")
    first = cache.reserve(0.7, 1.0)
    with pytest.raises(OverBudgetError):
        cache.reserve(0.7, 1.0)
    cache.settle(first, 0.0)
    cache.reserve(0.7, 1.0)
    cache.close()
