"""The import node of the DAG: a sample set whose answers were made elsewhere, laid out as if sampled here.

Trains and samples nothing; the manifest says `engine: imported`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from prefrepro.data.spool import text_of
from prefrepro.errors import UserError
from prefrepro.files import ROOT, sha256_file, write_json, write_lines
from prefrepro.sample.outputs import ENGINE, imported
from prefrepro.specs.runtime import DEFAULT, Runtime


def run(spec: dict[str, Any], inputs: dict[str, Path], out: Path, _runtime: Runtime = DEFAULT) -> None:
    """samples.jsonl and manifest.json: each row of prompts.jsonl with the answer that the file gives.

    Raises UserError where the file is another than was planned with, or does not answer exactly these prompts.
    """
    started, path = time.perf_counter(), ROOT / spec["source"]
    answers = imported(path, spec["map"], inputs["data"] / "prompts.jsonl", spec["ignore_extra"])
    if (digest := sha256_file(path)) != spec["source_sha256"]:
        raise UserError(f"{path} was changed since this was planned (SHA-256 {digest[:12]}…); run snakemake again")
    write_lines(out / "samples.jsonl", map(text_of, answers))
    manifest = {"spec": spec, "n": len(answers), "engine": ENGINE, "wall_s": time.perf_counter() - started}
    write_json(out / "manifest.json", manifest)
