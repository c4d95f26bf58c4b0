"""A finished results folder as an RO-Crate 1.2: files with their hashes, and each job as the action that made them.

Process Run Crate's words (CreateAction, object, result, instrument), so that an archive's tools can follow a table
to its data. Weights stay out unless asked for; the judge cache, logs and checkpoints are no results. Knows nothing
of tables' content.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate
from tqdm import tqdm

from prefrepro.errors import UserError
from prefrepro.files import sha256_file
from prefrepro.inspect.results import Record, Results
from prefrepro.inspect.verify import JOINED, is_of_model

VERSION = "1.2"
LICENSE = "https://spdx.org/licenses/Apache-2.0"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
SOURCE = "#prefrepro"
MEDIA_TYPES = {
    ".jsonl": "application/jsonl", ".safetensors": "application/octet-stream", ".md": "text/markdown",
    ".tex": "application/x-tex",
}  # fmt: skip
"""What Python's list lacks."""


@dataclass(frozen=True, slots=True)
class Crated:
    """What was written."""

    path: Path
    files: int
    bytes: int
    left_out: int
    """Files of models that stay where they are."""


def write_crate(results: Results, out: Path, with_models: bool = False) -> Crated:
    """Write a folder, or a zip where `out` ends in .zip, and read it back.

    Raises UserError where there is something already, nothing is recorded, or a recorded file is missing.
    """
    if out.exists():
        raise UserError(f"{out} is there already; expected a new name. Remove it, or give another with -o")
    if not results.records:
        raise UserError(f"{results.path} holds no record of a job; make it again with this version: snakemake tables")
    recorded = {place: digest for record in results.records.values() for place, digest in record["files"].items()}
    wanted = {place: digest for place, digest in recorded.items() if with_models or not is_of_model(place)}
    if lost := [place for place in wanted if not (results.path / place).is_file()]:
        raise UserError(f"{results.path}/{lost[0]} is missing, and {len(lost) - 1} more; see: prefrepro verify")
    own = [*(f"{name}.csv" for name in JOINED), *results.places.values()]
    wanted |= {place: sha256_file(results.path / place) for place in own if (results.path / place).is_file()}
    crate = ROCrate(version=VERSION)
    _describe(crate, results)
    for place, digest in tqdm(sorted(wanted.items()), unit="file", desc="describing", disable=None):
        _add_file(crate, results.path / place, place, digest)
    folders = _folders(results)
    for folder in sorted(set(folders.values())):
        name = folder.rstrip("/").rpartition("/")[2]
        crate.add_dataset(dest_path=folder, properties={"name": name})
    for name, record in results.records.items():
        _add_action(crate, name, record, folders, wanted)
    if out.suffix == ".zip":
        crate.write_zip(out)
    else:
        crate.write(out)
    size = sum((results.path / place).stat().st_size for place in wanted)
    return Crated(out, len(wanted), size, left_out=len(recorded.keys() - wanted.keys()))


def _describe(crate: ROCrate, results: Results) -> None:
    tables = sorted({name.rpartition("/")[0].rpartition("/")[0] for name in results.rests_on})
    crate.name = f"prefrepro results, scale {results.path.name}: {', '.join(tables) or 'no table'}"
    specs = [record["spec"] for record in results.records.values() if record["kind"] == "table"]
    is_comparable = all(spec.get("scale_is_comparable") for spec in specs)
    caution = (
        "" if is_comparable else "Numbers of another world than the papers': not comparable with the printed ones. "
    )
    crate.description = caution + (
        "Trainings, samples, judge verdicts with their raw replies, and the tables made of them. Each job's record "
        "(records/) names its inputs, code, machine and the SHA-256 of what it wrote; `prefrepro verify` checks them."
    )
    crate.license = LICENSE
    last = max(str(record.get("started", "")) for record in results.records.values())
    crate.datePublished = datetime.fromisoformat(last)
    crate.root_dataset.append_to("conformsTo", {"@id": PROFILE})
    profile = {"@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    crate.add(ContextEntity(crate, PROFILE, properties=profile))
    commits = sorted({record["commit"] for record in results.records.values() if record.get("commit")})
    software = {
        "@type": "SoftwareApplication",
        "name": "prefrepro",
        "softwareVersion": ", ".join(f"commit {commit}" for commit in commits) or "no commit known",
        "license": {"@id": LICENSE},
    }
    crate.add(ContextEntity(crate, SOURCE, properties=software))
    license_ = {"@type": "CreativeWork", "name": "Apache License 2.0", "identifier": "Apache-2.0"}
    crate.add(ContextEntity(crate, LICENSE, properties=license_))


def _add_file(crate: ROCrate, path: Path, place: str, digest: str) -> None:
    media_type = MEDIA_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    properties = {"name": place, "sha256": digest, "encodingFormat": media_type}
    crate.add_file(path, dest_path=place, record_size=True, properties=properties)


def _folders(results: Results) -> dict[str, str]:
    """Name of a record -> the folder that its job filled; tables share one."""
    found = {}
    for name, place in results.places.items():
        parts = place.split("/")[1:-1]
        if parts and parts[0] != "tables":
            found[name] = f"{'/'.join(parts)}/{name}/"
    return found


def _add_action(crate: ROCrate, name: str, record: Record, folders: dict[str, str], wanted: dict[str, str]) -> None:
    made = [{"@id": folders[name]}] if name in folders else [{"@id": p} for p in record["files"] if p in wanted]
    properties: dict[str, Any] = {
        "@type": "CreateAction",
        "name": f"{record['kind']} {name}",
        "instrument": {"@id": SOURCE},
        "object": list(_objects(record, folders)),
        "result": made,
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
    }
    if record.get("started"):
        start = datetime.fromisoformat(record["started"])
        properties["startTime"] = start.isoformat(timespec="milliseconds")
        properties["endTime"] = (start + timedelta(seconds=record["wall_s"])).isoformat(timespec="milliseconds")
    crate.root_dataset.append_to("mentions", crate.add(ContextEntity(crate, f"#{name}", properties=properties)))


def _objects(record: Record, folders: dict[str, str]) -> Iterator[dict[str, str]]:
    for source in dict.fromkeys(record["inputs"].values()):
        if source in folders:
            yield {"@id": folders[source]}
