"""What the judge's tests share, their child processes included."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

from prefrepro.judge.endpoint import Endpoint
from prefrepro.judge.stage import run
from prefrepro.specs.judge import JudgeConfig, judge_config

ROOT = Path(__file__).parents[2]
VERDICTS = "verdicts/v_12345678"
IDENTITY = "local:length:test"


def make_config(**changes: Any) -> JudgeConfig:
    """A local judge's config; the server itself is the test's."""
    values = {"name": "test", "kind": "local", "scorer": "length", "model": "length-judge", "concurrency": 4}
    return judge_config({**values, **changes}, "test")


def make_items(n: int) -> list[dict[str, str]]:
    """n items, of which the candidate is shorter in two of three, equally long in none."""
    return [
        {
            "prompt_id": f"p{number:04d}",
            "history": f"\n<|user|>\nWhat is {number}?",
            "response": "x" * (10 + number) + ".",
            "baseline": "y" * (10 + number + (7 if number % 3 else -7)) + ".",
        }
        for number in range(n)
    ]


def stats(endpoint: Endpoint) -> dict[str, int]:
    """The server's own counters."""
    url = endpoint.base_url + "/stats"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {endpoint.api_key}"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def judge_samples(folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """The manifest of the verdict set of folder/samples.jsonl, which is folder / VERDICTS."""
    run(spec, {"sample": folder}, folder / VERDICTS)
    return json.loads((folder / VERDICTS / "manifest.json").read_text(encoding="utf-8"))


def child_environment() -> dict[str, str]:
    """For child processes of a test: they import prefrepro from this checkout."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}
