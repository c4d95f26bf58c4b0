"""make bench-judge: requests per second of the real judge client against the local judge's server.

The questions are those of a table's pairwise judging, all different, through cache, threads and HTTP as in a job; asked
again they come from the cache. Start-up of server and client is not timed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.stamp import RESULTS, STAMP, stamp, write_rows
from prefrepro.data.template import render_history
from prefrepro.data.world.generate import preference_pairs
from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.judge.asking import ask_all
from prefrepro.judge.client import JudgeClient, chat_request
from prefrepro.judge.connect import local_judge
from prefrepro.judge.endpoint import Endpoint
from prefrepro.judge.prompts import compose
from prefrepro.specs.judge import JudgeConfig, judge_config

COLUMNS = (
    "concurrency", "replies", "requests", "requests_per_s", "requests_per_s_min", "requests_per_s_max",
    "client_cpu_ms_per_request", "rounds", *STAMP,
)  # fmt: skip
WARM_UP = 32


@dataclass(frozen=True, slots=True)
class Question:
    """One call."""

    request: dict[str, Any]


def questions(n: int, config: JudgeConfig) -> list[Question]:
    """n different pairwise questions of the embedded world."""
    found: dict[str, Question] = {}
    for pair in preference_pairs("dialogue", 0):
        history = render_history(pair["prompt"])
        messages = compose("dialogue", "paper", history, pair["chosen"], pair["rejected"])
        found[str(messages)] = Question(chat_request(config, messages))
        if len(found) == n:
            break
    return list(found.values())


def measure(n: int, concurrency: int, endpoint: Endpoint) -> dict[str, tuple[float, float]]:
    """(requests/s, CPU-s of the client per request) of new replies and of cached ones, with an empty cache."""
    values = {"name": "bench", "kind": "local", "scorer": "world", "model": "judge", "concurrency": concurrency}
    config = judge_config(values, "bench/judge.py")
    every = questions(n + WARM_UP, config)
    warm_up, asked = every[:WARM_UP], every[WARM_UP:]
    found = {}
    with (
        tempfile.TemporaryDirectory(prefix="prefrepro-bench-") as folder,
        JudgeClient(config, Path(folder) / "cache.sqlite", "bench", lambda: endpoint) as client,
    ):

        def ask(question: Question) -> None:
            reply = client.ask(question.request)
            if reply.status != "ok":
                raise UserError(f"the local judge failed: {reply.text}")

        ask_all(ask, warm_up, config.concurrency, False)
        for replies in ("new", "cached"):
            wall, cpu = time.perf_counter(), time.process_time()
            ask_all(ask, asked, config.concurrency, False)
            found[replies] = n / (time.perf_counter() - wall), (time.process_time() - cpu) / n
        if (client.asked, client.cached) != (n + len(warm_up), n):
            raise UserError(f"{client.asked} asked and {client.cached} cached, expected {n + len(warm_up)} and {n}")
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.judge", description="Requests per second of the judge.")
    parser.add_argument("--requests", type=int, default=2000, help="different ones, of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--out", type=Path, default=RESULTS / "judge.csv")
    arguments = parser.parse_args()
    found: dict[tuple[int, str], list[tuple[float, float]]] = {}
    with local_judge("world") as endpoint:
        for _ in range(arguments.rounds):
            for concurrency in arguments.concurrency:
                for replies, figures in measure(arguments.requests, concurrency, endpoint).items():
                    found.setdefault((concurrency, replies), []).append(figures)
    stamped = stamp("openai")
    rows = []
    for (concurrency, replies), figures in found.items():
        speeds = [speed for speed, _ in figures]
        rows.append(
            {
                "concurrency": concurrency,
                "replies": replies,
                "requests": arguments.requests,
                "requests_per_s": statistics.median(speeds),
                "requests_per_s_min": min(speeds),
                "requests_per_s_max": max(speeds),
                "client_cpu_ms_per_request": 1000 * statistics.median(cpu for _, cpu in figures),
                "rounds": len(figures),
                **stamped,
            }
        )
        print(f"{concurrency} at a time, {replies}: {rows[-1]['requests_per_s']:.0f} requests/s", flush=True)
    write_rows(arguments.out, COLUMNS, rows)
    print(f"{arguments.out} is written")


if __name__ == "__main__":
    exit_on_user_error(main)
