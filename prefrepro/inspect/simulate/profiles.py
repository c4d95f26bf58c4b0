"""profiles/<name>/profile.yaml: how a Snakemake profile submits jobs.

Only the four keys that a replay needs are read and checked; Snakemake itself refuses options that it does not know.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT, show
from prefrepro.specs.files import read_mapping, report, unknown_keys


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile says about submissions."""

    name: str
    is_local: bool
    submitted: int | None
    """The most at a time; None: no limit."""
    group_of: dict[str, str]
    """rule -> group"""
    components: dict[str, int]
    """group -> jobs of one submission"""


def read_profile(name: str) -> Profile:
    """profiles/<name>/profile.yaml. Raises UserError where there is none, or with every problem of it."""
    known = sorted(path.parent.name for path in (ROOT / "profiles").glob("*/profile.yaml"))
    if name not in known:
        raise UserError(f'--profile is "{name}". Known: {", ".join(known)}.{nearest(name, known)}')
    path = ROOT / "profiles" / name / "profile.yaml"
    return check_profile(name, read_mapping(path), show(path))


def check_profile(name: str, raw: dict[str, Any], where: str) -> Profile:
    """What a profile's content says. Raises UserError with every problem, each with its key."""
    executor, jobs, problems = raw.get("executor", "local"), raw.get("jobs", "all"), list[str]()
    if not isinstance(executor, str):
        problems.append(f"{where}: executor is {executor!r:.80}; expected text")
    if jobs not in ("all", "unlimited") and not (type(jobs) is int and jobs >= 1):
        problems.append(f"{where}: jobs is {jobs!r:.80}; expected a whole number of at least 1, all or unlimited")
    groups = _pairs(raw, "groups", r"[A-Za-z_]\w*", where, "RULE=GROUP", problems)
    sizes = _pairs(raw, "group-components", r"[1-9]\d{0,8}", where, "GROUP=NUMBER", problems)
    problems += unknown_keys(groups, _rules(), f"{where}, groups")  # Snakemake ignores rules and groups it lacks
    problems += unknown_keys(sizes, sorted(set(groups.values())), f"{where}, group-components")
    report(problems)
    is_local = executor == "local"
    submitted = jobs if isinstance(jobs, int) and not is_local else None
    return Profile(name, is_local, submitted, groups, {group: int(size) for group, size in sizes.items()})


def _pairs(raw: dict[str, Any], key: str, value: str, where: str, expected: str, problems: list[str]) -> dict[str, str]:
    """A list of NAME=VALUE, or the mapping that stands for it; `value` is the pattern of a value."""
    if key not in raw:
        return {}
    given = entries = raw[key]
    if isinstance(given, dict):
        entries = [f"{name}={one}" if type(one) in (str, int) else "" for name, one in given.items()]
    if (
        not isinstance(entries, list)
        or not entries
        or not all(isinstance(entry, str) and re.fullmatch(rf"\w+={value}", entry) for entry in entries)
    ):
        problems.append(f"{where}: {key} is {given!r:.80}; expected a list of {expected}, or the mapping of it")
        return {}
    return dict(entry.split("=", 1) for entry in entries)


def _rules() -> list[str]:
    """The names of all rules of the workflow."""
    files = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
    texts = (file.read_text(encoding="utf-8") for file in files)
    return [name for text in texts for name in re.findall(r"(?m)^(?:rule|use rule \w+ as) (\w+)", text)]
