"""What the jobs of a results folder left behind, as far as they have run."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from prefrepro.csv_schema.schema import read_csv
from prefrepro.data.comparisons import PAIR, comparisons, responses_of
from prefrepro.data.jsonl import read_jsonl
from prefrepro.errors import UserError
from prefrepro.inspect.results import JOB_FOLDERS, Results, read_manifest
from prefrepro.plan.build import make_plan
from prefrepro.plan.kinds import VERDICTS
from prefrepro.plan.plan import Plan
from prefrepro.specs.files import names_in
from prefrepro.specs.variant import DEFAULT, config_of, variant_of

Answers = dict[tuple[str, int], dict[str, Any]]
"""(prompt id, draw) -> the row of samples.jsonl"""


@dataclass(slots=True)
class Folder:
    """What there is to show, and the plan that it is held against."""

    path: Path
    plan: Plan
    cells: list[dict[str, Any]]
    """Rows of cells.csv; what is missing is None."""
    pairs: list[dict[str, Any]]
    """Rows of pairs.csv, the same"""
    manifests: dict[str, dict[str, Any]]
    """Node id -> the JSON file that its stage wrote last."""
    kinds: dict[str, str]
    """Node id -> its kind."""
    verdicts: dict[str, pd.DataFrame]
    """Verdict set id -> its rows."""
    results: Results
    """What was made of what."""
    plans: dict[str, Plan]
    """Variant of the cells -> its plan, where it can be planned"""
    _answers: dict[str, Answers] = field(default_factory=dict)

    def answers(self, sample_id: str) -> Answers:
        """A sample set's rows; none where they are not there."""
        if sample_id not in self._answers:
            path = self.path / "samples" / sample_id / "samples.jsonl"
            rows = read_jsonl(path) if path.is_file() else ()
            self._answers[sample_id] = {(row["prompt_id"], row.get("draw", 0)): row for _, row in rows}
        return self._answers[sample_id]

    def answers_of(self, set_id: str) -> Answers:
        """What a set's verdicts are about: answers that were judged, or the better and worse of held-out pairs."""
        inputs, spec = self.results.inputs.get(set_id, {}), self.manifests[set_id].get("spec", {})
        if self.kinds[set_id] != "preference":
            return self.answers(inputs.get("sample", ""))
        place = f"{inputs.get('data', '')}/{spec['part']}"
        if place not in self._answers:
            path = self.path / "data" / f"{place}.jsonl"
            rows = [row for _, row in read_jsonl(path)] if path.is_file() else []
            self._answers[place] = {
                (one.prompt_id, one.draw): {
                    "prompt": rows[one.row]["prompt"],
                    "response": responses_of(rows[one.row])[one.better[0]],
                    "baseline": responses_of(rows[one.row])[one.worse[0]],
                }
                for one in comparisons(rows)[0]
                if one.order == PAIR
            }
        return self._answers[place]

    def method(self, run_id: str | None) -> str | None:
        """What a run was trained by; None where there is no such run."""
        return self.manifests.get(run_id or "", {}).get("row", {}).get("method")


def read_folder(path: Path, given: dict[str, Any]) -> Folder:
    """Read results/<scale>, with the plan of `given`; what it does not name is the folder's own.

    Raises UserError where nothing is there, or where a file is no JSON or CSV of its kind.
    """
    manifests, kinds = _manifests(path)
    cells_csv = path / "cells.csv"
    if not manifests and not cells_csv.is_file():
        raise UserError(
            f"{path} holds no results: neither cells.csv nor any run. Name a folder such as results/embedded, "
            "or make one: snakemake table1"
        )
    cells, pairs = _records(path, "cells"), _records(path, "pairs")
    plan = make_plan(_own_config(path, cells, manifests) | given)
    plans = {variant_of(plan.config): plan}
    for variant in dict.fromkeys(str(cell["variant"]) for cell in cells):
        with contextlib.suppress(UserError):  # a judge or switch of then may be gone
            plans.setdefault(variant, make_plan({"scale": plan.config.scale} | config_of(variant)))
    files = {name: path / "verdicts" / name / "verdicts.csv" for name, kind in kinds.items() if kind in VERDICTS}
    verdicts = {name: read_csv(file, "verdicts") for name, file in files.items() if file.is_file()}
    return Folder(path, plan, cells, pairs, manifests, kinds, verdicts, Results(path), plans)


def _records(path: Path, name: str) -> list[dict[str, Any]]:
    """Rows of a joined CSV; none where it is not there."""
    records = read_csv(file, name).to_dict("records") if (file := path / f"{name}.csv").is_file() else []
    return [{str(key): None if pd.isna(value) else value for key, value in record.items()} for record in records]


def _manifests(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    found: dict[str, dict[str, Any]] = {}
    kinds: dict[str, str] = {}
    for folder in JOB_FOLDERS:
        for place in sorted(path.glob(f"{folder}/*/")):
            if manifest := read_manifest(place):
                found[place.name] = manifest
                kinds[place.name] = str(manifest.get("spec", {}).get("kind", folder))
    return found, kinds


def _own_config(path: Path, cells: list[dict[str, Any]], manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Scale and settings that the folder was made with, as far as its files tell: of several variants the default."""
    rows = cells[:1] + [manifest["row"] for manifest in manifests.values() if "row" in manifest]
    if cells:
        variants = {str(cell["variant"]) for cell in cells}
        return {"scale": cells[0]["scale"]} | config_of(DEFAULT if DEFAULT in variants else min(variants))
    own: dict[str, Any] = {key: rows[0][key] for key in ("scale", "reading") if rows and rows[0].get(key)}
    if not rows and path.name in names_in("scales"):
        own["scale"] = path.name
    return own | {"seeds": max([row["seed"] for row in rows if row.get("seed")], default=1)}
