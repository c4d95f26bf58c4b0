"""Where a number comes from: the nodes behind it, what each was made of, and what each wrote down.

A node's inputs stand in its manifest where its stage wrote them there; else the plan knows them while no code has
changed since; else cells.csv names verdicts, samples and runs, and a run the hash of its data.
"""

from __future__ import annotations

import json
from typing import Any

from prefrepro.report.folder import Folder
from prefrepro.tables.cells import SEPARATOR

LISTED = 12
"""Entries of a list that are shown; bootstrap replicates are thousands."""
HEADLINES = {
    "verdict": (
        "judge_asked", "judge_served", "spec.judge.note", "spec.evaluation", "spec.protocol", "n", "verdicts", "asked",
        "cached", "reasked", "cost_usd",
    ),
    "sample": ("n", "spec.sampling.temperature", "spec.seed", "finish", "mean_tokens", "engine", "model_commit"),
    "run": (
        "row.method", "row.model", "row.dataset", "row.hparams", "row.seed", "row.steps", "row.pairs",
        "spec.training.lr", "row.final_loss", "row.reward_accuracy", "row.commit", "row.dirty", "row.data_hash",
        "init_commit", "row.versions", "row.gpu_h", "row.peak_mem_gb",
    ),
    "reference": ("spec.dtype", "spec.max_length", "truncation"),
    "embeddings": ("spec.embedder.repo", "embedder_commit", "dim", "texts", "texts_cut_by_embedder"),
    "data": ("spec.source.kind", "rows", "sha256", "counts", "from"),
}  # fmt: skip
"""Kind -> what of its manifest is shown first, by path; all of it can be unfolded."""
HEADLINES |= dict.fromkeys(("sft", "base", "reward_model"), HEADLINES["run"])
ALWAYS = ("spec.code_digest", "wall_s", "row.wall_s")


def nodes(folder: Folder) -> dict[str, dict[str, Any]]:
    """Node id -> kind, method of its run, inputs (role -> id), facts and everything (both [path, text])."""
    aligned = _aligned(folder)
    inputs = {node_id: _inputs(folder, node_id, aligned) for node_id in folder.manifests}
    return {
        node_id: {
            "kind": folder.kinds[node_id],
            "method": _method(folder, node_id, inputs),
            "inputs": inputs[node_id],
            **_facts(folder.kinds[node_id], manifest),
        }
        for node_id, manifest in folder.manifests.items()
    }


def seeds_of(cell: dict[str, Any]) -> list[dict[str, str]]:
    """Verdict set, sample set and run of each training seed of a row of cells.csv; no run where it trained nothing."""
    columns = {"verdict": "verdict_id", "sample": "sample_id", "run": "run_id"}
    split = {kind: str(cell[key]).split(SEPARATOR) if _is_there(cell[key]) else [] for kind, key in columns.items()}
    most = max(map(len, split.values()))
    return [{kind: ids[seed] for kind, ids in split.items() if seed < len(ids)} for seed in range(most)]


def _method(folder: Folder, node_id: str, inputs: dict[str, dict[str, str]]) -> str | None:
    """Of verdict and sample sets that of their run, by its id where the inputs are not known; None of what has none."""
    if folder.kinds[node_id] == "verdict" and "sample" in inputs[node_id]:
        node_id = inputs[node_id]["sample"]
    if folder.kinds.get(node_id) == "sample" and "run" in inputs[node_id]:
        node_id = inputs[node_id]["run"]
    known = {manifest["row"]["method"] for manifest in folder.manifests.values() if "row" in manifest}
    readable = node_id.partition("_")[0].replace("-", "_")
    return folder.method(node_id) or (readable if readable in known else None)


def _is_there(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _inputs(folder: Folder, node_id: str, aligned: dict[str, dict[str, str]]) -> dict[str, str]:
    manifest = folder.manifests[node_id]
    if isinstance(manifest.get("inputs"), dict):
        return {str(role): str(value) for role, value in manifest["inputs"].items()}
    if node_id in folder.plan.nodes:
        return folder.plan.nodes[node_id].inputs
    return aligned.get(node_id, {}) | _data_by_hash(folder, manifest)


def _aligned(folder: Folder) -> dict[str, dict[str, str]]:
    """What the rows of cells.csv say of verdict and sample sets."""
    found: dict[str, dict[str, str]] = {}
    for cell in folder.cells:
        for seed in seeds_of(cell):
            if "verdict" in seed and "sample" in seed:
                found[seed["verdict"]] = {"sample": seed["sample"]}
            if "sample" in seed and "run" in seed:
                found[seed["sample"]] = {"run": seed["run"]}
    return found


def _data_by_hash(folder: Folder, manifest: dict[str, Any]) -> dict[str, str]:
    wanted = manifest.get("row", {}).get("data_hash")
    for node_id, kind in folder.kinds.items():
        if wanted and kind == "data" and wanted in folder.manifests[node_id].get("sha256", {}).values():
            return {"data": node_id}
    return {}


def _facts(kind: str, manifest: dict[str, Any]) -> dict[str, list[list[str]]]:
    first = [(path, _at(manifest, path)) for path in (*HEADLINES.get(kind, ()), *ALWAYS)]
    return {
        "facts": [[path.rpartition(".")[2], _text(value)] for path, value in first if value not in (None, "")],
        "everything": [[path, _text(value)] for path, value in _flat(manifest)],
    }


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


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
