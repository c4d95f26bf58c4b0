"""A budget refuses judging that would cost more, before anything starts; later the judge client stops at the cent."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from prefrepro.errors import UserError
from prefrepro.inspect.forecast.jobs import Forecaster
from prefrepro.inspect.forecast.sizes import read_json

CACHE = "judge_cache.sqlite"
ROUNDING_USD = 1e-6
"""What sums of floats may differ by."""


def refuse_over_budget(forecaster: Forecaster, verdict_ids: Sequence[str], targets: Sequence[str]) -> None:
    """Raise UserError where judging these verdict sets, with what finished ones cost, exceeds the config's budget.

    `targets`: the tables to name the dearest of. Without a budget_usd nothing is refused and nothing is read. Of a
    verdict set that is not finished all calls are counted, also those whose replies the cache holds: going on after a
    kill costs less, never more. Replies that have to be asked again are not counted.
    """
    plan = forecaster.plan
    budget = plan.config.budget_usd
    if budget is None or not verdict_ids:
        return
    jobs = {node_id: forecaster.job(plan.node(node_id)) for node_id in verdict_ids}
    costs = {node_id: job.amounts["cost_usd"] for node_id, job in jobs.items()}
    if unknown := [node_id for node_id, cost in costs.items() if cost is None]:
        raise UserError(
            f"budget_usd is {budget:.2f}, but what {len(unknown)} verdict sets cost is not known, {unknown[0]} among "
            f"them. Next: say the price in config/judges/{plan.node(unknown[0]).spec['judge']['name']}.yaml and the "
            f"tokens of a call in config/scales/{plan.config.scale}.yaml (forecast, judge_tokens), or no budget_usd."
        )
    known = {node_id: cost or 0.0 for node_id, cost in costs.items()}
    to_do, paid = sum(known.values()), paid_for_finished(plan.results, verdict_ids)
    if paid + to_do <= budget + ROUNDING_USD:
        return
    calls = sum(job.amounts["calls"] or 0 for job in jobs.values())
    judges = ", ".join(dict.fromkeys(plan.node(node_id).spec["judge"]["name"] for node_id in jobs))
    dearest = ""
    if targets:
        by_table = {name: sum(known.get(node.id, 0.0) for node in plan.needed_by([name])) for name in targets}
        name = max(by_table, key=lambda target: by_table[target])
        dearest = f" Dearest: {name}, {by_table[name]:.2f} USD."
    before = f" and finished verdicts cost {paid:.2f}" if paid else ""
    raise UserError(
        f"judging would cost {to_do:.2f} USD ({calls:,.0f} calls to {judges}){before}, but budget_usd allows "
        f"{budget:.2f} in all.{dearest} Nothing was started. Next: raise budget_usd, ask "
        "for fewer tables, or take another judge (--config judge=NAME); prefrepro forecast shows every table."
    )


def paid_for_finished(results: Path, but_not: Sequence[str]) -> float:
    """USD that the finished verdict sets of a scale cost, but for those named; of one reply in two of them once."""
    paths = [path for path in (results / "verdicts").glob("*/manifest.json") if path.parent.name not in but_not]
    listed = sum(read_json(path).get("cost_usd", 0.0) for path in paths)
    return min(listed, spent_usd(results)) if listed else 0.0


def spent_usd(results: Path) -> float:
    """USD of every reply in the scale's judge cache; 0 where there is none. Raises UserError where it is no cache."""
    path = results / CACHE
    if not path.is_file():
        return 0.0
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=60)) as cache:
            row = cache.execute("SELECT cost_usd FROM spent").fetchone()
    except sqlite3.Error as error:
        raise UserError(f"{path} is no judge cache that can be read: {error}. Next: move it away.") from error
    return row[0] if row else 0.0
