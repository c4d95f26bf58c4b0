"""How the answers were judged: wins by length, position bias, the judges."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd

from prefrepro.inspect.report.folder import Folder
from prefrepro.stats.judging import judging_quality
from prefrepro.stats.metrics import VerdictSet, summarise

BINS = 5
SCORED = {"win_rate_pct": "win_rate_pct", "mt_bench": "mt_bench"}
"""Metric of a table -> the mean that is taken by length; a fitted one is replaced by the mean of its verdicts."""


def by_length(folder: Folder, cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each judged cell of one table, the mean over the verdicts of ever longer answers, with its 95 % interval.

    Lengths are words of a prompt's response, cut at the fifths of all answers of the cell's column; several metrics of
    the same verdicts are one entry.
    """
    judged: dict[tuple[str, ...], tuple[dict[str, Any], list[pd.DataFrame]]] = {}
    for cell in cells:
        seeds = [seed for seed in cell["seeds"] if seed["verdict"] and seed["sample"]]
        ids = tuple(seed["verdict"] for seed in seeds)
        if ids and ids not in judged and all(one in folder.verdicts for one in ids):
            judged[ids] = cell, [_with_length(folder, seed) for seed in seeds]
    of_column: dict[str, list[pd.DataFrame]] = defaultdict(list)
    for cell, frames in judged.values():
        of_column[cell["column"]] += frames
    edges = {column: _ranges(frames) for column, frames in of_column.items()}
    entries = []
    for cell, frames in judged.values():
        scored = _scored(cell["metric"], frames[0])
        bins = [found for ends in edges[cell["column"]] if (found := _bin(frames, *ends, scored))]
        entries.append({key: cell[key] for key in ("row", "column", "method")} | {"metric": scored, "bins": bins})
    return entries


def _scored(metric: str, frame: pd.DataFrame) -> str:
    """AlpacaEval's verdicts have shares, not wins alone: they are averaged as AlpacaEval does."""
    is_share = not {score for score in frame["score"] if score == score} <= {0.0, 0.5, 1.0}
    return "wr" if is_share and metric == "win_rate_pct" else SCORED.get(metric, "wr")


def _with_length(folder: Folder, seed: dict[str, Any]) -> pd.DataFrame:
    """Words of a prompt's answers, all turns together, averaged over its draws: a prompt stays whole."""
    frame, drawn = folder.verdicts[seed["verdict"]], defaultdict(list)
    for (prompt, _), row in folder.answers(seed["sample"] or "").items():
        drawn[prompt].append(sum(len(text.split()) for text in row.get("responses") or [row.get("response", "")]))
    words = {prompt: round(sum(lengths) / len(lengths)) for prompt, lengths in drawn.items()}
    return frame.assign(words=[words.get(str(prompt), 0) for prompt in frame["prompt_id"]])


def _ranges(frames: list[pd.DataFrame]) -> list[tuple[int, int]]:
    """Lowest and highest length of each bin, both included."""
    lengths = np.concatenate([frame["words"].to_numpy() for frame in frames])
    ends = sorted({int(end) for end in np.quantile(lengths, np.linspace(0, 1, BINS + 1))})
    lows = [ends[0], *(end + 1 for end in ends[1:-1])]
    return list(zip(lows, ends[1:] or ends, strict=True))


def _bin(frames: list[pd.DataFrame], low: int, high: int, metric: str) -> dict[str, Any] | None:
    inside = [frame.loc[frame["words"].between(low, high)] for frame in frames]
    sets = [VerdictSet(part.drop(columns="words"), {}) for part in inside if len(part)]
    if not sets:
        return None
    summary = summarise(metric, sets, str(sets[0].frame["protocol"].iloc[0]))
    if summary.value is None:
        return None
    return {"low": low, "high": high, "value": summary.value, "ci": [summary.ci_low, summary.ci_high], "n": summary.n}


def position_bias(folder: Folder, nodes: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of judging.csv of the verdict sets with decided verdicts, which ratings are not, or with repeated ones."""
    found = []
    for set_id, frame in folder.verdicts.items():
        quality = judging_quality(frame, folder.manifests[set_id].get("repeats", ()))
        if quality["first_shown_pct"] is not None or quality["n_repeated"]:
            judge = str(frame["judge_asked"].iloc[0])
            found.append({"id": set_id, "method": nodes[set_id]["method"], "judge": judge, **quality})
    return sorted(found, key=lambda one: (one["judge"], one["id"]))


def judges(folder: Folder) -> list[dict[str, Any]]:
    """Every judge that was asked: its spec, who answered, how many verdicts, and what they cost."""
    found: dict[str, dict[str, Any]] = {}
    for set_id, frame in folder.verdicts.items():
        manifest = folder.manifests[set_id]
        if folder.kinds[set_id] == "preference":  # labels are no judge
            continue
        spec = manifest.get("spec", {}).get("judge", {})
        name = str(spec.get("name", manifest.get("judge_asked", "")))
        one = found.setdefault(
            name,
            {"name": name, "kind": str(spec.get("kind", "")), "note": str(spec.get("note") or ""), "sets": 0,
             "verdicts": 0, "invalid": 0, "cost_usd": 0.0, "asked": set(), "served": set(), "prompts": set()},
        )  # fmt: skip
        one["sets"] += 1
        one["verdicts"] += len(frame)
        one["invalid"] += list(frame["verdict"]).count("invalid")
        one["cost_usd"] += float(manifest.get("cost_usd") or 0)
        for key, column in (("asked", "judge_asked"), ("served", "judge_served"), ("prompts", "prompt_sha256")):
            one[key] |= {str(value) for value in frame[column].dropna().unique()}
    return [
        {key: sorted(value) if isinstance(value, set) else value for key, value in one.items()}
        for one in found.values()
    ]
