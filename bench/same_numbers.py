"""python -m bench.same_numbers OLD NEW: did a change of the code move a number?

OLD and NEW are results folders (results/embedded) that two commits made with the same commands. A job's id changes
with the code, so jobs are paired by what they are: readable name, spec without code digests, and the same of their
inputs. Of each pair every file is compared, and of the folders cells.csv, runs.csv, verdicts.csv, judging.csv and the
tables. Exits with 1 on any difference, and on a job, file or row that only one side has.

Where a change gave jobs another spec on purpose, such as a method another name, --but-for KEY … pairs what is left
without these keys of the spec, and leaves columns of these names out of the comparison.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from tabulate import tabulate

from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.files import sha256_file

CODE = {"code_digest", "scorer_digest"}
"""Keys of a spec that follow the code."""
COLUMNS_LEFT_OUT = {
    "cells.csv": {"commit"},
    "runs.csv": {"commit", "dirty", "code_digest", "wall_s", "gpu_h", "peak_mem_gb"},
    "verdicts.csv": {"created", "request_sha256"},
    "metrics.csv": {"tokens_per_second"},
}
"""Commits, times and speeds. A request's hash covers the digest of the local judge's code."""
KEYS_LEFT_OUT = {*CODE, "commit", "dirty", "wall_s", "train_s", "gpu_h", "peak_mem_gb", "asked", "cached", "spec"}
"""Of every JSON file. `asked` and `cached` say which of two jobs asked first; the pairing has compared `spec`."""
FILES_LEFT_OUT = {"README.md"}
"""A model card: words, and numbers that stand elsewhere."""
JOINED = ("cells.csv", "cell_seeds.csv", "pairs.csv", "runs.csv", "verdicts.csv", "judging.csv")
ORDERED_BY_ID = {"runs.csv", "verdicts.csv", "judging.csv"}
"""Other ids, another order of the rows: these are sorted before they are compared."""
TABLE_SUFFIXES = (".cells.csv", ".cell_seeds.csv", ".pairs.csv", ".csv", ".md", ".tex")
"""A table's HTML page has the same numbers again."""
ID = re.compile(r"[A-Za-z0-9._-]+_[0-9a-f]{8}(?![0-9a-f])")
SHOWN = 20
"""Differences that are printed in full."""


@dataclass(slots=True)
class Report:
    """What was compared, by kind of file, and every difference found."""

    but_for: frozenset[str] = frozenset()
    """Keys and columns that changed on purpose."""
    ids: dict[str, str] = field(default_factory=dict)
    """Id in OLD -> id in NEW, of each pair of jobs."""
    compared: Counter[str] = field(default_factory=Counter)
    unequal: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def add(self, kind: str, place: str, found: list[str]) -> None:
        """One thing of a kind was compared; `found` says how it differs."""
        self.compared[kind] += 1
        self.unequal[kind] += bool(found)
        self.differences += [f"{place}: {one}" for one in found]

    def renamed(self, text: str) -> str:
        """A text of OLD with the ids that NEW gave."""
        return ID.sub(lambda match: self.ids.get(match[0], match[0]), text)


@dataclass(slots=True)
class Jobs:
    """The finished jobs of a results folder, from their records; tables, which have no folder, are left out."""

    results: Path
    folders: dict[str, str] = field(default_factory=dict)
    """id -> folder below the results"""
    contents: dict[str, tuple[dict[str, Any], dict[str, str]]] = field(default_factory=dict)
    """id -> spec, inputs by role"""

    def __post_init__(self) -> None:
        records = self.results / "records"
        for path in sorted(records.glob("*/*.json")):
            record = json.loads(_text(path))
            if record["kind"] != "table":
                self.folders[record["id"]] = path.relative_to(records).with_suffix("").as_posix()
                self.contents[record["id"]] = _without(record["spec"], CODE), record["inputs"]
        if not self.folders:
            raise UserError(f"{self.results} holds no records of jobs. Expected a folder such as results/embedded")

    def identity(self, job: str, but_for: frozenset[str] = frozenset()) -> str:
        """The same for the same work, whatever code did it. `but_for`: keys of specs that do not count."""
        if job not in self.contents:
            raise UserError(f"{self.results}: no record of {job}, an input of another job. Next: run snakemake again")
        spec, inputs = self.contents[job]
        content = [_readable(job, but_for), _without(spec, but_for), self.identities(inputs, but_for)]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def identities(self, inputs: dict[str, str], but_for: frozenset[str] = frozenset()) -> dict[str, str]:
        """The identity of each input, by role."""
        return {role: self.identity(job, but_for) for role, job in inputs.items()}

    def by_identity(self, jobs: Iterable[str], but_for: frozenset[str] = frozenset()) -> dict[str, str]:
        """Identity -> id of these jobs. Raises UserError where two jobs are the same work."""
        found: dict[str, str] = {}
        for job in jobs:
            other = found.setdefault(self.identity(job, but_for), job)
            if other != job:
                raise UserError(
                    f"{self.results}: {other} and {job} are the same work"
                    + (f" but for {', '.join(sorted(but_for))}. Next: name fewer keys" if but_for else
                       ", done by two versions of the code. Next: compare a folder that one commit made")
                )  # fmt: skip
        return found


def same_numbers(old: Path, new: Path, but_for: frozenset[str] = frozenset()) -> Report:
    """Compare two results folders. Raises UserError where one holds no jobs, or the same job twice."""
    report, left, right = Report(but_for), Jobs(old), Jobs(new)
    for keys in dict.fromkeys((frozenset[str](), but_for)):
        before = left.by_identity(left.folders.keys() - report.ids.keys(), keys)
        after = right.by_identity(right.folders.keys() - set(report.ids.values()), keys)
        report.ids |= {job: after[key] for key, job in before.items() if key in after}
    for job in left.folders:
        report.add("jobs", job, [] if job in report.ids else [_alone(job, "OLD", left, right)])
    for job in right.folders.keys() - set(report.ids.values()):
        report.add("jobs", job, [_alone(job, "NEW", right, left)])
    for job, other in sorted(report.ids.items()):
        _compare_folders(report, old / left.folders[job], new / right.folders[other])
    for name in JOINED:
        _compare_file(report, name, old / name, new / name)
    tables = {
        f"tables/{path.name}"
        for results in (old, new)
        for path in (results / "tables").glob("*")
        if not path.name.startswith(".") and path.name.endswith(TABLE_SUFFIXES)
    }
    for name in sorted(tables):
        _compare_file(report, name, old / name, new / name)
    return report


def _compare_folders(report: Report, old: Path, new: Path) -> None:
    """Every file of a job's folder, but those that a running or killed job left half-written."""
    names = {
        path.relative_to(folder).as_posix()
        for folder in (old, new)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".") and path.name not in FILES_LEFT_OUT
    }
    for name in sorted(names):
        _compare_file(report, f"{old.parent.name}/{old.name}/{name}", old / name, new / name)


def _compare_file(report: Report, place: str, old: Path, new: Path) -> None:
    joined = (name for name in ("cells.csv", "pairs.csv") if place.endswith(f".{name}"))
    name = next(joined, old.name)
    folder = place.partition("/")[0]
    kind = place if place in JOINED else f"{folder}: {'*' + old.suffix if folder == 'tables' else old.name}"
    if not (old.is_file() and new.is_file()):
        found = [f"only in {side}" for side, path in (("OLD", old), ("NEW", new)) if path.is_file()]
        found = found or ["in neither folder"]
    elif old.suffix == ".csv":
        left_out = COLUMNS_LEFT_OUT.get(name, set()) | report.but_for
        found = list(_csv_differences(report.renamed(_text(old)), _text(new), left_out, name in ORDERED_BY_ID))
    elif old.suffix == ".json":
        keys = KEYS_LEFT_OUT | report.but_for
        left, right = (_without(json.loads(text), keys) for text in (report.renamed(_text(old)), _text(new)))
        found = list(_json_differences(left, right))
    elif old.suffix in (".jsonl", ".md", ".tex"):
        found = list(_line_differences(report.renamed(_text(old)), _text(new)))
    else:
        found = [] if sha256_file(old) == sha256_file(new) else ["the bytes differ (SHA-256)"]
    report.add(kind, place, found)


def _csv_differences(old: str, new: str, left_out: set[str], is_sorted: bool) -> Iterator[str]:
    """Differences of two CSVs, field by field; a number is compared as the text that it is written as.

    `is_sorted`: rows are sorted first.
    """
    csv.field_size_limit(sys.maxsize)  # a judge's reply may be long
    left, right = (list(csv.reader(io.StringIO(text, newline=""))) for text in (old, new))
    if left[:1] != right[:1]:
        yield f"columns are {', '.join(left[0] if left else [])} in OLD, {', '.join(right[0] if right else [])} in NEW"
        return
    if any(len(row) != len(left[0]) for row in (*left, *right)):
        yield "a row has more or fewer fields than the header: the file is cut or edited"
        return
    if len(left) != len(right):
        yield f"{len(left) - 1} rows in OLD, {len(right) - 1} in NEW"
    header, left, right = left[0] if left else [], left[1:], right[1:]
    kept = [place for place, column in enumerate(header) if column not in left_out]
    left, right = ([[row[place] for place in kept] for row in rows] for rows in (left, right))
    if is_sorted:
        left, right = sorted(left), sorted(right)
    for number, (ours, theirs) in enumerate(zip(left, right, strict=False), start=1):
        for place, one, other in zip(kept, ours, theirs, strict=True):
            if one != other:
                yield f"row {number} ({', '.join(ours[:4])}), {header[place]}: {one!r:.80} in OLD, {other!r:.80} in NEW"


def _json_differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if key in old and key in new:
                yield from _json_differences(old[key], new[key], f"{where}.{key}".lstrip("."))
            else:
                yield f"{where}.{key}".lstrip(".") + f" only in {'OLD' if key in old else 'NEW'}"
    elif old != new or type(old) is not type(new):
        yield f"{where}: {old!r:.80} in OLD, {new!r:.80} in NEW"


def _line_differences(old: str, new: str) -> Iterator[str]:
    """The first line that differs."""
    for number, (ours, theirs) in enumerate(zip_longest(old.split("\n"), new.split("\n")), start=1):
        if ours != theirs:
            yield f"line {number}: {ours!r:.120} in OLD, {theirs!r:.120} in NEW"
            return


def _alone(job: str, side: str, jobs: Jobs, others: Jobs) -> str:
    """Why a job of one side found no partner: what differs in the other side's jobs of the same readable name."""
    told = []
    for other in others.folders:
        if _readable(other) == _readable(job):
            (spec, inputs), (other_spec, other_inputs) = jobs.contents[job], others.contents[other]
            found = [difference.partition(":")[0] for difference in _json_differences(spec, other_spec)]
            ours, theirs = jobs.identities(inputs), others.identities(other_inputs)
            found += [f"input {role}" for role in sorted({*ours, *theirs}) if ours.get(role) != theirs.get(role)]
            told.append(f"{other} differs in {', '.join(found)}")
    return f"only in {side}. " + ("; ".join(told) or "No job of the other side has this name")


def _without(value: Any, keys: Set[str]) -> Any:
    """A JSON value without these keys of its mappings, at any depth."""
    if isinstance(value, dict):
        return {key: _without(one, keys) for key, one in value.items() if key not in keys}
    return [_without(one, keys) for one in value] if isinstance(value, list) else value


def _readable(job: str, but_for: frozenset[str] = frozenset()) -> str:
    """An id without its digest, and without the method's name where methods do not count."""
    name = job.rpartition("_")[0]
    return name.partition("_")[2] if "method" in but_for else name


def _text(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


def as_text(report: Report) -> str:
    """The report as a person reads it."""
    rows = [[kind, n, n - report.unequal[kind]] for kind, n in sorted(report.compared.items())]
    parts = [tabulate(rows, ["what", "compared", "equal"], tablefmt="github")]
    columns = "; ".join(f"{name}: {', '.join(sorted(names))}" for name, names in COLUMNS_LEFT_OUT.items())
    parts.append(f"Left out: columns of {columns}. JSON keys: {', '.join(sorted(KEYS_LEFT_OUT))}. Model cards, HTML.")
    if report.but_for:
        parts.append(f"Left out as changed on purpose: {', '.join(sorted(report.but_for))}.")
    if report.differences:
        shown = report.differences[:SHOWN]
        more = len(report.differences) - len(shown)
        parts.append("\n".join(["Differences:", *shown, *([f"and {more} more"] if more else [])]))
    else:
        parts.append("Equal: not one number moved.")
    return "\n\n".join(parts)


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.same_numbers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="results folder of the earlier commit")
    parser.add_argument("new", type=Path, metavar="NEW", help="results folder of the later commit")
    parser.add_argument("--but-for", nargs="*", default=[], metavar="KEY", help="keys of specs changed on purpose")
    arguments = parser.parse_args()
    report = same_numbers(arguments.old, arguments.new, frozenset(arguments.but_for))
    sys.stdout.write(as_text(report) + "\n")
    sys.exit(1 if report.differences else 0)


if __name__ == "__main__":
    exit_on_user_error(_main)
