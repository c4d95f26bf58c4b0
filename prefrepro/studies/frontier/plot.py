"""Curves of what is gained against the KL to the reference, a panel for each column of each table, as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefrepro.files import replacing
from prefrepro.studies.contrast.plot import STYLE

COLUMNS = 2


def draw(points: Any, gain: str, path: Path) -> None:
    """Means over seeds with a band from the lowest to the highest seed; one seed is a line alone."""
    from matplotlib import colormaps, rc_context
    from matplotlib.figure import Figure

    panels = list(points.groupby(["table", "column"], sort=False))
    width = min(COLUMNS, len(panels))
    scale = 100.0 if gain == "accuracy" else 1.0
    with rc_context(STYLE):
        figure = Figure(figsize=(5 * width, 5 * -(-len(panels) // width)), layout="constrained")
        grid = figure.subplots(-(-len(panels) // width), width, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, ((table, column), own) in zip(grid.flat, panels, strict=False):
            for number, (label, row) in enumerate(own.groupby("label", sort=False)):
                colour = colormaps["tab20"](number % 20)
                steps = row.groupby("step")
                kl, values = steps["kl"].mean(), scale * steps["gain"].mean()
                axes.plot(kl, values, marker="o", markersize=2.5, linewidth=1, color=colour, label=label)
                if row["seed"].nunique() > 1:
                    low, high = scale * steps["gain"].min(), scale * steps["gain"].max()
                    axes.fill_between(kl, low, high, color=colour, alpha=0.06, linewidth=0)
            unit = "held-out accuracy, %" if gain == "accuracy" else "reward gained"
            axes.set_xscale("symlog", linthresh=0.1)  # a collapsed model is a hundred times further than others
            axes.set(title=f"{table}, {column}", xlabel="KL to the reference, nats a response", ylabel=unit)
            axes.legend(
                loc="upper left", bbox_to_anchor=(0, -0.14), ncols=2, fontsize=6, frameon=False, columnspacing=1
            )
        with replacing(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})
