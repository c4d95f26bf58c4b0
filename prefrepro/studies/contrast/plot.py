"""RPO's Figures 1 and 2 with a batch of ours, as SVG. Draws no number of its own."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefrepro.files import replacing
from prefrepro.studies.contrast.batch import Contrasts

STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "prefrepro", "font.size": 8, "font.family": "sans-serif"}
"""Text stays text, and the same batch gives the same bytes."""
OWN, OTHER = "#d95f02", "#2c7fb8"
LONGEST = 46


def matrices(panels: Sequence[Contrasts], title: str, path: Path) -> None:
    """One contrast matrix a panel, side by side; an outlined cell is of one prompt. Prompts stand beside the rows."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(5.2 * len(panels), 5.6), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False).flat, panels, strict=True):
            _matrix(axes, panel)
        figure.suptitle(title, fontsize=10)
        _save(figure, path)


def _matrix(axes: Any, panel: Contrasts) -> None:
    from matplotlib.patches import Rectangle

    weights = panel.weights.numpy()
    axes.imshow(weights, cmap="Blues", vmin=0, vmax=1)
    for i, line in enumerate(weights):
        for j, weight in enumerate(line):
            shown = f"{weight:.2f}".removeprefix("0") if weight else "0"
            axes.text(j, i, shown, ha="center", va="center", fontsize=6, color="white" if weight > 0.5 else "black")
    for i, j in panel.own:
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=OWN, linewidth=1.5))
    axes.set_xticks(range(len(panel.rejected)), [_short(text, 36) for text in panel.rejected], rotation=60, ha="right")
    axes.set_yticks(range(len(panel.chosen)), [_short(text, 40) for text in panel.chosen])
    axes.tick_params(labelsize=6, length=0)
    axes.set(title=panel.title, xlabel="rejected response to …", ylabel="chosen response to …")


def one_response(dpo: Contrasts, rpo: Contrasts, path: Path) -> None:
    """The chosen response whose contrasts are spread most: what DPO and what RPO hold it against."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    row = int(rpo.weights.diagonal().argmin())
    order = rpo.weights[row].argsort(descending=True).tolist()
    with rc_context(STYLE):
        figure = Figure(figsize=(8.4, 0.34 * len(order) + 1.5), layout="constrained")
        axes = figure.subplots()
        colours = [OWN if (row, j) in rpo.own else OTHER for j in order]
        places = range(len(order))
        held = (dpo.weights[row][order], rpo.weights[row][order])
        axes.barh([place - 0.2 for place in places], held[0], 0.38, color="none", edgecolor="black", label="DPO")
        axes.barh([place + 0.2 for place in places], held[1], 0.38, color=colours, label="RPO")
        axes.set_yticks(places, [_short(rpo.rejected[j], LONGEST) for j in order])
        axes.invert_yaxis()
        axes.set(xlabel="weight of the contrast", xlim=(0, 1.02), ylabel="rejected response to …")
        axes.set_title(f"Chosen response to «{_short(rpo.chosen[row], 70)}»", fontsize=9)
        axes.legend(loc="lower right", title="orange: its own prompt")
        _save(figure, path)


def _short(text: str, longest: int) -> str:
    """One line; a $ would start a formula."""
    return textwrap.shorten(" ".join(text.split()), longest, placeholder=" …").replace("$", r"\$")


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
