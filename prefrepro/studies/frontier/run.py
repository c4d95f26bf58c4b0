"""What every method gains at what distance from its reference: all points, and a table at equal KL."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student

from prefrepro.errors import UserError
from prefrepro.files import replacing
from prefrepro.plan.frontier import FOLDER, distance_of, tables_of
from prefrepro.plan.plan import Plan
from prefrepro.stats.intervals import ALPHA
from prefrepro.studies.frontier.plot import draw

PLACE = ["table", "column", "row", "label"]
SHARES = (0.25, 0.5, 1.0)
"""Parts of the largest KL that every row of a column reached."""
FILES = [f"{FOLDER}/frontier.{suffix}" for suffix in ("csv", "md", "svg")]


def write(plan: Plan) -> None:
    """frontier.csv, frontier.md and frontier.svg. Raises UserError where no distance is measured."""
    points = collected(plan)
    folder = plan.results / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "frontier.csv") as path:
        points.to_csv(path, index=False, lineterminator="\n")
    with replacing(folder / "frontier.md") as path:
        path.write_text(page(points), encoding="utf-8")
    draw(with_gain(points), gain_of(points), folder / "frontier.svg")


def collected(plan: Plan) -> Any:
    """Every measured point, as a frame: table, column, row, label, seed, and the columns of distance.csv."""
    distances, frames = distance_of(plan), []
    for table in tables_of(plan):
        for cell in table.spec.get("cells", ()):
            for run in cell["run_ids"]:
                path = plan.results / distances[run].folder / "distance.csv" if run in distances else None
                if path is None or not path.is_file():
                    continue
                place = {
                    "table": f"{cell['paper']}_{cell['table']}",
                    "column": cell["column"],
                    "row": cell["row"],
                    "label": cell["row_label"],
                    "seed": plan.nodes[run].spec["seed"],
                }
                frames.append(pd.read_csv(path).assign(**place))
    if not frames:
        raise UserError(
            f"no distance is measured in {plan.results}. Expected tables under `frontier` in the scale's file, and "
            "their distances. To make them: snakemake frontier"
        )
    points = pd.concat(frames, ignore_index=True)
    return points[[*PLACE, "seed", *(name for name in points if name not in {*PLACE, "seed"})]].drop_duplicates()


def gain_of(points: Any) -> str:
    """What is gained: the known reward in the embedded world, held-out accuracy elsewhere."""
    return "reward" if points["reward"].notna().all() else "accuracy"


def with_gain(points: Any) -> Any:
    """`points` with `gain`: held-out accuracy, or the reward above that of the training's own reference, since seeds
    start from different models."""
    name = gain_of(points)
    trainings = points.sort_values("step").groupby([*PLACE, "seed"])[name]
    return points.assign(gain=points[name] - (trainings.transform("first") if name == "reward" else 0.0))


def at(path: Sequence[tuple[float, float]], level: float) -> float:
    """The gain where the KL first reaches `level`, between two measured models of one training; NaN: it never does.

    `path`: (KL, gain) in the order of training.
    """
    for (before, low), (after, high) in pairwise(path):
        if before <= level <= after:
            return low + (high - low) * (level - before) / (after - before) if after > before else high
    return math.nan


class Equal(NamedTuple):
    """What a row gains at one KL, mean over its trainings, with its 95 % interval over them (Student's t)."""

    kl: float
    gain: float
    low: float
    high: float
    """NaN with one training, and where one of them never got so far"""


def at_equal_kl(rows: Mapping[str, Sequence[Sequence[tuple[float, float]]]]) -> dict[str, list[Equal]]:
    """Row -> what it gains at `SHARES` of the KL that every training of every row reached.

    `rows`: row -> the path of each of its trainings.
    """
    reached = min(max(kl for kl, _ in path) for paths in rows.values() for path in paths)
    return {row: [_equal(paths, share * reached) for share in SHARES] for row, paths in rows.items()}


def _equal(paths: Sequence[Sequence[tuple[float, float]]], level: float) -> Equal:
    values = np.array([at(path, level) for path in paths])
    half = math.nan
    if len(values) > 1:
        half = float(student.ppf(1 - ALPHA / 2, len(values) - 1)) * float(values.std(ddof=1)) / len(values) ** 0.5
    mean = float(values.mean())
    return Equal(level, mean, mean - half, mean + half)


def paths_of(points: Any) -> dict[str, list[list[tuple[float, float]]]]:
    """Row's label -> the (KL, gain) path of each training, of the points of one column."""
    found: dict[str, list[list[tuple[float, float]]]] = {}
    for (label, _), own in points.sort_values("step").groupby(["label", "seed"], sort=False):
        found.setdefault(label, []).append(list(zip(own["kl"], own["gain"], strict=True)))
    return {label: found[label] for label in dict.fromkeys(points["label"])}


def page(points: Any) -> str:
    """Markdown: for each column of each table, the gain at equal KL, and of the final models KL and drift."""
    gain = gain_of(points)
    shown = "{:.1f} %" if gain == "accuracy" else "{:+.2f}"
    scale = 100.0 if gain == "accuracy" else 1.0
    lines = []
    for (table, column), own in with_gain(points).groupby(["table", "column"], sort=False):
        equal = at_equal_kl(paths_of(own))
        heads = [f"{gain} at {one.kl:.2f} nats" for one in next(iter(equal.values()))]
        heads += ["final KL", "chosen", "rejected"]
        lines += [f"## {table}, {column}", "", "| method | " + " | ".join(heads) + " |"]
        lines.append("|---|" + "---:|" * len(heads))
        final = own.sort_values("step").groupby(["label", "seed"], sort=False).tail(1)
        for label, found in equal.items():
            last = final[final["label"] == label]
            error = float((last["kl_se"] ** 2).sum()) ** 0.5 / len(last)
            cells = [_shown(scale, one, shown) for one in found]
            cells.append(f"{last['kl'].mean():.2f} ± {error:.2f}")
            cells += [f"{last[side].mean():+.2f}" for side in ("chosen", "rejected")]
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _shown(scale: float, one: Equal, form: str) -> str:
    if math.isnan(one.gain):
        return "not reached"
    value = form.format(scale * one.gain)
    low, high = (form.format(scale * end).removesuffix(" %") for end in (one.low, one.high))
    return value if math.isnan(one.low) else f"{value} [{low}, {high}]"
