"""Random batches as the trainer would hand them to a loss: of the shape that NEEDS declares, and nothing undeclared."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from methods.contract import Needs, PairedBatch, RankedBatch, RolloutBatch, UnpairedBatch

AnyBatch = PairedBatch | UnpairedBatch | RankedBatch | RolloutBatch
CLASSES = {"paired": PairedBatch, "unpaired": UnpairedBatch, "ranked": RankedBatch, "rollout": RolloutBatch}
LEAVES = {
    "paired": ("policy_chosen_logps", "policy_rejected_logps"),
    "unpaired": ("policy_chosen_logps", "policy_rejected_logps"),
    "ranked": ("policy_logps",),
    "rollout": ("policy_logps", "values"),
}
"""What carries gradient."""
WIDTH = 6
"""of an embedding"""
SAMPLES = 3
"""of the reference for each prompt"""


def batches_for(needs: Needs) -> dict[str, AnyBatch]:
    """Batches by a name for messages, an ordinary one first, then what a data set holds on a bad day. float64."""
    draw = _Draw(needs)
    if needs.shape == "paired":
        return {"4 pairs": draw.paired(4), "1 pair": draw.paired(1)}
    if needs.shape == "ranked":
        return {
            "4 prompts with 4, 2, 3 and 4 responses": draw.ranked([4, 2, 3, 4]),
            "a prompt with 1 response beside one with 3": draw.ranked([1, 3]),
            "a prompt whose scores are all equal": draw.ranked([3, 3], equal=True),
        }
    if needs.shape == "rollout":
        return {"4 responses of 6, 1, 3 and 5 tokens": draw.rollout([6, 1, 3, 5]), "1 response": draw.rollout([4])}
    if needs.rows == "demonstrations":
        return {"4 demonstrations": draw.unpaired(4, 0), "1 demonstration": draw.unpaired(1, 0)}
    sizes = ((4, 3), (2, 5), (3, 3), (1, 1), (3, 0), (0, 3))
    return {f"{m or 'no'} chosen, {n or 'no'} rejected": draw.unpaired(m, n) for m, n in sizes}


class _Draw:
    """Sequence log-probs around −200 nats, log-ratios around 10; exact in float32, so that it can be compared."""

    def __init__(self, needs: Needs) -> None:
        self.needs = needs
        self.generator = torch.Generator().manual_seed(0)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def _sides(self, m: int, n: int) -> dict[str, Tensor]:
        values = {}
        for side, size in (("chosen", m), ("rejected", n)):
            reference = -200 + 50 * self.normal(size)
            policy = reference + 10 * self.normal(size)
            if self.needs.output == "score":
                policy = 2 * self.normal(size)
            values[f"policy_{side}_logps"] = policy
            values[f"ref_{side}_logps"] = reference if self.needs.reference else torch.zeros(size)
            values[f"{side}_lengths"] = torch.randint(5, 60, (size,), generator=self.generator)
        return values

    def paired(self, b: int) -> PairedBatch:
        embeddings = self.normal(b, WIDTH) if self.needs.embeddings else None
        rewards = self.normal(b, SAMPLES) if self.needs.reference_rewards else None
        batch = PairedBatch(**self._sides(b, b), embeddings=embeddings, reference_rewards=rewards)
        return converted(batch, torch.float64)

    def unpaired(self, m: int, n: int) -> UnpairedBatch:
        batch = UnpairedBatch(**self._sides(m, n))
        if self.needs.embeddings:
            batch = replace(batch, chosen_embeddings=self.normal(m, WIDTH), rejected_embeddings=self.normal(n, WIDTH))
        if self.needs.mismatched:
            reference = -200 + 50 * self.normal(m + n)
            policy = reference + 10 * self.normal(m + n).abs()  # a positive KL, which a clamp at 0 lets through
            batch = replace(batch, policy_mismatched_logps=policy, ref_mismatched_logps=reference)
        return converted(batch, torch.float64)

    def ranked(self, sizes: list[int], equal: bool = False) -> RankedBatch:
        shape = len(sizes), max(sizes)
        mask = torch.arange(shape[1]) < torch.tensor(sizes)[:, None]
        reference = -200 + 50 * self.normal(*shape)
        policy = reference + 10 * self.normal(*shape)
        scores = (10 * torch.rand(shape, generator=self.generator)).sort(dim=-1, descending=True).values
        if equal:
            scores[0] = 7.3
        lengths = torch.randint(5, 60, shape, generator=self.generator)
        reference = reference if self.needs.reference else torch.zeros(shape)
        floats = (x.masked_fill(~mask, math.nan) for x in (policy, reference, scores))
        return converted(RankedBatch(*floats, mask=mask, lengths=lengths), torch.float64)

    def rollout(self, sizes: list[int]) -> RolloutBatch:
        shape = len(sizes), max(sizes)
        last = torch.tensor(sizes)[:, None] - 1
        places = torch.arange(shape[1])
        old = -3 + self.normal(*shape)
        batch = RolloutBatch(
            policy_logps=old + 0.3 * self.normal(*shape),
            old_logps=old,
            ref_logps=old + 0.3 * self.normal(*shape) if self.needs.reference else torch.zeros(shape),
            values=self.normal(*shape),
            old_values=self.normal(*shape),
            rewards=self.normal(*shape) * (places == last),
            mask=places <= last,
        )
        return converted(batch, torch.float64)


def tensors(batch: AnyBatch) -> dict[str, Tensor]:
    """The fields that are there, by name."""
    values = {f.name: getattr(batch, f.name) for f in fields(batch)}
    return {name: value for name, value in values.items() if value is not None}


def changed(batch: Any, change: Callable[[str, Tensor], Tensor]) -> Any:
    """A batch of its own with change(name, copy of the tensor) for every tensor."""
    return replace(batch, **{name: change(name, value.clone()) for name, value in tensors(batch).items()})


def converted(batch: Any, dtype: torch.dtype) -> Any:
    """The batch with its floats in another dtype."""
    return changed(batch, lambda _, value: value.to(dtype) if value.is_floating_point() else value)


def picked(batch: Any, rows: Tensor, columns: Tensor) -> Any:
    """The batch with these rows; `columns` are those of the rejected side where it stands apart."""
    apart = isinstance(batch, UnpairedBatch)

    def pick(name: str, value: Tensor) -> Tensor:
        if "mismatched" in name:
            return value
        return value[columns if apart and "rejected" in name else rows]

    return changed(batch, pick)


def redrawn(batch: Any, part: str) -> Any:
    """The batch with other values in every tensor whose name holds `part`, the policy's of that name too."""
    generator = torch.Generator().manual_seed(1)

    def draw(name: str, value: Tensor) -> Tensor:
        noise = torch.rand(value.shape, generator=generator, dtype=torch.float64)
        return value + 5 * noise if part in name else value

    return changed(batch, draw)


def at_reference(batch: Any) -> Any:
    """The batch as it is before the first step: the policy is the reference."""
    return changed(batch, lambda name, value: getattr(batch, name.replace("policy_", "ref_")).clone())


def doubled(batch: Any, side: str) -> Any:
    """The batch with chosen log-probs twice as large, and the lengths of `side`."""
    names = ("policy_chosen_logps", "ref_chosen_logps", f"{side}_lengths")
    return changed(batch, lambda name, value: 2 * value if name in names else value)


def extreme(batch: Any, size: float, signs: tuple[int, int]) -> Any:
    """Log-ratios of ±size and 0 in turn, the rejected side's by the second sign; a score is as large."""

    def pull(name: str, value: Tensor) -> Tensor:
        if name.startswith("ref_") or name == "old_logps":
            return torch.zeros_like(value)
        if not name.startswith("policy_"):
            return value
        pattern = value.new_tensor([size, -size, 0.0]).repeat(value.numel())[: value.numel()].reshape(value.shape)
        return signs["rejected" in name] * pattern

    return changed(batch, pull)
