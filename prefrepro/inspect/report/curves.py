"""Training curves of every run, and one colour for every method."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from prefrepro.inspect.report.folder import Folder
from prefrepro.tables.signs import beta_of, logged, signs

METRICS = {
    "loss": "Loss",
    "rewards/margins": "Reward margin",
    "rewards/accuracies": "Reward accuracy",
    "objective/kl": "KL to the reference",
}
POINTS = 200
"""Most points of a curve; longer ones lose all but every k-th."""
DIGITS = 5
STAGES = ("run", "sft", "reward_model")
"""In the order in which they are shown."""
COLOURS = (
    "#1f5fa8", "#c2410c", "#15803d", "#7e22ce", "#be185d", "#0e7490", "#a16207", "#334155", "#b91c1c", "#4d7c0f",
    "#6d4c41", "#4338ca", "#0284c7", "#c026d3", "#000000", "#7f1d1d",
)  # fmt: skip
"""Each at least 4 : 1 on white."""
DASHES = ("", "6 3", "2 3")


def colours(methods: set[str]) -> dict[str, dict[str, str]]:
    """Method -> colour and dash; with more methods than colours the dash tells them apart."""
    return {
        method: {"colour": COLOURS[rank % len(COLOURS)], "dash": DASHES[rank // len(COLOURS) % len(DASHES)]}
        for rank, method in enumerate(sorted(methods))
    }


def runs(folder: Folder) -> list[dict[str, Any]]:
    """One entry per training of a method, with its curves: metric -> [[step, value] …].

    Runs of one `group` differ in their seed alone.
    """
    found, seen = [], Counter[str]()
    for run_id, manifest in folder.manifests.items():
        if "row" in manifest and folder.kinds[run_id] != "base":
            row = manifest["row"]
            settings = json.dumps([manifest.get("spec", {}) | {"seed": None}, row["method"]], sort_keys=True)
            same_seed = f"{settings} {row.get('seed')}"  # such runs differ in what they were made of
            seen[same_seed] += 1
            found.append(
                {key: row.get(key) for key in ("method", "model", "dataset", "seed", "hparams", "steps", "gpu_h")}
                | {
                    "id": run_id,
                    "stage": folder.kinds[run_id],
                    "group": f"{hashlib.sha256(settings.encode()).hexdigest()[:8]}.{seen[same_seed]}",
                }
                | _logged(folder.path / "runs" / run_id, beta_of(row))
            )
    return sorted(
        found, key=lambda run: (STAGES.index(run["stage"]), run["dataset"], run["model"], run["method"], run["id"])
    )


def _logged(run: Path, beta: float | None) -> dict[str, Any]:
    """`curves`: metric -> points; `signs`: what is odd about them."""
    rows, found = logged(run), {}
    for metric in METRICS:
        points = [[float(row["step"]), _rounded(float(row[metric]))] for row in rows if row.get(metric)]
        step = -(-len(points) // POINTS) or 1
        if points:
            found[metric] = points[::-step][::-1]  # from the end, so that the last stays
    return {"curves": found, "signs": signs(rows, beta)}


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
