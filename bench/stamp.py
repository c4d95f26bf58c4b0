"""What every row of a measurement carries: machine, versions, date, commit; and how a CSV is written.

Imports nothing heavy: a process that starts others must not lend them its memory.
"""

from __future__ import annotations

import csv
import hashlib
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from prefrepro.files import replacing
from prefrepro.provenance import code_state, versions

RESULTS = Path(__file__).parent / "results"
STAMP = ("machine", "versions", "date", "commit")


def stamp(*packages: str, machine: str | None = None) -> dict[str, str]:
    """machine, versions of `packages`, date (UTC), commit with "+" where tracked files were changed since."""
    found = versions(*packages)
    state = code_state()
    return {
        "machine": machine or cpu(),
        "versions": " ".join([f"python {platform.python_version()}", *(f"{n} {v}" for n, v in found.items())]),
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "commit": state["commit"][:10] + ("+" if state["dirty"] else ""),
    }


def digest(ids: Iterable[str]) -> str:
    """Short name of a set of nodes: another one where the code, data or settings of any of them would be others."""
    return hashlib.sha256(" ".join(sorted(ids)).encode()).hexdigest()[:16]


def cpu() -> str:
    """The processor's name and how many of its cores this process may use."""
    names = Path("/proc/cpuinfo")
    lines = names.read_text(encoding="utf-8").splitlines() if names.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{len(os.sched_getaffinity(0))} x {model}"


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """A CSV in one step: floats with four significant digits, empty where a row says nothing."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _short(row.get(name)) for name in columns})


def _short(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return "" if value is None else value


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of such a CSV; none where it was not made."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
