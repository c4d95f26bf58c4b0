"""A cell's chain for a terminal. Knows only what explain.py gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefrepro.plan.kinds import KINDS
from prefrepro.tables.template import fill_template

TEMPLATE = Path(__file__).parent / "templates" / "explain.txt"
SHORT = 12
"""Digits of a digest or commit that are shown; --json has all."""
CACHED = ", not asked again: other rows, or an earlier attempt, had asked for the same texts"


def as_text(explained: dict[str, Any]) -> str:
    """Printed and our number, then each job from the verdicts down to the data, every one once."""
    jobs, shown = explained["jobs"], set[str]()
    common = _common(jobs)
    starts = [
        next(filter(None, (seed[kind] for kind in ("verdict", "sample", "run"))), "") for seed in explained["seeds"]
    ]
    values = {
        "table_commit": _commit(explained["table"]),
        "common": common,
        "wall_s": sum(job["wall_s"] or 0.0 for job in jobs.values()),
        "gpu_h": sum(job["facts"].get("gpu_h") or 0.0 for job in jobs.values()),
        "cost_usd": sum(job["facts"].get("cost_usd", 0) for job in jobs.values()),
        "trees": [list(_tree(jobs, start, "", shown, "", common)) if start else [] for start in starts],
    }
    return fill_template(TEMPLATE, explained | values)


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


def _tree(
    jobs: dict[str, Any], name: str, indent: str, shown: set[str], role: str, common: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """A job, then what it was made from, each indented below it; what was shown before has no lines."""
    job, is_above = jobs.get(name), name in shown
    title = KINDS[job["kind"]].title if job else role
    if role and job and role.replace("_", " ") not in title:
        title = f"{role}: {title}"
    shown.add(name)
    lines = [] if is_above or not job else list(_told(job, common))
    is_lost = job is None and not is_above
    yield {"indent": indent, "title": title, "name": name, "is_above": is_above, "is_lost": is_lost, "lines": lines}
    for input_role, source in job["inputs"].items() if job and not is_above else ():
        yield from _tree(jobs, source, f"{indent}  ", shown, input_role, common)


def _told(job: dict[str, Any], common: dict[str, str]) -> Iterator[tuple[str, str]]:
    if job["seed"] is not None:
        yield "seed", str(job["seed"])
    for label, value in job["facts"].items():
        yield label, _value(label, value) + (CACHED if label == "replies_cached" and value else "")
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
