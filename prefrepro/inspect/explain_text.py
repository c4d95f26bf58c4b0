"""A cell's chain for a terminal. Knows only what explain.py gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from prefrepro.plan.kinds import KINDS

WIDTH = 17
SHORT = 12
"""Digits of a digest or commit that are shown; --json has all."""


def as_text(explained: dict[str, Any]) -> str:
    """Printed and our number, then each job from the verdicts down to the data, every one once."""
    return "\n".join(_lines(explained)) + "\n"


def _lines(explained: dict[str, Any]) -> Iterator[str]:
    cell, printed, table = explained["cell"], explained["printed"], explained["table"]
    yield f"{explained['address']}   ({explained['results']}; scale {cell['scale']}, reading {cell['reading']})"
    where = [printed["where"], printed["row"] and f"row {printed['row']}", printed["column"]]
    value = "none" if printed["value"] is None else f"{printed['value']:.2f}"
    yield _line("printed", f"{value}   {', '.join(filter(None, where))}".rstrip())
    yield _line("ours", _ours(cell))
    yield _line("status", ": ".join(filter(None, [cell["status"], cell["reason"]])))
    if cell["p_vs_baseline"] is not None:
        gap = f"{cell['diff']:+.2f} [{cell['diff_low']:+.2f}, {cell['diff_high']:+.2f}] {cell['diff_method']}"
        yield _line("against", f"{cell['baseline']}: {gap}, p {cell['p_vs_baseline']:.4g}, not corrected")
    yield _line("judge", ", protocol ".join(filter(None, [cell["judge"], table["protocol"]])))
    if table["started"]:
        yield _line("table made", f"{table['started']}, commit {_commit(table)}")
    common, jobs = _common(explained["jobs"]), explained["jobs"].values()
    if common:
        yield "\nof every job below, unless it says otherwise"
        for label, text in common.items():
            yield _line(label, text)
    wall_s, gpu_h = (sum(one) for one in zip(*(_spent(job) for job in jobs), strict=True)) if jobs else (0, 0)
    cost = sum(job["facts"].get("cost_usd", 0) for job in jobs)
    yield _line("all jobs", f"{len(jobs)}: {wall_s:.1f} s, {gpu_h:g} GPU-h, {cost:.4g} USD of judging")
    yield ""
    shown: set[str] = set()
    for number, seed in enumerate(explained["seeds"], start=1):
        if len(explained["seeds"]) > 1:
            yield f"seed {number} of {len(explained['seeds'])}"
        start = next((one for one in (seed["verdict"], seed["sample"], seed["run"]) if one), None)
        if start:
            yield from _job(explained["jobs"], start, 0, shown, "", common)
    if not explained["seeds"]:
        yield "Nothing was run for it."


def _ours(cell: dict[str, Any]) -> str:
    if cell["value"] is None:
        return "not run"
    counts = f"n {cell['n']}, {cell['n_tie']} ties, {cell['n_invalid']} invalid, seeds {cell['n_seeds']}"
    return f"{cell['value']:.2f} [{cell['ci_low']:.2f}, {cell['ci_high']:.2f}] {cell['ci_method']}, {counts}"


def _spent(job: dict[str, Any]) -> tuple[float, float]:
    return job["wall_s"] or 0.0, job["facts"].get("gpu_h") or 0.0


def _common(jobs: dict[str, Any]) -> dict[str, str]:
    """What most jobs share of code, versions and machine, to be said once."""
    made = [_made(job) for job in jobs.values() if job["record"]]
    found = {}
    for label in ("commit", "versions", "hardware"):
        texts = [one[label] for one in made if label in one]
        if texts:
            found[label] = max(texts, key=texts.count)
    return found


def _made(job: dict[str, Any]) -> dict[str, str]:
    """Commit, versions and hardware as text."""
    found = {"commit": _commit(job)}
    if job["versions"]:
        found["versions"] = ", ".join(f"{package} {version}" for package, version in job["versions"].items())
    if machine := job["hardware"]:
        gpus = ", ".join(machine["gpus"]) or "no GPU"
        found["hardware"] = f"{machine['cpu']}, {machine['cpus']} cores, {machine['memory_gb']} GB, {gpus}"
    return found


def _job(
    jobs: dict[str, Any], name: str, depth: int, shown: set[str], role: str, common: dict[str, str]
) -> Iterator[str]:
    job, indent = jobs.get(name), "  " * depth
    title = KINDS[job["kind"]].title if job else role
    if role and job and role.replace("_", " ") not in title:
        title = f"{role}: {title}"
    if name in shown:
        yield f"{indent}- {title}  {name}  (above)"
        return
    shown.add(name)
    yield f"{indent}- {title}  {name}"
    if job is None:
        yield f"{indent}  nothing is recorded of it"
        return
    for label, text in _told(job, common):
        yield f"{indent}  {_line(label, text)}"
    for input_role, source in job["inputs"].items():
        yield from _job(jobs, source, depth + 1, shown, input_role, common)


def _told(job: dict[str, Any], common: dict[str, str]) -> Iterator[tuple[str, str]]:
    if job["seed"] is not None:
        yield "seed", str(job["seed"])
    for label, value in job["facts"].items():
        yield label, _value(label, value)
    if job["code_digest"]:
        yield "code_digest", job["code_digest"][:SHORT]
    for label, text in _made(job).items():
        if common.get(label) != text:
            yield label, text
    if job["wall_s"] is not None:
        yield "time", f"{job['wall_s']:.2f} s" + (f", from {job['started']}" if job["started"] else "")
    if job["record"] is None:
        yield "record", "none: made by an older version, so that what it was made from is not known"


def _commit(told: dict[str, Any]) -> str:
    if not told["commit"]:
        return "none (not a git checkout)" if told["commit"] == "" else "not recorded"
    return told["commit"][:SHORT] + (", with uncommitted changes" if told["dirty"] else "")


def _value(label: str, value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(label, one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(_value(label, one) for one in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:SHORT] if "sha256" in label and len(text) == 64 else text


def _line(label: str, text: str) -> str:
    return f"  {label:{WIDTH}} {text}"
