"""What the claims were measured on, as one page of six plots. Wants matplotlib, draws no number of its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from prefrepro.errors import UserError
from prefrepro.files import replacing
from prefrepro.studies.theory.bias import COUNTS, Bias
from prefrepro.studies.theory.flow import TIMES, Rest
from prefrepro.studies.theory.gradients import Gradients
from prefrepro.studies.theory.trajectory import ETA, STEPS, Trajectory, predicted_break

SIZE_INCHES = (11.7, 8.3)  # A4, landscape


def require() -> None:
    """Raise UserError where there is nothing to plot with, before anything is measured."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("matplotlib is not installed; theory.png needs it. Install what is pinned with: make setup")


def page(measured: Any, path: Path) -> None:
    """Write a PNG that depends on the measurements (run.Measured) alone: no date, no version inside."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=120, layout="constrained")
    drawn: Any = (
        (_gradients, measured.of_infonca, measured.of_swepo), (_match, measured.rest), (_masses, measured.rest),
        (_trajectories, measured.trajectories), (_linear, measured.trajectories[0]), (_biases, measured.biases),
    )  # fmt: skip
    for axes, (panel, *values) in zip(figure.subplots(2, 3).flat, drawn, strict=True):
        panel(*values, axes)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=6)
        axes.title.set_fontsize(9)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _label(axes: Any, title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y)


def _gradients(of_infonca: Gradients, of_swepo: Gradients, axes: Any) -> None:
    for gradients, label in ((of_infonca, "InfoNCA: p_model − p_target"), (of_swepo, "Swepo: p^w − p^+")):
        error = f"{label}, off by ≤ {gradients.error:.0e}"
        axes.plot(gradients.formula, gradients.autograd, ".", markersize=2, label=error)
    axes.plot([-1, 1], [-1, 1], "k-", linewidth=0.5)
    _label(axes, "Lemmas 1/5 and 2/6: gradients", "formula", "autograd of the loss")


def _match(rest: Rest, axes: Any) -> None:
    axes.loglog(TIMES[1:], rest.mismatch[1:], label="largest of all prompts")
    _label(axes, "Theorem 2/4: InfoNCA", "time of gradient flow", "|p_model − p_target|")


def _masses(rest: Rest, axes: Any) -> None:
    for name, mass in rest.negative_mass.items():
        axes.loglog(TIMES[1:], mass[1:], label=name)
    axes.loglog(TIMES[20:], 1 / TIMES[20:], "k:", label="1/t")
    _label(axes, "Lemma 3/10: Swepo", "time of gradient flow", "negatives' mass")


def _trajectories(trajectories: list[Trajectory], axes: Any) -> None:
    every = np.arange(0, STEPS + 1, 25)
    for trajectory in trajectories:
        (line,) = axes.plot(trajectory.recursion[:, 0], label=trajectory.groups.name)
        axes.plot(trajectory.recursion[:, 1], "--", color=line.get_color())
        axes.plot(every, trajectory.descent[every], "o", color=line.get_color(), markersize=2)
    _label(axes, "Lemma 4/8: Eq. 29 (lines), descent (dots)", f"step, η = {ETA}", "score: s⁺ —, s⁻ - -")


def _linear(trajectory: Trajectory, axes: Any) -> None:
    axes.plot(trajectory.descent[:, 0], label="s⁺, descent")
    axes.plot(trajectory.linear, "--", label="linear: η t / 2")
    where = predicted_break(trajectory.groups)
    axes.axvline(where, color="k", linewidth=0.5, label=f"10 % off at step {where:.0f}")
    _label(axes, "Corollary 5 and Remark 4: M = N = 1", f"step, η = {ETA}", "s⁺")


def _biases(biases: list[Bias], axes: Any) -> None:
    for bias in biases:
        (line,) = axes.loglog(COUNTS, bias.mean_bias, ".", markersize=3, label=bias.attribute.name)
        axes.loglog(COUNTS, bias.attribute.deviation / np.sqrt(COUNTS), color=line.get_color(), linewidth=0.5)
    _label(axes, "Theorem 1/3: bias (dots) below σ/√k (lines)", "k", "E|μ^(k) − μ_A|")
