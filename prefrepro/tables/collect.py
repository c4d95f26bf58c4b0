"""The six CSVs of a results folder, rebuilt from what its stages left behind.

Always rebuilt whole, never appended to: the same inputs give the same bytes, whatever ran in which order.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pandas as pd

from prefrepro.csv_schema.schema import csv_lines, header_line, load_schema, read_csv, validate_frame, write_csv
from prefrepro.errors import UserError
from prefrepro.files import replacing
from prefrepro.stats.judging import judging_quality
from prefrepro.tables.pairs import over_papers


def collect(results: Path) -> None:
    """Rebuild the six CSVs of `results` that results/README.md describes; one process at a time does so.

    Raises UserError that names the input file where one is bad or half-written; then nothing is replaced.
    """
    if not results.is_dir():
        raise UserError(f"{results} is no folder; run the pipeline first, or name a folder such as results/embedded")
    with _locked(results / ".collect.lock"):
        write_joined(results, results)


def write_joined(results: Path, folder: Path) -> None:
    """Write the six CSVs of what stands in `results` into `folder`. Raises UserError before anything is written."""
    frames = {
        **{name: _of_tables(results, name) for name in ("cells", "cell_seeds", "pairs")},
        "runs": [_run(path) for path in sorted(results.glob("runs/*/run.json"))],
    }
    with tempfile.TemporaryFile() as waiting:
        places, frames["judging"] = _put_aside(sorted(results.glob("verdicts/*/verdicts.csv")), waiting)
        joined = {name: _joined(parts, name) for name, parts in frames.items()}
        joined["pairs"] = over_papers(joined["pairs"])
        for name, frame in joined.items():
            validate_frame(frame, name, f"{results}/{name}.csv, joined from its parts")
        for name, frame in joined.items():
            write_csv(frame, folder / f"{name}.csv", name)
        with replacing(folder / "verdicts.csv") as temporary, temporary.open("wb") as file:
            file.write(header_line("verdicts").encode())
            for _, (start, end) in sorted(places.items()):
                waiting.seek(start)
                file.write(waiting.read(end - start))


def _of_tables(results: Path, name: str) -> list[pd.DataFrame]:
    """What every table has; those that a version without variants made are left out until they are made again."""
    old = header_line(name).replace(",variant", "")
    paths = sorted(results.glob(f"tables/*.{name}.csv"))
    return [read_csv(path, name) for path in paths if path.read_bytes().partition(b"\n")[0].decode() != old.strip()]


def _put_aside(paths: Iterable[Path], waiting: IO[bytes]) -> tuple[dict[str, tuple[int, int]], list[pd.DataFrame]]:
    """Write the lines of every verdict set to `waiting`; where each stands, and its row of judging.csv.

    Of all verdicts one file's are in memory: there may be millions.
    """
    places: dict[str, tuple[int, int]] = {}
    judging = []
    for path in paths:
        for name, rows in read_csv(path, "verdicts").groupby("verdict_set_id"):
            if (set_id := str(name)) in places:
                raise UserError(f"{path}: verdict set {set_id} stands in another folder too; remove one of the two")
            start = waiting.tell()
            waiting.writelines(line.encode() for line in csv_lines(rows, "verdicts"))
            places[set_id] = start, waiting.tell()
            judging.append(_judging(rows, path.with_name("manifest.json")))
    return places, judging


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _joined(parts: list[pd.DataFrame], name: str) -> pd.DataFrame:
    columns = pd.Index(load_schema(name).columns)
    rows = [part.astype(object) for part in parts if len(part)]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


def _judging(frame: pd.DataFrame, manifest: Path) -> pd.DataFrame:
    try:
        told = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
    except (ValueError, OSError) as error:
        raise UserError(f"{manifest} is no readable JSON ({error}); delete its folder and judge again") from error
    quality = {"verdict_set_id": frame["verdict_set_id"].iloc[0], **judging_quality(frame, told.get("repeats", ()))}
    quality["n_several_ratings"] = told.get("several_ratings")
    return pd.DataFrame([quality], dtype=object)


def _run(path: Path) -> pd.DataFrame:
    """The `row` of one run.json; its dicts (hparams, versions) become JSON text."""
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{path} is no readable JSON ({error}); delete its folder and run the rule again") from error
    if not isinstance(run, dict) or not isinstance(run.get("row"), dict):
        raise UserError(f"{path} has no key `row` with the columns of runs.csv; delete its folder and train again")
    frame = pd.DataFrame([{key: _field(value) for key, value in run["row"].items()}], dtype=object)
    validate_frame(frame, "runs", f"{path}, key `row`")
    return frame


def _field(value: Any) -> Any:
    return json.dumps(value, sort_keys=True, ensure_ascii=False) if isinstance(value, dict) else value
