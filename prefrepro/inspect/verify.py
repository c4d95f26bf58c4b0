"""Does a results folder still fit together? Recomputes every hash and table, and names the cells that a misfit touches.

Four questions: does every record match its seal, and its job's id match its spec; is every file the one that its job
wrote; was every job made from the inputs that are there now; do the verdicts still give the tables, and the folders
the joined CSVs. Asks no plan: the folder may come from another checkout. The judge cache, logs, times and
checkpoints are no results.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from prefrepro.errors import UserError
from prefrepro.files import sha256_file
from prefrepro.inspect.results import JOB_FOLDERS, KEYS, Record, Results, address
from prefrepro.jobs.record import FOLDER, SEAL, as_text, files_of, is_result, seal
from prefrepro.tables.build import write
from prefrepro.tables.collect import write_joined

JOINED = ("cells", "cell_seeds", "pairs", "runs", "verdicts", "judging")
LATER = "repair the other findings first"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not fit."""

    path: str
    """Below the results."""
    problem: str
    next_step: str
    cells: list[str]
    """Addresses of the cells that rest on it."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at, and what was found."""

    records: int
    files: int
    bytes: int
    tables: int
    findings: list[Finding]
    unrecorded: list[str]
    """Files that no record covers and that cannot be recomputed, such as a forecast."""

    @property
    def is_whole(self) -> bool:
        return not self.findings

    def as_json(self) -> dict[str, Any]:
        return {"is_whole": self.is_whole, **asdict(self)}


def verify(results: Results, is_without_models: bool = False) -> Verified:
    """Check everything, whatever is found on the way; `is_without_models`: weights may be missing, as in an archive.

    Raises UserError where nothing was recorded at all.
    """
    if not results.places:
        raise UserError(
            f"{results.path}/{FOLDER} holds no record: these results were made before jobs left any. "
            "Expected one for each job. Make them again, in another folder: snakemake tables"
        )
    findings = list(_unsound(results))
    unsound = {finding.path for finding in findings}
    sound = {name: record for name, record in results.records.items() if results.places[name] not in unsound}
    for name, record in sound.items():
        findings += _chain(results, name, record)
    wanted = {place: name for name, record in sound.items() for place in record["files"]}
    paths = {place: results.path / place for place in wanted}
    sizes = {place: path.stat().st_size for place, path in paths.items() if path.is_file()}
    with tqdm(total=sum(sizes.values()), unit="B", unit_scale=True, desc="hashing", disable=None) as bar:
        for name, record in sound.items():
            findings += _files(results, name, record, is_without_models, bar)
    findings += _strangers(results, sound, wanted)
    tables = {name: record for name, record in sound.items() if record["kind"] == "table"}
    with tempfile.TemporaryDirectory(prefix="prefrepro-verify-") as folder:
        for name, record in tqdm(tables.items(), unit="table", desc="tables", disable=None):
            findings += _table(results, name, record, Path(folder, "tables"), bool(findings))
        findings += _joined(results, Path(folder), bool(findings))
    return Verified(
        records=len(results.places),
        files=len(sizes),
        bytes=sum(sizes.values()),
        tables=len(tables),
        findings=_once(findings),
        unrecorded=sorted(_unrecorded(results, wanted)),
    )


def _unsound(results: Results) -> Iterator[Finding]:
    """Records that are not as they were sealed."""
    for name, place in results.places.items():
        record = results.records.get(name)
        if record is None:
            problem = "is no readable record"
        elif record.get(SEAL) != seal(record) or (results.path / place).read_bytes() != as_text(record).encode():
            problem = "is not the record that was sealed: its content and its seal differ"
        else:
            continue
        yield Finding(place, problem, _again(name), results.touched_by([name]))


def _chain(results: Results, name: str, record: Record) -> Iterator[Finding]:
    """Is a job's id that of its spec, and was it made from what stands there now."""
    problems = []
    if "code_digest" in record["spec"]:
        canonical = json.dumps([record["spec"], record["inputs"]], sort_keys=True, ensure_ascii=False)
        digest = hashlib.sha256(canonical.encode()).hexdigest()[:8]
        if record["id"].rpartition("_")[2] != digest:
            problems.append(f"the digest of its spec and inputs is {digest}, its id is {record['id']}")
    for role, source in record["inputs"].items():
        what = source if role == source else f"{role} {source}"
        if source not in results.places:
            problems.append(f"its {what} has no record")
        elif source in results.records and record["input_seals"].get(role) != results.records[source].get(SEAL):
            problems.append(f"it was made from another {what} than stands there now")
    for problem in problems:
        yield Finding(results.places[name], problem, _again(name), results.touched_by([name]))


def _files(results: Results, name: str, record: Record, is_without_models: bool, bar: Any) -> Iterator[Finding]:
    """Files of a job that are missing, or not the ones that it wrote."""
    for place, expected in record["files"].items():
        path = results.path / place
        if path.is_file():
            found = sha256_file(path)
            bar.update(path.stat().st_size)
            if found == expected:
                continue
            problem = f"is not the file that its job wrote: SHA-256 {found[:12]}…, expected {expected[:12]}…"
        elif is_without_models and "/model/" in place:  # weights, tokenizer and their settings
            continue
        else:
            problem = "is missing"
        yield Finding(place, problem, _again(name), results.touched_by([name]))


def _strangers(results: Results, sound: Iterable[str], wanted: Iterable[str]) -> Iterator[Finding]:
    """Files in a job's folder that its job did not write; jobs with an unsound record are passed over."""
    known, unsound = set(wanted), results.places.keys() - set(sound)
    for folder in JOB_FOLDERS:
        for path in sorted((results.path / folder).rglob("*")):
            place = path.relative_to(results.path).as_posix()
            name = path.name.partition(".")[0] if folder == "tables" else place.split("/")[1]
            if is_result(path) and place not in known and name not in unsound:
                problem = "stands in no record: its job did not write it, or has left none"
                yield Finding(place, problem, _again(name), results.touched_by([name]))


def _unrecorded(results: Results, wanted: Iterable[str]) -> Iterator[str]:
    known = {*wanted, *(f"{name}.csv" for name in JOINED), "judge_cache.sqlite", "judge_cache.sqlite.lock"}
    for path in [*results.path.glob("*"), *results.path.glob("theory/*"), *results.path.glob("figures_rpo/*")]:
        place = path.relative_to(results.path).as_posix()
        if is_result(path) and place not in known:
            yield place


def _table(results: Results, name: str, record: Record, folder: Path, is_explained: bool) -> Iterator[Finding]:
    """Files of a table that its verdicts no longer give; `is_explained`: other findings may be the cause."""
    cells, first = results.touched_by([name]), f"tables/{name}.cells.csv"
    try:
        write(record["spec"], results.path, folder)
    except (UserError, OSError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        if is_explained:
            yield Finding(first, f"could not be recomputed ({_short(error)})", LATER, [])
        else:
            yield Finding(first, f"cannot be made of its verdicts any more ({_short(error)})", _again(name), cells)
        return
    for place in files_of(folder.parent, record["id"], record["spec"]):
        path, made = results.path / place, (folder.parent / place).read_bytes()
        if path.is_file() and path.read_bytes() != made:
            then = record["commit"][:12] or "none"
            problem = f"is not what its verdicts give with the code of this checkout (made at commit {then})"
            changed = _changed_cells(made, path) if place == first else []
            yield Finding(place, problem, _again(name), changed or cells)


def _joined(results: Results, folder: Path, is_explained: bool) -> Iterator[Finding]:
    """The joined CSVs against those of the folders."""
    again, every = f"prefrepro collect scale={results.path.name}", sorted(results.rests_on)
    try:
        write_joined(results.path, folder)
    except UserError as error:
        if is_explained:
            yield Finding("cells.csv", f"could not be joined again ({_short(error)})", LATER, [])
        else:
            yield Finding("cells.csv", f"cannot be joined from its parts any more ({_short(error)})", again, every)
        return
    for name in JOINED:
        path, made = results.path / f"{name}.csv", (folder / f"{name}.csv").read_bytes()
        if not path.is_file():
            yield Finding(path.name, "is missing", again, every)
        elif path.read_bytes() != made:
            ids = [row[0] for row in _changed_rows(made, path)]
            cells = _changed_cells(made, path) if name == "cells" else results.touched_by(ids)
            yield Finding(path.name, "is not what its parts give", again, cells or every)


def _changed_cells(made: bytes, path: Path) -> list[str]:
    """Addresses of the rows that differ; none where the header does, or nothing but the form."""
    rows, head = _changed_rows(made, path), _rows(made.decode())[0]
    if any(row[:4] == KEYS for row in rows):
        return []
    return sorted({address(dict(zip(head, row, strict=True))) for row in rows})


def _changed_rows(made: bytes, path: Path) -> list[tuple[str, ...]]:
    """Rows that should be in a CSV and are not."""
    found = set(_rows(path.read_bytes().decode("utf-8", "replace")))
    return [row for row in _rows(made.decode()) if row not in found]


def _rows(text: str) -> list[tuple[str, ...]]:
    try:
        return [tuple(row) for row in csv.reader(io.StringIO(text, newline=""))]
    except csv.Error:
        return []


def _short(error: Exception) -> str:
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first[:200]}"


def _again(job: str) -> str:
    return f"restore it from a copy, or delete what {job} wrote and run snakemake again"


def _once(findings: list[Finding]) -> list[Finding]:
    """One finding for each file, with all its problems and cells."""
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.path, []).append(finding)
    return [
        Finding(
            path,
            "; ".join(dict.fromkeys(one.problem for one in same)),
            same[0].next_step,
            sorted({cell for one in same for cell in one.cells}),
        )
        for path, same in sorted(found.items())
    ]
