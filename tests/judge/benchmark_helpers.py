"""Answered question sets of the embedded world, and replies that a judge is said to have given."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from judge_helpers import IDENTITY, make_config

from prefrepro.data.template import render_history
from prefrepro.data.world.dialogue import write_response
from prefrepro.data.world.reward import find_fact
from prefrepro.judge.cache import ReplyCache, Row, cache_key
from prefrepro.judge.client import JudgeClient
from prefrepro.judge.endpoint import Endpoint


def answered(rows: Sequence[Mapping[str, Any]], seed: int = 0, draws: int = 1) -> list[dict[str, Any]]:
    """Sample rows: every turn of every question answered as the world answers, `draws` times."""
    rng, samples = random.Random(f"answered/{seed}"), []
    for row in rows:
        for draw in range(draws):
            responses = []
            for turn in row.get("turns", [row["prompt"][0]["content"]]):
                fact = find_fact(render_history([{"role": "user", "content": turn}]))
                assert fact is not None
                responses.append(write_response(fact, rng))
            samples.append({**row, "response": responses[-1], "responses": responses, "draw": draw})
    return samples


def client_of(replies: Sequence[tuple[dict[str, Any], Sequence[str]]], cache: Path, **changes: Any) -> JudgeClient:
    """A client whose judge has answered each request with these texts, one per repeat, and is gone since."""
    stored = ReplyCache(cache)
    for request, texts in replies:
        for repeat, text in enumerate(texts):
            message = {"role": "assistant", "content": text}
            body = json.dumps({"model": "length-judge", "choices": [{"message": message, "finish_reason": "stop"}]})
            row = Row(body, 0.0, 1, "2026-11-21T00:00:00+00:00")
            stored.put(cache_key(request, IDENTITY, repeat), IDENTITY, repeat, request, row)
    stored.close()
    return JudgeClient(make_config(**changes), cache, IDENTITY, _gone)


def _gone() -> Endpoint:
    raise AssertionError("a request was sent that the test did not foresee")
