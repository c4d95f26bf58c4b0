"""Small frames and planned cells that every test of the tables starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import pytest

MakeVerdicts = Callable[..., pd.DataFrame]
MakeCell = Callable[..., dict[str, Any]]
_SCORES = {"win": 1.0, "loss": 0.0, "tie": 0.5, "invalid": None}


@pytest.fixture
def make_verdicts() -> MakeVerdicts:
    """`make_verdicts("set", ["win", …])`: one order per prompt, everything else plausible."""

    def make(verdict_set_id: str, words: Sequence[str], **changes: Any) -> pd.DataFrame:
        hashes = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(len(words))]
        columns = {
            "verdict_set_id": verdict_set_id,
            "prompt_id": hashes,
            "draw": 0,
            "order": "candidate_first",
            "verdict": list(words),
            "score": [_SCORES[word] for word in words],
            "weight": 1.0,
            "judge_asked": "gpt-4-0613",
            "judge_served": "gpt-4-0613",
            "protocol": "paper",
            "prompt_sha256": "a" * 64,
            "request_sha256": hashes,
            "raw_reply": "Response 1",
            "prompt_tokens": 300,
            "completion_tokens": 3,
            "cost_usd": 0.00918,
            "created": "2026-11-21T04:00:00Z",
        }
        return pd.DataFrame({**columns, **changes})

    return make


@pytest.fixture
def make_cell() -> MakeCell:
    """A planned cell of RPO Table 1; keyword arguments replace its keys."""

    def make(row: str, verdict_ids: Sequence[str], **changes: Any) -> dict[str, Any]:
        return {
            "paper": "rpo",
            "table": "table1",
            "row": row,
            "column": "hh",
            "row_label": row.upper(),
            "column_label": "Win Rate",
            "metric": "win_rate_pct",
            "reported": 78.52,
            "where": f"Table 1, row {row}",
            "baseline": "dpo",
            "protocol": "paper",
            "evaluation": "pairwise",
            "is_cited": False,
            "judge": "gpt-4-0613",
            "judge_is_substitute": False,
            "comparable": True,
            "margin": 5.0,
            "verdict_ids": list(verdict_ids),
            "sample_ids": [f"s-{name}" for name in verdict_ids],
            "run_ids": [f"r-{name}" for name in verdict_ids],
            "scale": "paper",
            "reading": "paper",
            "variant": "default",
            "commit": "0123abc",
            **changes,
        }

    return make


@pytest.fixture
def run_row() -> dict[str, Any]:
    """The `row` of a run.json, dicts still dicts."""
    return {
        "run_id": "r-rpo",
        "scale": "embedded",
        "reading": "paper",
        "dataset": "hh",
        "model": "mistral-7b",
        "method": "rpo_paired",
        "hparams": {"tau": 0.5, "beta": 0.1},
        "seed": 1,
        "steps": 30,
        "pairs": 240,
        "tokens": 9000,
        "wall_s": 3.25,
        "gpu_h": 0.0,
        "peak_mem_gb": None,
        "final_loss": 0.1 + 0.2,
        "reward_accuracy": None,
        "commit": "0123abc",
        "dirty": False,
        "code_digest": "d1",
        "data_hash": "h1",
        "versions": {"torch": "2.13.0"},
    }
