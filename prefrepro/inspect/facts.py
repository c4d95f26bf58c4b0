"""What a reader wants to know of one job, by its kind: a few plain values from its spec and its manifest."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from prefrepro.plan.kinds import TRAININGS
from prefrepro.specs.files import read_mapping

Facts = dict[str, Any]
PLACES = Path(__file__).with_name("facts.yaml")
ALIKE = dict.fromkeys(TRAININGS, "training") | dict.fromkeys(("reference", "reference_rewards"), "scored")
"""Kinds of whose jobs the same is told"""


def facts_of(kind: str, spec: dict[str, Any], manifest: dict[str, Any], folder: Path) -> Facts:
    """Label -> value; what is not known, as from a manifest of an older version, is left out."""
    known = manifest | {
        "spec": spec,
        "of_model": _hub(spec.get("model"), manifest.get("model_commit")),
        "of_init": _hub(spec.get("init"), manifest.get("init_commit")),
        "asked_of": _asked(folder / "verdicts.csv"),
    }
    facts: Facts = {}
    for entry in read_mapping(PLACES).get(ALIKE.get(kind, kind), "").split():
        label, _, place = entry.rpartition("=")
        value = value_at(known, place)
        if value not in (None, "", {}, []):
            facts.setdefault(label or place.rpartition(".")[2], value)
    return facts


def value_at(content: Any, place: str) -> Any:
    """The value at a dotted place of nested mappings; None where there is none."""
    for part in place.split("."):
        if not isinstance(content, dict) or part not in content:
            return None
        content = content[part]
    return content


def _asked(verdicts: Path) -> Facts:
    """Judge prompt files (hashes), first and last reply: a cached reply is older than the job."""
    if not verdicts.is_file():
        return {}
    with verdicts.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = [(row.get("prompt_sha256") or "", row.get("created") or "") for row in csv.DictReader(file)]
    created = sorted(time for _, time in rows if time) or [""]
    prompts = sorted({prompt for prompt, _ in rows if prompt})
    return {"prompt_sha256": prompts, "first_reply": created[0], "last_reply": created[-1]}


def _hub(hub: Any, commit: Any) -> Facts:
    """A model of the hub: its id, and the revisions that were asked for and read."""
    if not hub:
        return {}
    asked = {"repo": hub} if isinstance(hub, str) else hub
    return {
        "repo": asked.get("repo"),
        "revision": asked.get("revision"),
        "commit": commit if isinstance(commit, str) or commit is None else json.dumps(commit),
    }
