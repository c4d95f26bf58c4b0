"""The contrasts of a training's first batch: which responses meet, and with which weight.

The weights are read off the method's own loss, so that no formula is written twice: where all log-ratios are zero,
the loss of a chosen response i pulls at the rejected response j in proportion to β w_ij.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from methods.contract import PairedBatch, UnpairedBatch
from prefrepro.model.batches import step_rows
from prefrepro.model.examples import read_rows
from prefrepro.model.seeds import seed_for
from prefrepro.model.tensors import load_tensors
from prefrepro.studies.contrast.panels import Panel


@dataclass(frozen=True, slots=True)
class Contrasts:
    """One contrast matrix, M chosen responses against N rejected ones."""

    title: str
    weights: Tensor
    """(M, N), float64; rows sum to 1"""
    chosen: list[str]
    """(M,) prompts of the chosen responses: the last message of each"""
    rejected: list[str]
    """(N,)"""
    own: list[tuple[int, int]]
    """Places where both responses answer one prompt"""


def first_batch(panel: Panel, results: Path) -> Contrasts:
    """The first contrast matrix of the first step. The files of `needed` must be there."""
    spec, method = panel.run.spec, importlib.import_module(f"methods.{panel.run.spec['method']}")
    rows = read_rows(results / panel.data.folder / "train.jsonl")
    seed, batch_size = seed_for(spec["seed"], "order"), spec["training"]["batch_size"]
    step = step_rows([row["prompt_id"] for row in rows], method.NEEDS, batch_size, seed)(0)
    group = next(step.groups(spec["training"]["contrast_size"]))
    sides: list[Tensor | None] = [None, None]
    if panel.embeddings is not None:
        tensors = load_tensors(results / panel.embeddings.folder / "embeddings.safetensors")
        places = ((group.chosen, 0), (group.rejected, 1))
        sides = [tensors["vectors"][tensors["index"][at, side]].double() for at, side in places]
    weights = weights_of(method, spec["hparams"], len(group.chosen), len(group.rejected), sides)
    own = [
        (i, j)
        for i, a in enumerate(group.chosen)
        for j, b in enumerate(group.rejected)
        if rows[a]["prompt_id"] == rows[b]["prompt_id"]
    ]
    chosen, rejected = (
        [rows[place]["prompt"][-1]["content"] for place in side] for side in (group.chosen, group.rejected)
    )
    return Contrasts(panel.title, weights, chosen, rejected, own)


def weights_of(method: Any, hparams: dict[str, Any], m: int, n: int, sides: Sequence[Tensor | None]) -> Tensor:
    """(m, n) weights of a method's contrasts, rows of sum 1, at log-ratios of zero.

    `sides`: embeddings of the chosen and of the rejected prompts, (m, d) and (n, d), where the method wants them.
    """
    zeros = [torch.zeros(size, dtype=torch.float64) for size in (m, n)]

    def losses(rejected: Tensor) -> Tensor:
        common = {
            "policy_chosen_logps": zeros[0],
            "policy_rejected_logps": rejected,
            "ref_chosen_logps": zeros[0],
            "ref_rejected_logps": zeros[1],
            "chosen_lengths": torch.ones(m),
            "rejected_lengths": torch.ones(n),
        }
        if method.NEEDS.shape == "paired":
            batch: Any = PairedBatch(**common, embeddings=sides[1])  # of the rejected's prompt, as make_batch takes it
        else:
            batch = UnpairedBatch(**common, chosen_embeddings=sides[0], rejected_embeddings=sides[1])
        return method.loss(batch, method.Hparams(**hparams)).losses

    pulls: Any = torch.autograd.functional.jacobian(losses, zeros[1])
    return pulls / pulls.sum(dim=1, keepdim=True)
