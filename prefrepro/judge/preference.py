"""The preference node of the DAG: does a model rank held-out responses as their labels do. Neither answers nor a judge.

verdicts.csv: a row for each labelled pair (`pair`) and, of groups, one for the best response (`top_1`); margins.csv:
the margin of each by all readings. Nothing is drawn at random.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from prefrepro.csv_schema.schema import write_csv
from prefrepro.data.comparisons import Comparison
from prefrepro.files import write_json
from prefrepro.model.preference import READINGS, rank
from prefrepro.specs.evaluation import LABELS
from prefrepro.specs.runtime import DEFAULT, Runtime


def run(spec: dict[str, Any], inputs: dict[str, Path], out: Path, _runtime: Runtime = DEFAULT) -> None:
    """verdicts.csv, by the reading that `by` names, margins.csv and manifest.json. Raises UserError."""
    started = time.perf_counter()
    ranked = rank(spec, inputs)
    keys = [{"prompt_id": one.prompt_id, "draw": one.draw, "order": one.order} for one in ranked.comparisons]
    frame = pd.DataFrame(_verdicts(out.name, ranked.comparisons, ranked.margins[spec["by"]]))
    write_csv(frame, out / "verdicts.csv", "verdicts")
    none = [None] * len(keys)
    margins = pd.DataFrame(keys).assign(**{name: ranked.margins.get(name, none) for name in READINGS})
    write_csv(margins, out / "margins.csv", "margins")
    manifest = {
        "spec": spec,
        "n": len(frame),
        "prompts": len({one.prompt_id for one in ranked.comparisons}),
        **ranked.counts,
        "won_pct": {name: _won(ranked.comparisons, values) for name, values in ranked.margins.items()},
        "metrics": {},
        "judge_asked": LABELS,
        "truncation": ranked.truncation,
        "model_commit": ranked.commit,
        "wall_s": time.perf_counter() - started,
    }
    write_json(out / "manifest.json", manifest)


def _verdicts(set_id: str, compared: Sequence[Comparison], margins: Sequence[float]) -> list[dict[str, Any]]:
    """Rows of verdicts.csv: the better response's value is higher, lower, or exactly equal."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        {
            "verdict_set_id": set_id,
            "prompt_id": one.prompt_id,
            "draw": one.draw,
            "order": one.order,
            "verdict": "win" if margin > 0 else "loss" if margin < 0 else "tie",
            "score": _score(margin),
            "weight": 1.0,
            "judge_asked": LABELS,
            "judge_served": None,
            "protocol": "paper",
            "prompt_sha256": one.prompt_id,
            "request_sha256": hashlib.sha256(json.dumps(one[:2] + one[4:]).encode()).hexdigest(),
            "raw_reply": None,
            "prompt_tokens": None,
            "completion_tokens": None,
            "cost_usd": None,
            "created": now,
        }
        for one, margin in zip(compared, margins, strict=True)
    ]


def _score(margin: float) -> float:
    return 0.5 + 0.5 * ((margin > 0) - (margin < 0))


def _won(compared: Sequence[Comparison], margins: Sequence[float]) -> dict[str, float]:
    """Percent of all comparisons of each kind, whatever their prompt; ties half."""
    scores: dict[str, list[float]] = {}
    for one, margin in zip(compared, margins, strict=True):
        scores.setdefault(one.order, []).append(_score(margin))
    return {order: 100 * sum(own) / len(own) for order, own in scores.items()}
