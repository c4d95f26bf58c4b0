"""Results that earlier jobs might have left behind, written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prefrepro.inspect.forecast.jobs import Job
from prefrepro.inspect.forecast.lines import Forecast, forecast
from prefrepro.plan.build import make_plan
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan

RESULTS = Path("results/embedded")


def of(*targets: str, **config: Any) -> Forecast:
    return forecast(make_plan(config), targets)


def one(plan: Plan, kind: str, start: str) -> Node:
    """The only node of a kind that table1 needs and whose id starts so."""
    (node,) = [n for n in plan.needed_by(["table1"]) if n.kind == kind and n.id.startswith(start)]
    return node


def job_of(found: Forecast, node: Node) -> Job:
    (job,) = [job for job in found.together.jobs if job.id == node.id]
    return job


def write(path: Path, value: Any) -> None:
    """JSON, or text as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def benchmark(rule: str, node_id: str, seconds: float, results: Path = RESULTS) -> None:
    """As Snakemake writes it."""
    write(results / f"benchmarks/{rule}/{node_id}.tsv", f"s\th:m:s\n{seconds}\t0:00:00\n")


def earlier_run(run_id: str, tokens: int, wall_s: float, train_s: float = 0.0) -> None:
    row = {"tokens": tokens, "wall_s": wall_s}
    write(RESULTS / f"runs/{run_id}/run.json", {"spec": {"kind": "run"}, "row": row, "train_s": train_s})


def earlier_sample(sample_id: str, n: int, mean_tokens: float, wall_s: float) -> None:
    write(RESULTS / f"samples/{sample_id}/manifest.json", {"n": n, "mean_tokens": mean_tokens, "wall_s": wall_s})


def earlier_verdicts(
    verdict_id: str, spec: dict[str, Any], tokens: list[tuple[int, int]], *, cost_usd: float = 0.0, asked: int = 0,
    wall_s: float = 1.0, results: Path = RESULTS,
) -> None:  # fmt: skip
    folder = results / f"verdicts/{verdict_id}"
    manifest = {"spec": spec, "cost_usd": cost_usd, "asked": asked, "cached": 0, "wall_s": wall_s, "n": len(tokens)}
    write(folder / "manifest.json", manifest)
    lines = [f"p{number},{prompt},{answer}" for number, (prompt, answer) in enumerate(tokens)]
    write(folder / "verdicts.csv", "\n".join(["prompt_id,prompt_tokens,completion_tokens", *lines]) + "\n")
