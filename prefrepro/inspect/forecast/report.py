"""A forecast as text, Markdown, JSON and CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

from tabulate import tabulate

from prefrepro.inspect.forecast.budget import CACHE
from prefrepro.inspect.forecast.jobs import AMOUNTS, Job
from prefrepro.inspect.forecast.lines import STATES, Forecast, Line
from prefrepro.inspect.forecast.work import label_of, price_of
from prefrepro.plan.kinds import TRAININGS

Column = tuple[str, tuple[str, ...], str]
"""(amount or `jobs`, kinds, format)"""
WORK: dict[str, Column] = {
    "trainings": ("jobs", TRAININGS, "count"),
    "sequences": ("sequences", TRAININGS, "count"),
    "Mtokens": ("tokens", TRAININGS, "millions"),
    "hours": ("hours", TRAININGS, "hours"),
    "answers": ("answers", ("sample",), "count"),
    "of Mtokens": ("tokens", ("sample",), "millions"),
    "in hours": ("hours", ("sample",), "hours"),
    "all hours": ("hours", (), "hours"),
}
JUDGING: dict[str, Column] = {
    "verdict sets": ("jobs", ("verdict",), "count"),
    "judge calls": ("calls", (), "count"),
    "Mtokens in": ("prompt_tokens", (), "millions"),
    "Mtokens out": ("completion_tokens", (), "millions"),
    "USD": ("cost_usd", (), "hundredths"),
}
FORMATS = {"count": (1.0, ",.0f"), "millions": (1e6, ",.2f"), "hours": (1.0, ",.3f"), "hundredths": (1.0, ",.2f")}
SHOWN = 3
CSV_COLUMNS = ["table", "kind", "state", "jobs", *AMOUNTS, *(f"unknown_{name}" for name in AMOUNTS)]


def as_text(forecast: Forecast, tablefmt: str = "simple") -> str:
    """Two tables of what is still to do, the jobs of each kind, and what the numbers rest on."""
    parts = [_table(forecast, columns, tablefmt) for columns in (WORK, JUDGING)]
    line = forecast.together
    kinds = [[kind, line.sum("all", (kind,)).jobs, line.sum("to_do", (kind,)).jobs] for kind in line.kinds]
    parts.append(tabulate(kinds, ["kind of job", "in all", "to do"], tablefmt=tablefmt))
    parts.append("\n".join(f"- {note}" for note in notes(forecast)))
    return "\n\n".join(parts) + "\n"


def _table(forecast: Forecast, columns: dict[str, Column], tablefmt: str) -> str:
    rows = []
    for line in forecast.lines:
        every, to_do = line.sum("all").jobs, line.sum("to_do").jobs
        jobs = str(to_do) if every == to_do else f"{to_do} of {every}"
        rows.append([line.target, jobs, *(_cell(line, column) for column in columns.values())])
    align = ["left", *["right"] * (len(columns) + 1)]
    return tabulate(rows, ["table", "jobs", *columns], tablefmt=tablefmt, disable_numparse=True, colalign=align)


def _cell(line: Line, column: Column) -> str:
    """The amount that is still to do: « ≥ » where some jobs' amounts are unknown, «unknown» where all are."""
    amount, kinds, form = column
    total = line.sum("to_do", kinds)
    if amount == "jobs":
        return f"{total.jobs:,}"
    value, (unit, digits) = total.amounts[amount], FORMATS[form]
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
    plan, settings = forecast.forecaster.plan, forecast.forecaster.settings
    scale_file = f"config/scales/{plan.config.scale}.yaml"
    jobs = [job for job in forecast.together.jobs if not job.is_done]
    found = [
        f"Still to do with {' '.join(plan.config.arguments()) or 'the default config'}, scale {plan.config.scale}. A "
        "job that several tables share counts in each of them, and once in «together».",
        f"Hours are of {settings.hardware or 'whatever the earlier jobs ran on'}, summed over jobs; tokens of answers "
        "are as measured before, else the most that fit.",
    ]
    measured, config = (sum(job.basis == basis for job in jobs) for basis in ("measured", "config"))
    if measured:
        found.append(f"Hours of {measured} jobs: median of earlier jobs like them in {plan.results}.")
    if config:
        what = "measured" if settings.basis == "measured" else "arithmetic, NOT measured"
        found.append(f"Hours of {config} jobs: {scale_file}, {what}: {settings.source or 'no rates'}.")
    found += _size_notes(forecast, scale_file) + _judge_notes(forecast) + _unknown_notes(jobs, scale_file)
    return found


def _size_notes(forecast: Forecast, scale_file: str) -> list[str]:
    maker = forecast.forecaster
    used = [maker.size(job.id) for job in forecast.together.jobs if job.kind == "data"]
    sources = {size.name: size.source for size in used if not size.is_built and size.source}
    return [f"Size of {name}, which is not built yet: {said} ({scale_file})." for name, said in sources.items()]


def _judge_notes(forecast: Forecast) -> list[str]:
    maker = forecast.forecaster
    plan, settings = maker.plan, maker.settings
    verdicts = [job for job in forecast.together.jobs if job.kind == "verdict" and not job.is_done]
    specs = {plan.nodes[job.id].spec["judge"]["name"]: plan.nodes[job.id].spec for job in verdicts}
    found = []
    for name, spec in specs.items():
        price = price_of(spec["judge"])
        said = "price UNKNOWN" if price is None else f"{price[0]:g} and {price[1]:g} USD per million tokens in and out"
        found.append(f"Judge {name} ({spec['judge']['model']}): {said} (config/judges/{name}.yaml).")
        own = [job.amounts["cost_usd"] or 0.0 for job in verdicts if plan.nodes[job.id].spec["judge"]["name"] == name]
        limit = spec["judge"].get("budget_usd")
        if limit is not None and plan.config.budget_usd is None and sum(own) > limit:
            found.append(f"config/judges/{name}.yaml stops at {limit:g} USD, before the end: set --config budget_usd.")
    labels = {
        label_of(spec): maker.measured.call_tokens(spec) for spec in (plan.nodes[job.id].spec for job in verdicts)
    }
    if assumed := [
        label for label, tokens in labels.items() if tokens is None and label in settings.judge_tokens.per_call
    ]:
        found.append(f"Tokens of a call ({', '.join(assumed)}): {settings.judge_tokens.source}.")
    if verdicts:
        found.append("Replies that have to be asked again come on top of calls and USD.")
        if (plan.results / CACHE).is_file():
            found.append(f"At most: of unfinished verdict sets, replies in {plan.results / CACHE} cost nothing again.")
    return found


def _unknown_notes(jobs: list[Job], scale_file: str) -> list[str]:
    found = []
    for name in AMOUNTS:
        ids = [job.id for job in jobs if name in job.amounts and job.amounts[name] is None]
        if ids:
            more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
            found.append(f"NOT KNOWN, {name} of {', '.join(ids[:SHOWN])}{more}: see {scale_file}, forecast.")
    return found
