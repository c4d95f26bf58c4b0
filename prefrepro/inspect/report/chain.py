"""Where a number comes from: the nodes behind it, what each was made of, and what each wrote down.

Inputs come from inspect/results.py, as for `prefrepro explain`.
"""

from __future__ import annotations

import json
from typing import Any

from prefrepro.inspect.facts import facts_of, value_at
from prefrepro.inspect.report.folder import Folder
from prefrepro.plan.kinds import VERDICTS

LISTED = 12
"""Entries of a list that are shown; bootstrap replicates are thousands."""
ALWAYS = (
    "row.commit", "row.dirty", "row.seed", "row.versions", "init_commit", "spec.seed", "spec.code_digest", "wall_s",
    "row.wall_s",
)  # fmt: skip
"""What of a manifest is shown beside the facts of its kind, by path; all of it can be unfolded."""


def nodes(folder: Folder) -> dict[str, dict[str, Any]]:
    """Node id -> kind, method of its run, inputs (role -> id), facts and everything (both [path, text])."""
    return {
        node_id: {
            "kind": folder.kinds[node_id],
            "method": _method(folder, node_id),
            "inputs": folder.results.inputs.get(node_id, {}),
            **_facts(folder, node_id, manifest),
        }
        for node_id, manifest in folder.manifests.items()
    }


def _method(folder: Folder, node_id: str) -> str | None:
    """The method of a run, or of the run behind a verdict or sample set; None for other nodes."""
    behind = folder.results.upstream([node_id]) if folder.kinds[node_id] in (*VERDICTS, "sample") else [node_id]
    return next((method for one in behind if (method := folder.method(one))), None)


def _facts(folder: Folder, node_id: str, manifest: dict[str, Any]) -> dict[str, list[list[str]]]:
    facts = facts_of(folder.kinds[node_id], manifest.get("spec", {}), manifest, folder.path / "verdicts" / node_id)
    for path in ALWAYS:
        if (value := value_at(manifest, path)) not in (None, ""):
            facts.setdefault(path.rpartition(".")[2], value)
    return {
        "facts": [[label, _text(value)] for label, value in facts.items()],
        "everything": [[path, _text(value)] for path, value in _flat(manifest)],
    }


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    lines: list[tuple[str, Any]] = []
    for key, inner in value.items():
        lines += _flat(inner, f"{prefix}{key}.") if isinstance(inner, dict) else [(f"{prefix}{key}", inner)]
    return lines


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) > LISTED:
        return f"{len(value)} values"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    return json.dumps(value, ensure_ascii=False)
