"""What is worth telling of one job, by its kind: a few plain values from its spec and its manifest.

One function a kind; what a manifest of an older version lacks is left out. Knows nothing of records or looks.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Facts = dict[str, Any]


def facts_of(kind: str, spec: dict[str, Any], manifest: dict[str, Any], folder: Path) -> Facts:
    """Label -> value, in the order in which a reader wants them; what is unknown is left out."""
    found = OF_KIND.get(kind, _nothing)(spec, manifest, folder)
    return {label: value for label, value in found.items() if value not in (None, "", {}, [])}


def _nothing(spec: dict[str, Any], manifest: dict[str, Any], folder: Path) -> Facts:
    return {}


def _verdict(spec: dict[str, Any], manifest: dict[str, Any], folder: Path) -> Facts:
    judge = spec.get("judge", {})
    prompts, first, last = _asked(folder / "verdicts.csv")
    return {
        "judge": judge.get("name"),
        "judge_asked": manifest.get("judge_asked"),
        "judge_served": manifest.get("judge_served"),
        "judge_note": judge.get("note"),
        "evaluation": spec.get("evaluation"),
        "protocol": spec.get("protocol"),
        "annotator": spec.get("annotator"),
        "prompt_sha256": prompts,
        "n": manifest.get("n"),
        "verdicts": manifest.get("verdicts"),
        "replies_asked": manifest.get("asked"),
        "replies_cached": manifest.get("cached"),
        "first_reply": first,
        "last_reply": last,
        "cost_usd": manifest.get("cost_usd"),
    }


def _asked(verdicts: Path) -> tuple[list[str], str, str]:
    """Judge prompt files (hashes), first and last reply: a cached reply is older than the job."""
    if not verdicts.is_file():
        return [], "", ""
    with verdicts.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = [(row.get("prompt_sha256") or "", row.get("created") or "") for row in csv.DictReader(file)]
    created = sorted(time for _, time in rows if time) or [""]
    return sorted({prompt for prompt, _ in rows if prompt}), created[0], created[-1]


def _sample(spec: dict[str, Any], manifest: dict[str, Any], folder: Path) -> Facts:
    sampling = spec.get("sampling", {})
    return {
        "engine": manifest.get("engine"),
        "engine_version": manifest.get("engine_version"),
        **_hub("model", spec.get("model"), manifest.get("model_commit")),
        "n": manifest.get("n"),
        **{key: sampling.get(key) for key in ("temperature", "top_p", "max_new_tokens", "generations", "dtype")},
        "mean_tokens": manifest.get("mean_tokens"),
        "finish": manifest.get("finish"),
    }


def _import(spec: dict[str, Any], manifest: dict[str, Any], folder: Path) -> Facts:
    return {
        "engine": manifest.get("engine"),
        "source": spec.get("source"),
        "source_sha256": spec.get("source_sha256"),
        "columns": spec.get("map"),
        "n": manifest.get("n"),
    }


def _training(spec: dict[str, Any], manifest: dict[str, Any], folder: Path) -> Facts:
    row, training = manifest.get("row", {}), spec.get("training", {})
    return {
        "method": row.get("method"),
        "model": row.get("model"),
        "dataset": row.get("dataset"),
        **_hub("init", spec.get("init"), manifest.get("init_commit")),
        "hparams": spec.get("hparams"),
        **{key: training.get(key) for key in ("optimizer", "lr", "batch_size", "contrast_size", "dtype")},
        **{key: row.get(key) for key in ("steps", "pairs", "tokens", "final_loss", "reward_accuracy")},
        "data_part": spec.get("part"),
        "data_sha256": row.get("data_hash"),
        "train_s": manifest.get("train_s"),
        **{key: row.get(key) for key in ("gpu_h", "peak_mem_gb")},
    }


def _reference(spec: dict[str, Any], manifest: dict[str, Any], folder: Path) -> Facts:
    return {
        **_hub("model", spec.get("init"), manifest.get("init_commit")),
        **{key: spec.get(key) for key in ("dtype", "max_length", "max_prompt_length", "truncation_mode", "samples")},
        "prompts": manifest.get("prompts"),
    }


def _embeddings(spec: dict[str, Any], manifest: dict[str, Any], folder: Path) -> Facts:
    embedder = spec.get("embedder", {})
    return {
        "embedder": embedder.get("repo") or embedder.get("kind"),
        "embedder_package": embedder.get("package"),
        "embedder_revision": manifest.get("embedder_commit") or embedder.get("revision"),
        "text": spec.get("text"),
        "texts": manifest.get("texts"),
        "dim": manifest.get("dim"),
    }


def _data(spec: dict[str, Any], manifest: dict[str, Any], folder: Path) -> Facts:
    source = spec.get("source", {})
    return {
        **{key: source.get(key) for key in ("kind", "task", "repo", "revision", "files_sha256", "seed", "reading")},
        "from": manifest.get("from"),
        "rows": manifest.get("rows"),
        "sha256": manifest.get("sha256"),
    }


def _hub(role: str, hub: Any, commit: Any) -> Facts:
    """A model of the hub: its id, and the revision that was asked for and that was read."""
    if not hub:
        return {}
    asked = {"repo": hub} if isinstance(hub, str) else hub
    return {
        role: asked.get("repo"),
        f"{role}_revision": asked.get("revision"),
        f"{role}_commit": commit if isinstance(commit, str) or commit is None else json.dumps(commit),
    }


OF_KIND: dict[str, Callable[[dict[str, Any], dict[str, Any], Path], Facts]] = {
    "verdict": _verdict,
    "sample": _sample,
    "import": _import,
    "run": _training,
    "sft": _training,
    "base": _training,
    "reward_model": _training,
    "reference": _reference,
    "reference_rewards": _reference,
    "embeddings": _embeddings,
    "data": _data,
}
