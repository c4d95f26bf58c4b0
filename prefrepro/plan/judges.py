"""What planning says of judges before they are asked: that a model ends, and that a judge cannot do what is wanted.

From 90 days before its end planning names a judge's successor; afterwards it refuses. The dates stand in
config/judges/*.yaml (`ends`, `successor`) and are no part of a verdict set's id: moving one judges nothing again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from prefrepro.errors import UserError
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan
from prefrepro.specs.sources import read_named

WARN_DAYS = 90
DATES = ("ends", "successor")


def of_judges(plan: Plan, nodes: Iterable[Node], today: date | None = None) -> list[str]:
    """A warning for each judge of the verdict sets still to be made whose model ends within 90 days, or has ended.

    Raises UserError for a judge that has ended, unless the config's `ended_judges` is allow, and for a reward model
    that MT-Bench would want ratings of.
    """
    left = [node for node in nodes if node.kind == "verdict" and not (plan.results / node.done).exists()]
    for node in left:
        if node.spec["evaluation"] == "mt_bench" and node.spec["judge"].get("scorer") == "classifier":
            raise UserError(
                f"{node.id}: judge {node.spec['judge']['name']} is a reward model, whose scores have no scale of 1 to "
                "10, but MT-Bench wants ratings. Next: judge it with a language model (judge=NAME)."
            )
    named = dict.fromkeys(node.spec["judge"]["name"] for node in left)
    said = (warning(read_named("judges", name, "a verdict set"), plan.config.ended_judges, today) for name in named)
    return [one for one in said if one]


def warning(judge: Mapping[str, Any], ended: str, today: date | None = None) -> str | None:
    """What to know of a judge's end; None where none is near. Raises UserError as `of_judges`."""
    if not judge.get("ends"):
        return None
    days = (date.fromisoformat(judge["ends"]) - (today or datetime.now(UTC).date())).days
    if days > WARN_DAYS:
        return None
    who = f'judge "{judge["name"]}" ({judge["model"]})'
    next_step = f"judge={judge['successor']}" if judge.get("successor") else "name another judge (judge=NAME)"
    measure = "prefrepro calibration measures by how much another judge moves win rates"
    if days > 0:
        return f"{who} ends on {judge['ends']}, in {days} days. Next: {next_step}; {measure}."
    said = f"{who} ended on {judge['ends']}"
    if ended == "allow":
        return f"{said}; it is asked all the same (ended_judges=allow)."
    raise UserError(
        f"{said}. Nothing was started. Next: {next_step}; {measure}. An endpoint that still serves the model is asked "
        "with ended_judges=allow."
    )
