"""Sample rows for AlpacaEval: small made ones, and the published outputs where they are there."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from shared import SHARED

from prefrepro.data.template import prompt_id, render_history
from prefrepro.files import write_json
from prefrepro.judge.scorers import replay_key

OUTPUTS = SHARED / "data" / "alpaca_eval"
ACCEPTANCE = SHARED / "data" / "acceptance"
GAMED = ACCEPTANCE / "df_gamed_reconstructed.csv"


def make_row(instruction: str, response: str, reference: str, draw: int = 0) -> dict[str, Any]:
    """One sample row."""
    prompt = [{"role": "user", "content": instruction}]
    return {
        "prompt_id": prompt_id(prompt),
        "prompt": prompt,
        "instruction": instruction,
        "references": {"gpt4_turbo": reference},
        "response": response,
        "draw": draw,
    }


def make_rows(n: int, draw: int = 0) -> list[dict[str, Any]]:
    """n rows; the response is shorter than the reference in two of three, by more in later draws."""
    return [
        make_row(f"What is {i}?", "x" * (20 + i) + "z" * (8 * (i % 3 == 0)), "y" * (24 + i + draw), draw)
        for i in range(n)
    ]


def outputs(name: str) -> list[dict[str, Any]]:
    """Published model outputs in their order."""
    return json.loads((OUTPUTS / f"{name}_outputs.json").read_text(encoding="utf-8"))


def published_rows(model: str) -> list[dict[str, Any]]:
    """The 805 rows of a model that both the outputs and the verdicts are published of. Skips where they are absent."""
    if not OUTPUTS.is_dir():
        pytest.skip(f"{OUTPUTS} is absent: set PREFREPRO_SHARED")
    reference = {row["instruction"]: row["output"] for row in outputs("gpt4_1106_preview_reference")}
    return [
        make_row(row["instruction"], row["output"], reference[row["instruction"]]) for row in outputs(f"{model}_model")
    ]


def published_verdicts(model: str) -> pd.DataFrame:
    """A model's published AlpacaEval 2 verdicts, in their order."""
    if not ACCEPTANCE.is_dir():
        pytest.skip(f"{ACCEPTANCE} is absent: set PREFREPRO_SHARED")
    with gzip.open(ACCEPTANCE / "ae2_weighted_gpt4_turbo_annotations_slim.csv.gz", "rt") as file:
        verdicts = pd.read_csv(file)
    return verdicts.query("model == @model").sort_values("row")


def write_published(path: Path, rows: list[dict[str, Any]], preferences: list[float]) -> None:
    """A replay file whose scores differ by the log-odds of each row's preference (1 … 2), as the dialect wants them."""
    scores = {}
    for row, preference in zip(rows, preferences, strict=True):
        history = render_history(row["prompt"])
        scores[replay_key(history, row["references"]["gpt4_turbo"])] = 0.0
        scores[replay_key(history, row["response"])] = log_odds(preference - 1)
    write_json(path, scores)


def log_odds(share: float) -> float:
    """log(share / (1 - share)), ±40 at the ends: 1 - P is 4e-18 there, and P is 1."""
    if share in (0, 1):
        return 40.0 if share else -40.0
    return math.log(share) - math.log1p(-share)
