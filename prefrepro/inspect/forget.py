"""Takes what one judge said out of a results folder, so that it is asked again. Nothing is lost: it is moved aside."""

from __future__ import annotations

import contextlib
import csv
import sqlite3
from pathlib import Path
from typing import NamedTuple

from prefrepro.errors import UserError
from prefrepro.files import ROOT, replacing
from prefrepro.inspect.results import read_manifest
from prefrepro.jobs.record import FOLDER, now
from prefrepro.specs.files import read_mapping

CACHE = "judge_cache.sqlite"


class Forgotten(NamedTuple):
    """What was taken out."""

    sets: list[str]
    replies: int
    place: Path


def forget_judge(results: Path, name: str) -> Forgotten:
    """Move a judge's verdict sets, their records and its replies to forgotten/<time>/; the money spent stays counted.

    Of a set that was not finished there are replies alone: they are found by the judge's file. Raises UserError where
    there is no such folder, or the cache of replies cannot be read.
    """
    if not results.is_dir():
        raise UserError(f"{results} is no results folder; expected one such as results/embedded")
    manifests = {path: read_manifest(path) or {} for path in sorted(results.glob("verdicts/*/"))}
    judges = {path: one.get("spec", {}).get("judge", {}) for path, one in manifests.items()}
    own = [path for path, judge in judges.items() if judge.get("name") == name]
    asked = {(manifests[path].get("judge_identity"), judges[path].get("model")) for path in own}
    if (file := ROOT / "config" / "judges" / f"{name}.yaml").is_file():
        written = read_mapping(file)
        asked.add((str(written.get("base_url") or "").rstrip("/"), written.get("model")))
    place = results / "forgotten" / f"{now():%Y-%m-%dT%H-%M-%S-%f}"
    replies = _take_replies(results / CACHE, asked, place)
    for path in own:
        record = results / FOLDER / "verdicts" / f"{path.name}.json"
        for one in (path, record):
            if one.exists():
                target = place / one.relative_to(results)
                target.parent.mkdir(parents=True, exist_ok=True)
                one.rename(target)
    return Forgotten([path.name for path in own], replies, place)


def _take_replies(cache: Path, asked: set[tuple[str | None, str | None]], place: Path) -> int:
    if not cache.is_file():
        return 0
    which = "endpoint = ? AND json_extract(request, '$.model') = ?"
    try:
        with contextlib.closing(sqlite3.connect(cache, timeout=60)) as db, db:
            found = [db.execute(f"SELECT * FROM replies WHERE {which}", one) for one in asked]
            taken = [row for rows in found for row in rows]
            if taken:
                place.mkdir(parents=True, exist_ok=True)
                with replacing(place / "replies.csv") as path, path.open("w", encoding="utf-8", newline="") as file:
                    csv.writer(file).writerows([[column[0] for column in found[0].description], *taken])
                db.executemany(f"DELETE FROM replies WHERE {which}", asked)
            return len(taken)
    except sqlite3.Error as error:
        raise UserError(f"{cache}: the judge's replies cannot be read: {error}. Is a workflow running?") from error
