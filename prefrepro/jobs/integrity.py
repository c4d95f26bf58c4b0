"""Whether a job's files are still as the job left them, by the hashes in its record. Knows no kind of job.

A file that was cut at the end of a line, or in which a bit has turned, may read well and be wrong. A large file is read
once: later jobs, which hold a device meanwhile, look at its size and time of change.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from prefrepro.errors import UserError
from prefrepro.files import sha256_file, write_text

RECORDS = "records"
SEEN = ".seen"
"""Folder of the results: size, time of change and SHA-256 of large files, as a job last read them."""
LARGE = 2**26
"""Bytes from which reading a file again takes longer than a job's start."""


def record_of(results: Path, folder: str) -> Path:
    """Where a job's record stands: of runs/x, records/runs/x.json."""
    return results / RECORDS / f"{folder}.json"


def check_intact(results: Path, folder: str) -> None:
    """Raise UserError naming the first file that is not as recorded; results without a record are taken as they are."""
    path = record_of(results, folder)
    if not path.is_file():
        return
    try:
        files = dict(json.loads(path.read_text(encoding="utf-8"))["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no readable record of a job ({error!r}). {_remedy(results, folder)}") from error
    for name, expected in files.items():
        found = _sha256(results, name) if (results / name).is_file() else "no file"
        if found != expected:
            raise UserError(
                f"{results / name} is not what its job wrote: found SHA-256 {found[:12]}, expected {expected[:12]}. "
                f"It was cut or changed since. {_remedy(results, folder)}"
            )


def _sha256(results: Path, name: str) -> str:
    file = results / name
    state, seen = file.stat(), results / SEEN / f"{name}.json"
    if state.st_size < LARGE:
        return sha256_file(file)
    now = [state.st_size, state.st_mtime_ns]
    with contextlib.suppress(OSError, ValueError):
        *then, found = json.loads(seen.read_text(encoding="utf-8"))
        if then == now:
            return found
    found = sha256_file(file)
    write_text(seen, json.dumps([*now, found]))
    return found


def _remedy(results: Path, folder: str) -> str:
    return f"Next: delete the folder {results / folder} and run snakemake again, which makes it anew"
