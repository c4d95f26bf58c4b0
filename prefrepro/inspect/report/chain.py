"""Where a number comes from: the nodes behind it, what each was made of, and what each wrote down.

Inputs come from inspect/results.py, as for `prefrepro explain`.
"""

from __future__ import annotations

import json
from typing import Any

from prefrepro.inspect.facts import value_at
from prefrepro.inspect.report.folder import Folder
from prefrepro.plan.kinds import VERDICTS

LISTED = 12
"""Entries of a list that are shown; bootstrap replicates are thousands."""
HEADLINES = {
    "verdict": (
        "judge_asked", "judge_served", "spec.judge.note", "spec.evaluation", "spec.protocol", "n", "verdicts", "asked",
        "cached", "reasked", "cost_usd",
    ),
    "preference": ("spec.part", "spec.by", "spec.dtype", "pairs", "prompts", "label_ties", "won_pct", "model_commit"),
    "sample": ("n", "spec.sampling.temperature", "spec.seed", "finish", "mean_tokens", "engine", "model_commit"),
    "run": (
        "row.method", "row.model", "row.dataset", "row.hparams", "row.seed", "row.steps", "row.pairs",
        "spec.training.lr", "row.final_loss", "row.reward_accuracy", "row.commit", "row.dirty", "row.data_hash",
        "init_commit", "row.versions", "row.gpu_h", "row.peak_mem_gb",
    ),
    "reference": ("spec.dtype", "spec.max_length", "truncation"),
    "embeddings": ("spec.embedder.repo", "embedder_commit", "dim", "texts", "texts_cut_by_embedder"),
    "package": ("origin.package", "origin.version", "origin.file", "origin.sha256", "origin.repo", "origin.tensors"),
    "data": ("spec.source.kind", "rows", "sha256", "counts", "from"),
}  # fmt: skip
"""Kind -> what of its manifest is shown first, by path; all of it can be unfolded."""
HEADLINES |= dict.fromkeys(("sft", "base", "reward_model"), HEADLINES["run"])
ALWAYS = ("spec.code_digest", "wall_s", "row.wall_s")


def nodes(folder: Folder) -> dict[str, dict[str, Any]]:
    """Node id -> kind, method of its run, inputs (role -> id), facts and everything (both [path, text])."""
    return {
        node_id: {
            "kind": folder.kinds[node_id],
            "method": _method(folder, node_id),
            "inputs": folder.results.inputs.get(node_id, {}),
            **_facts(folder.kinds[node_id], manifest),
        }
        for node_id, manifest in folder.manifests.items()
    }


def _method(folder: Folder, node_id: str) -> str | None:
    """The method of a run, or of the run behind a verdict or sample set; None for other nodes."""
    behind = folder.results.upstream([node_id]) if folder.kinds[node_id] in (*VERDICTS, "sample") else [node_id]
    return next((method for one in behind if (method := folder.method(one))), None)


def _facts(kind: str, manifest: dict[str, Any]) -> dict[str, list[list[str]]]:
    first = [(path, value_at(manifest, path)) for path in (*HEADLINES.get(kind, ()), *ALWAYS)]
    return {
        "facts": [[path.rpartition(".")[2], _text(value)] for path, value in first if value not in (None, "")],
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
