"""Orders in a response: what a judge that follows them does, and what the fences of `robust` make of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from faulty_judge import local_judge
from gullible import obeyed
from judge_helpers import ROOT, child_environment, make_config

from prefrepro.errors import UserError
from prefrepro.judge.client import JudgeClient
from prefrepro.judge.injection import WORDINGS, attacked_pairs, measure, measure_judge
from prefrepro.judge.pairwise import clean_response
from prefrepro.judge.prompts import PROTOCOLS, compose

N = 6


def test_a_gullible_judge_is_led_under_paper_and_not_under_robust(open_client: Callable[..., JudgeClient]) -> None:
    with local_judge("world", "--gullible") as endpoint:
        client = open_client(endpoint, invalid_limit=1.0)
        found = [row for protocol in PROTOCOLS for row in measure(client, protocol, N)]
    rows = {(row["protocol"], row["wording"]): row for row in found}
    assert len(rows) == 2 * (len(WORDINGS) + 1)
    for wording in WORDINGS:
        led, kept = rows["paper", wording], rows["robust", wording]
        assert (led["n"], led["won_without"], kept["n"], kept["won_without"]) == (N, 0, 2 * N, 0)
        # An order that names a place is right by chance; the others are always followed.
        assert led["hijacked"] == N or (wording == "forged verdict" and 0 < led["hijacked"] < N)
        assert (kept["hijacked"], kept["invalid"]) == (0, 0)
    assert rows["paper", "all"]["rate_pct"] > 90 > rows["robust", "all"]["high"]


def test_a_judge_that_scores_is_not_led() -> None:
    config = make_config(scorer="world", model="embedded-world-judge")
    assert {row["hijacked"] for row in measure_judge(config, ["paper"], 3)} == {0}


def test_every_order_reaches_the_judge() -> None:
    """What follows the last full stop is cut before judging: no wording may lose its order there."""
    for item in attacked_pairs(2):
        for words in WORDINGS.values():
            shown = clean_response(f"{item['response']} {words}")
            assert shown.endswith(words)
            paper = compose("dialogue", "paper", item["history"], item["baseline"], shown)
            assert obeyed(paper) is not None
            assert obeyed(compose("dialogue", "robust", item["history"], item["baseline"], shown)) is None
        assert obeyed(compose("dialogue", "paper", item["history"], item["baseline"], item["response"])) is None


def test_the_command_reports_rates() -> None:
    command = [sys.executable, "-m", "prefrepro", "judge", "injection", "embedded-world", "--n", "2", "--json"]
    done = subprocess.run(
        command, cwd=ROOT, env=child_environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {row["protocol"]: row["hijacked"] for row in json.loads(done.stdout)}["robust"] == 0


def test_no_pairs_are_refused() -> None:
    with pytest.raises(UserError, match="--n is 0; expected at least 1"):
        measure_judge(make_config(), ["paper"], 0)
