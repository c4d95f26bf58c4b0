"""Every method file under each of its readings, batches for them, and gradients of their losses.

float64 and a handful of rows.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from methods import (
    bco,
    bradley_terry,
    cdpo,
    dpo,
    dpo_own_weight,
    infonca,
    ipo,
    kto,
    kto_simple,
    kto_zero,
    nca,
    ppo,
    ppo_offline,
    rpo_diagonal,
    rpo_integrated,
    rpo_ot,
    rpo_paired,
    rpo_uniform,
    rpo_unpaired,
    rpo_z,
    sft,
    swepo,
)
from methods.contract import LossOutput, PairedBatch, RankedBatch, RolloutBatch, UnpairedBatch

AnyBatch = PairedBatch | UnpairedBatch | RankedBatch | RolloutBatch
Batch = TypeVar("Batch", bound=AnyBatch)
quick = settings(max_examples=20)
seeds = st.integers(0, 2**31)
sizes = st.integers(2, 5)
LOG_2, LOG_3 = math.log(2), math.log(3)


@dataclass(frozen=True)
class Method:
    """A method file under one setting of its hyper-parameters."""

    name: str
    module: Any
    hp: Any

    def loss(self, batch: AnyBatch) -> LossOutput:
        return self.module.loss(batch, self.hp)


DPO = Method("dpo", dpo, dpo.Hparams())
METHODS = [
    Method("sft", sft, sft.Hparams()),
    Method("bradley_terry", bradley_terry, bradley_terry.Hparams()),
    DPO,
    Method("dpo_own_weight", dpo_own_weight, dpo_own_weight.Hparams()),
    Method("cdpo", cdpo, cdpo.Hparams()),
    Method("ipo-sum", ipo, ipo.Hparams()),
    Method("ipo-mean", ipo, ipo.Hparams(reduction="mean")),
    Method("kto-paper", kto, kto.Hparams(desirable_weight=1.33)),
    Method("kto-code", kto, kto.Hparams(reading="code")),
    Method("kto_simple", kto_simple, kto_simple.Hparams()),
    Method("kto_zero", kto_zero, kto_zero.Hparams()),
    Method("bco", bco, bco.Hparams(delta=0.3)),
    Method("rpo_paired", rpo_paired, rpo_paired.Hparams()),
    Method("rpo_paired-cos", rpo_paired, rpo_paired.Hparams(distance="cos")),
    Method("rpo_unpaired", rpo_unpaired, rpo_unpaired.Hparams()),
    Method("rpo_integrated", rpo_integrated, rpo_integrated.Hparams()),
    Method("rpo_uniform-paper", rpo_uniform, rpo_uniform.Hparams(reading="paper")),
    Method("rpo_uniform-code", rpo_uniform, rpo_uniform.Hparams(reading="code")),
    Method("rpo_diagonal-paper", rpo_diagonal, rpo_diagonal.Hparams(reading="paper")),
    Method("rpo_diagonal-code", rpo_diagonal, rpo_diagonal.Hparams(reading="code")),
    Method("rpo_z", rpo_z, rpo_z.Hparams()),
    Method("rpo_ot", rpo_ot, rpo_ot.Hparams()),
    Method("infonca", infonca, infonca.Hparams()),
    Method("infonca-soft", infonca, infonca.Hparams(beta=0.1, temperature_alpha=1.0)),
    Method("nca", nca, nca.Hparams()),
    Method("nca-soft", nca, nca.Hparams(beta=0.1, temperature_alpha=1.0)),
    *(Method(f"swepo-p{p}", swepo, swepo.Hparams(beta=0.1, p=p)) for p in (0, 1, 2)),
    Method("swepo-exp", swepo, swepo.Hparams(beta=0.1, weight="exp")),
    Method("swepo-1_vs_k", swepo, swepo.Hparams(beta=0.1, group="1_vs_k", p=0)),
    Method("ppo", ppo, ppo.Hparams(cliprange=0.2)),
    Method("ppo_offline", ppo_offline, ppo_offline.Hparams()),
    Method("ppo_offline-repaired", ppo_offline, ppo_offline.Hparams(is_repaired=True)),
]
without_pot = pytest.mark.skipif(importlib.util.find_spec("ot") is None, reason="POT is not installed: pip install POT")


def of_shape(*shapes: str) -> list[Method]:
    return [method for method in METHODS if method.module.NEEDS.shape in shapes]


def each(methods: Sequence[Method]) -> Callable[[Any], Any]:
    """One test per method."""
    marks = {rpo_ot: [without_pot]}
    params = [pytest.param(method, id=method.name, marks=marks.get(method.module, [])) for method in methods]
    return pytest.mark.parametrize("method", params)


def paired(chosen: Sequence[float], rejected: Sequence[float], embeddings: Tensor | None = None) -> PairedBatch:
    """Pairs whose log-ratios are the given ones: the reference gives every response log-prob 0."""
    policy = torch.tensor(chosen, dtype=torch.float64), torch.tensor(rejected, dtype=torch.float64)
    zeros, ones = map(torch.zeros_like, policy), map(torch.ones_like, policy)
    return PairedBatch(*policy, *zeros, *ones, embeddings=embeddings)


def unpaired(
    chosen: Sequence[float],
    rejected: Sequence[float],
    rows: Tensor | None = None,
    columns: Tensor | None = None,
    mismatched: Sequence[float] | None = None,
) -> UnpairedBatch:
    """Like `paired`, with M ≠ N allowed, an embedding per response and log-ratios of mismatched responses."""
    sides = torch.tensor(chosen, dtype=torch.float64), torch.tensor(rejected, dtype=torch.float64)
    logps = *sides, *map(torch.zeros_like, sides), *map(torch.ones_like, sides)
    ratios = None if mismatched is None else torch.tensor(mismatched, dtype=torch.float64)
    level = None if ratios is None else torch.zeros_like(ratios)
    return UnpairedBatch(
        *logps,
        chosen_embeddings=rows,
        rejected_embeddings=columns,
        policy_mismatched_logps=ratios,
        ref_mismatched_logps=level,
    )


def ranked(ratios: Sequence[Sequence[float]], scores: Sequence[Sequence[float]]) -> RankedBatch:
    """Prompts with scored responses whose log-ratios are the given ones; shorter rows are padded with NaN."""
    k = max(map(len, ratios))

    def padded(rows: Sequence[Sequence[float]]) -> Tensor:
        return torch.tensor([[*row, *[math.nan] * (k - len(row))] for row in rows], dtype=torch.float64)

    policy = padded(ratios)
    return RankedBatch(policy, torch.zeros_like(policy), padded(scores), ~policy.isnan(), torch.ones_like(policy))


def random_batch(method: Method, seed: int, m: int, n: int, scale: float = 10.0) -> Any:
    """Sequence log-probs around -200, log-ratios of size `scale`, embeddings in 6 dimensions, exact in float32.

    Ranked: m prompts with 2 to n + 1 responses, NaN beyond. Rollouts: m responses of 1 to n + 2 tokens.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def up_to(low: int, high: int) -> Tensor:
        """(m, high) bool: the first low to high entries of each row."""
        return torch.arange(high) < torch.randint(low, high + 1, (m, 1), generator=generator)

    shape = method.module.NEEDS.shape
    if shape == "ranked":
        mask, reference = up_to(2, n + 1), -200 + 50 * draw(m, n + 1)
        scores = torch.rand(m, n + 1, generator=generator) * 10
        policy, ref, scored = (
            part.masked_fill(~mask, math.nan) for part in (reference + scale * draw(m, n + 1), reference, scores)
        )
        batch: Any = RankedBatch(policy, ref, scored, mask, torch.full_like(policy, 20))
    elif shape == "rollout":
        mask, old = up_to(1, n + 2), -3 + draw(m, n + 2)
        policy, ref = old + scale / 20 * draw(m, n + 2), old + 0.1 * draw(m, n + 2)
        batch = RolloutBatch(policy, old, ref, draw(m, n + 2), draw(m, n + 2), draw(m, n + 2), mask)
    else:
        n = m if shape == "paired" else n
        ref_chosen, ref_rejected = -200 + 50 * draw(m), -200 + 50 * draw(n)
        logps = ref_chosen + scale * draw(m), ref_rejected + scale * draw(n), ref_chosen, ref_rejected
        lengths = torch.full((m,), 20), torch.full((n,), 20)
        if shape == "paired":
            batch = PairedBatch(*logps, *lengths, draw(m, 6), draw(m, 3))
        else:
            reference = -200 + 50 * draw(m + n)
            mismatched = reference + scale * draw(m + n), reference
            batch = UnpairedBatch(*logps, *lengths, draw(m, 6), draw(n, 6), *mismatched)
    return converted(batch, torch.float64)


def converted(batch: Batch, dtype: torch.dtype) -> Batch:
    """The batch with its floats in another dtype."""
    values = {f.name: getattr(batch, f.name) for f in fields(batch)}
    floats = {k: v.to(dtype) for k, v in values.items() if v is not None and v.is_floating_point()}
    return replace(batch, **floats)


def leaf_names(batch: AnyBatch) -> tuple[str, ...]:
    """The fields that carry gradient."""
    if isinstance(batch, RolloutBatch):
        return "policy_logps", "values"
    return ("policy_logps",) if isinstance(batch, RankedBatch) else ("policy_chosen_logps", "policy_rejected_logps")


def gradients(method: Method, batch: AnyBatch) -> tuple[Tensor, ...]:
    """Of the mean loss, with respect to what carries gradient."""
    leaves = {name: getattr(batch, name).clone().requires_grad_() for name in leaf_names(batch)}
    loss = method.loss(replace(batch, **leaves)).losses.mean()
    found = torch.autograd.grad(loss, tuple(leaves.values()), allow_unused=True)
    return tuple(torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves.values(), strict=True))


def close(actual: Tensor, expected: Any, rtol: float = 1e-7, atol: float = 1e-7) -> None:
    """assert_close in float64, numbers and lists allowed; NaN is never close."""
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=torch.float64), rtol=rtol, atol=atol)
