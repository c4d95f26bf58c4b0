"""A forecast as text, Markdown, JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from prefrepro.inspect.forecast.budget import CACHE
from prefrepro.inspect.forecast.jobs import AMOUNTS
from prefrepro.inspect.forecast.lines import GROUPS, STATES, Forecast, Line
from prefrepro.inspect.forecast.work import label_of, price_of
from prefrepro.specs.files import read_mapping
from prefrepro.tables.template import fill_template

COLUMNS = Path(__file__).with_name("columns.yaml")
NOTES = Path(__file__).parent / "templates" / "notes.txt"
CSV_COLUMNS = ["table", "kind", "state", "jobs", *AMOUNTS, *(f"unknown_{name}" for name in AMOUNTS)]


def as_text(forecast: Forecast, tablefmt: str = "simple") -> str:
    """Two tables of what is still to do, the jobs of each kind, and what the numbers rest on."""
    parts = [_table(forecast, columns, tablefmt) for columns in read_mapping(COLUMNS).values()]
    line = forecast.together
    kinds = [[kind, line.sum("all", (kind,)).jobs, line.sum("to_do", (kind,)).jobs] for kind in line.kinds]
    parts.append(tabulate(kinds, ["kind of job", "in all", "to do"], tablefmt=tablefmt))
    parts.append("\n".join(f"- {note}" for note in notes(forecast)))
    return "\n\n".join(parts) + "\n"


def _table(forecast: Forecast, columns: dict[str, Any], tablefmt: str) -> str:
    rows = []
    for line in forecast.lines:
        every, to_do = line.sum("all").jobs, line.sum("to_do").jobs
        jobs = str(to_do) if every == to_do else f"{to_do} of {every}"
        rows.append([line.target, jobs, *(_cell(line, column) for column in columns.values())])
    align = ["left", *["right"] * (len(columns) + 1)]
    return tabulate(rows, ["table", "jobs", *columns], tablefmt=tablefmt, disable_numparse=True, colalign=align)


def _cell(line: Line, column: Sequence[Any]) -> str:
    """The amount that is still to do: « ≥ » where some jobs' amounts are unknown, «unknown» where all are."""
    amount, group, unit, digits = column
    total = line.sum("to_do", GROUPS[group])
    if amount == "jobs":
        return f"{total.jobs:,}"
    if amount == "cost_usd" and not total.amounts[amount] and not total.unknown.get(amount):
        return "free" if line.sum("to_do", ("verdict",)).jobs else "–"
    value = total.amounts[amount]
    text = format(value / unit, digits)
    if total.unknown.get(amount):
        return f"≥ {text}" if value else "unknown"
    return text


def as_markdown(forecast: Forecast) -> str:
    """The same, for a page."""
    return f"# Forecast\n\n{as_text(forecast, 'pipe')}"


def as_json(forecast: Forecast) -> dict[str, Any]:
    """Every line with all its amounts, whole and still to do; `unknown` counts the jobs that a sum lacks."""
    plan, settings = forecast.forecaster.plan, forecast.forecaster.settings
    return {
        "config": {"scale": plan.config.scale, "arguments": plan.config.arguments()},
        "hardware": settings.hardware,
        "tables": [line.as_json() for line in forecast.lines[:-1]],
        "together": forecast.together.as_json(),
        "jobs": [
            {"id": job.id, "kind": job.kind, "is_done": job.is_done, "basis": job.basis, **job.amounts}
            for job in forecast.together.jobs
        ],
        "notes": notes(forecast),
    }


def as_csv(forecast: Forecast) -> str:
    """One row per table × kind × state (all, to_do). Empty: the kind has no such amount, or nothing of it is known."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for line in forecast.lines:
        for kind in line.kinds:
            had = {name for job in line.jobs if job.kind == kind for name in job.amounts}
            for state in STATES:
                writer.writerow({"table": line.target, "kind": kind, "state": state, **_row(line, kind, state, had)})
    return buffer.getvalue()


def _row(line: Line, kind: str, state: str, had: set[str]) -> dict[str, Any]:
    total = line.sum(state, (kind,))
    values: dict[str, Any] = {"jobs": total.jobs}
    for name in had:
        unknown = total.unknown.get(name, 0)
        values[name] = "" if unknown and unknown == total.jobs else round(total.amounts[name], 6)
        values[f"unknown_{name}"] = unknown
    return values


def notes(forecast: Forecast) -> list[str]:
    """What is counted, what hours, sizes and prices rest on, and what is not known."""
    maker, together = forecast.forecaster, forecast.together
    plan, settings = maker.plan, maker.settings
    jobs = [job for job in together.jobs if not job.is_done]
    specs = {job.id: plan.nodes[job.id].spec for job in jobs if job.kind == "verdict"}
    sizes = [maker.size(job.id) for job in together.jobs if job.kind == "data"]
    known = {label_of(spec): maker.measured.call_tokens(spec) for spec in specs.values()}
    unknown = {name: [job.id for job in jobs if job.amounts.get(name, 0.0) is None] for name in AMOUNTS}
    values = {
        "arguments": " ".join(plan.config.arguments()),
        "scale": plan.config.scale,
        "scale_file": f"config/scales/{plan.config.scale}.yaml",
        "settings": settings,
        "results": plan.results,
        "cache": plan.results / CACHE,
        "bases": Counter(job.basis for job in jobs),
        "sizes": {size.name: size.source for size in sizes if not size.is_built and size.source},
        "judges": _judges(forecast, specs),
        "assumed": [name for name, tokens in known.items() if not tokens and name in settings.judge_tokens.per_call],
        "unknown": {name: ids for name, ids in unknown.items() if ids},
    }
    return [line.removeprefix("- ") for line in fill_template(NOTES, values).splitlines()]


def _judges(forecast: Forecast, specs: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Judges of these verdict sets; `stops_at`: a budget of the judge's own that the forecast exceeds."""
    maker, found = forecast.forecaster, []
    for name, judge in {spec["judge"]["name"]: spec["judge"] for spec in specs.values()}.items():
        own = [maker.job(maker.plan.nodes[one]) for one, spec in specs.items() if spec["judge"]["name"] == name]
        limit, cost = judge.get("budget_usd"), sum(job.amounts["cost_usd"] or 0.0 for job in own)
        stops = limit is not None and maker.plan.config.budget_usd is None and cost > limit
        found.append({**judge, "price": price_of(judge), "stops_at": limit if stops else None})
    return found
