"""What each job leaves behind about itself, beside its results: records/<folder>/<id>.json.

A record names the job's spec, its inputs with the seal of each one's record, the code, packages and machine, the
time, and the SHA-256 of every file that the job wrote. It is sealed: `sha256` is that of all the rest. So one changed
byte in any result, or in a record, is found without asking the plan (verify.py). Knows no kind of job but the table,
which has no folder of its own. Imports neither torch nor pandas.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefrepro.files import sha256_file, write_text
from prefrepro.plan.nodes import Graph, Node
from prefrepro.provenance import code_state, versions
from prefrepro.specs.variant import table_name

FOLDER = "records"
PACKAGES = (
    "torch", "transformers", "tokenizers", "safetensors", "sentence-transformers", "alpaca-eval", "openai", "numpy",
    "pandas", "scipy", "statsmodels",
)  # fmt: skip
"""Whose version may move a number."""
SEAL = "sha256"


def record_job(plan: Graph, node: Node, started: datetime, wall_s: float) -> None:
    """Write the record of a job that has just ended: every file of its folder is hashed, once."""
    results = plan.results
    inputs = {role: plan.node(node_id) for role, node_id in node.inputs.items()}
    content = {
        "id": node.id,
        "kind": node.kind,
        "spec": node.spec,
        "inputs": node.inputs,
        "input_seals": {role: seal_in(results / record_of(one.folder, one.spec)) for role, one in inputs.items()},
        "config": plan.arguments,
    }
    _write(
        results, record_of(node.folder, node.spec), content, files_of(results, node.folder, node.spec), started, wall_s
    )


def record_files(results: Path, name: str, files: list[str], started: datetime) -> None:
    """The same of what is no job of the plan, such as the audit: `files` are paths below the results."""
    content = {"id": name, "kind": name, "spec": {"kind": name}, "inputs": {}, "input_seals": {}, "config": []}
    _write(results, f"{FOLDER}/{name}.json", content, files, started, (now() - started).total_seconds())


def _write(
    results: Path, record: str, content: dict[str, Any], files: list[str], started: datetime, wall_s: float
) -> None:
    """Add code, machine, time and files; seal, and write."""
    content |= {
        **code_state(),
        "versions": {"python": platform.python_version(), **versions(*PACKAGES)},
        "hardware": hardware(),
        "started": started.isoformat(timespec="milliseconds"),
        "wall_s": round(wall_s, 3),
        "files": {path: sha256_file(results / path) for path in files},
    }
    write_text(results / record, as_text(content | {SEAL: seal(content)}))


def record_of(folder: str, spec: dict[str, Any]) -> str:
    """Path of a job's record below the results; a table's is named as its files, which another plan overwrites."""
    return f"{FOLDER}/{_place(folder, spec)}.json"


def files_of(results: Path, folder: str, spec: dict[str, Any]) -> list[str]:
    """Paths, below the results, of the files that a job's record covers."""
    place = results / _place(folder, spec)
    found = place.parent.glob(f"{place.name}.*") if spec["kind"] == "table" else place.rglob("*")
    return sorted(path.relative_to(results).as_posix() for path in found if is_result(path))


def is_result(path: Path) -> bool:
    """A file, and not one that a running or killed job is writing (files.replacing)."""
    return path.is_file() and not path.name.startswith(".")


def _place(folder: str, spec: dict[str, Any]) -> str:
    return f"tables/{table_name(spec)}" if spec["kind"] == "table" else folder


def as_text(record: dict[str, Any]) -> str:
    """The one form that a record has as text, so that a changed blank is found too."""
    return json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def seal(content: dict[str, Any]) -> str:
    """SHA-256 of a record without its seal."""
    rest = {key: value for key, value in content.items() if key != SEAL}
    return hashlib.sha256(as_text(rest).encode()).hexdigest()


def seal_in(path: Path) -> str | None:
    """The seal that a record carries; None where there is no readable record (results of an older version)."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))[SEAL]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def now() -> datetime:
    """UTC."""
    return datetime.now(UTC)


def hardware() -> dict[str, Any]:
    """The machine that did the work: kind of processor, cores that this process may use, memory, accelerators."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(memory / 2**30, 1),
        "gpus": _gpus(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _gpus() -> list[str]:
    """The GPUs of a job that has used torch; the others have used none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
