"""A finished local run as Snakemake's log tells it: from its first job's start to its last job's end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from prefrepro.errors import UserError

STAMP = re.compile(r"^\[(\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4})\]$")
STARTED = re.compile(r"^(?:local)?rule (\w+):$")
CORES = re.compile(r"^Provided cores: (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Recorded:
    """Of one call of snakemake."""

    seconds: float
    jobs: int
    cores: int


def read_log(path: Path) -> Recorded:
    """From a file of .snakemake/log, whose times are whole seconds. Raises UserError where it is no finished run."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    begins: list[datetime] = []
    ends: list[datetime] = []
    stamp: datetime | None = None
    for line in text.splitlines():
        if found := STAMP.match(line):
            stamp = datetime.strptime(found[1], "%a %b %d %H:%M:%S %Y")
        elif stamp is not None and STARTED.match(line):
            begins.append(stamp)
        elif stamp is not None and line.startswith("Finished jobid:"):
            ends.append(stamp)
    cores = CORES.search(text)
    if not begins or len(begins) != len(ends) or cores is None:
        raise UserError(
            f"{path}: {len(begins)} jobs began and {len(ends)} ended; expected the log of a local run that was whole. "
            "Next: name one of .snakemake/log that says so, or run the tables anew"
        )
    return Recorded((ends[-1] - begins[0]).total_seconds(), len(ends), int(cores[1]))
