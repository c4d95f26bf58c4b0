"""Jobs summed: one line per table and kind, and one for all tables together, in which a shared job counts once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prefrepro.inspect.forecast.jobs import AMOUNTS, Forecaster, Job
from prefrepro.plan.kinds import TRAININGS
from prefrepro.plan.plan import Plan

TOGETHER = "together"
STATES = ("all", "to_do")
GROUPS = {"training": TRAININGS, "sampling": ("sample",), "judging": ("verdict",), "all": ()}
"""Which kinds a group sums; `all` sums every kind."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Amounts of some jobs."""

    jobs: int
    amounts: dict[str, float]
    """What is known of it."""
    unknown: dict[str, int]
    """Amount -> jobs of which it is not known, so that the sum is too small."""


@dataclass(frozen=True, slots=True)
class Line:
    """One table, or all asked for together."""

    target: str
    jobs: list[Job]

    def sum(self, state: str = "to_do", kinds: Sequence[str] = ()) -> Sum:
        """Sum over all jobs or those still to do, of these kinds or, where none is named, of every kind."""
        found = [
            job for job in self.jobs if (not kinds or job.kind in kinds) and not (state == "to_do" and job.is_done)
        ]
        amounts: dict[str, float] = dict.fromkeys(AMOUNTS, 0.0)
        unknown: Counter[str] = Counter()
        for job in found:
            for name, amount in job.amounts.items():
                if amount is None:
                    unknown[name] += 1
                else:
                    amounts[name] += amount
        return Sum(len(found), amounts, dict(unknown))

    @property
    def kinds(self) -> list[str]:
        """In the plan's order."""
        return list(dict.fromkeys(job.kind for job in self.jobs))

    def as_json(self) -> dict[str, Any]:
        """Jobs by kind, and the amounts of training, sampling, judging and all, both whole and still to do."""
        return {
            "target": self.target,
            "jobs": {kind: {state: self.sum(state, (kind,)).jobs for state in STATES} for kind in self.kinds},
        } | {group: {state: _plain(self.sum(state, kinds)) for state in STATES} for group, kinds in GROUPS.items()}


def _plain(total: Sum) -> dict[str, Any]:
    values = {name: value for name, value in total.amounts.items() if value or name in total.unknown}
    return {"jobs": total.jobs, **values} | ({"unknown": total.unknown} if total.unknown else {})


@dataclass(frozen=True, slots=True)
class Forecast:
    """What was asked for, line by line; the last is of all tables together."""

    lines: list[Line]
    forecaster: Forecaster

    @property
    def together(self) -> Line:
        return self.lines[-1]


def forecast(plan: Plan, targets: Sequence[str]) -> Forecast:
    """A line per target and one for their union. Raises UserError for an unknown target or unreadable results."""
    for target in targets:
        plan.table_named(target, "tables")
    maker = Forecaster(plan)
    of_targets = {target: [target] for target in dict.fromkeys(targets)} | {TOGETHER: list(targets)}
    lines = [Line(name, [maker.job(node) for node in plan.needed_by(wanted)]) for name, wanted in of_targets.items()]
    return Forecast(lines, maker)
