"""What a method file says about itself, what its loss receives and what it returns.

The trainer computes the log-probs, gathers them where `Needs.gather` asks for it, and hands over plain tensors: a loss
meets no model, tokenizer, device or rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Needs:
    """What the trainer must prepare. In a method file every value is a literal, read without importing it."""

    shape: Literal["paired", "unpaired", "ranked", "rollout"]
    """The batch class that `loss` takes: PairedBatch, UnpairedBatch, RankedBatch, RolloutBatch. A rollout wants
    token log-probs and a value head."""
    reference: bool = True
    """Whether log-probs of the frozen reference model are needed."""
    embeddings: Literal["prompt", "prompt+response"] | None = None
    """Which text is embedded, by the embedder that the run names."""
    gather: bool = False
    """Whether examples of one batch meet each other: then the trainer forms groups of `contrast_size`."""
    rows: Literal["pairs", "demonstrations", "balanced", "mixed", "groups"] = "pairs"
    """pairs: every pair; demonstrations: the first chosen response of each unique prompt, nothing rejected;
    balanced: chosen and rejected responses drawn apart, equally many of each in a batch; mixed: drawn together
    at random, as many of each as it falls out; groups: a prompt with all its scored responses, best first."""
    output: Literal["logp", "score"] = "logp"
    """What the policy emits per response: its summed log-prob, or one scalar (a reward model)."""
    mismatched: bool = False
    """Whether log-probs of responses to another prompt of the batch are needed (KTO's KL estimate)."""
    reference_rewards: bool = False
    """Whether rewards of the reference's own responses to each prompt are needed (an estimate of log Z(x))."""


def _check(batch: Any, names: str, *shape: int) -> None:
    """Raise ValueError where a tensor of `batch` has another shape; an entry of −1 may be anything."""
    for name in names.split():
        value = getattr(batch, name)
        if value is None:
            continue
        found = tuple(value.shape)
        if len(found) != len(shape) or any(e not in (-1, f) for e, f in zip(shape, found, strict=True)):
            expected = str(shape).replace("-1", "any")
            raise ValueError(f"{type(batch).__name__}.{name} has shape {found}, expected {expected}")


@dataclass(frozen=True, slots=True)
class PairedBatch:
    """B preference pairs. Log-probs are summed over completion tokens, in nats, float32 or wider."""

    policy_chosen_logps: Tensor
    """(B,)"""
    policy_rejected_logps: Tensor
    """(B,)"""
    ref_chosen_logps: Tensor
    """(B,); zeros where the method needs no reference."""
    ref_rejected_logps: Tensor
    """(B,)"""
    chosen_lengths: Tensor
    """(B,) completion tokens, with the one that ends the response (EOS): those that the log-probs are summed over"""
    rejected_lengths: Tensor
    """(B,)"""
    embeddings: Tensor | None = None
    """(B, d) of the prompts, not normalised."""
    reference_rewards: Tensor | None = None
    """(B, S) a reward model's scores of S responses to each prompt that were drawn from the reference."""

    def __post_init__(self) -> None:
        """Raises ValueError where shapes do not fit."""
        rows = self.policy_chosen_logps.numel()
        _check(self, "policy_chosen_logps policy_rejected_logps ref_chosen_logps ref_rejected_logps", rows)
        _check(self, "chosen_lengths rejected_lengths", rows)
        _check(self, "embeddings reference_rewards", rows, -1)


@dataclass(frozen=True, slots=True)
class UnpairedBatch:
    """M chosen and N rejected responses, M ≠ N allowed, of prompts that need not be the same."""

    policy_chosen_logps: Tensor
    """(M,)"""
    policy_rejected_logps: Tensor
    """(N,)"""
    ref_chosen_logps: Tensor
    """(M,)"""
    ref_rejected_logps: Tensor
    """(N,)"""
    chosen_lengths: Tensor
    """(M,) with EOS, as in PairedBatch"""
    rejected_lengths: Tensor
    """(N,)"""
    chosen_embeddings: Tensor | None = None
    """(M, d)"""
    rejected_embeddings: Tensor | None = None
    """(N, d)"""
    policy_mismatched_logps: Tensor | None = None
    """(R,) of responses to another prompt of the batch; R is the group's, whatever M and N are."""
    ref_mismatched_logps: Tensor | None = None
    """(R,)"""

    def __post_init__(self) -> None:
        """Raises ValueError where shapes do not fit."""
        m, n = self.policy_chosen_logps.numel(), self.policy_rejected_logps.numel()
        _check(self, "policy_chosen_logps ref_chosen_logps chosen_lengths", m)
        _check(self, "policy_rejected_logps ref_rejected_logps rejected_lengths", n)
        width = -1 if self.chosen_embeddings is None else self.chosen_embeddings.shape[-1]
        _check(self, "chosen_embeddings", m, width)
        _check(self, "rejected_embeddings", n, width)
        if self.policy_mismatched_logps is not None:
            _check(self, "policy_mismatched_logps ref_mismatched_logps", self.policy_mismatched_logps.numel())


@dataclass(frozen=True, slots=True)
class RankedBatch:
    """B prompts with up to K scored responses each, the best one first as in the released data set.

    Whatever stands where `mask` is False has no influence, NaN included.
    """

    policy_logps: Tensor
    """(B, K)"""
    ref_logps: Tensor
    """(B, K)"""
    scores: Tensor
    """(B, K) higher is better"""
    mask: Tensor
    """(B, K) bool: False where a prompt has fewer than K responses"""
    lengths: Tensor
    """(B, K) completion tokens, with EOS as in PairedBatch"""

    def __post_init__(self) -> None:
        """Raises ValueError where shapes do not fit, a prompt has no response or a score is no finite number."""
        _check(self, "policy_logps ref_logps scores mask lengths", *self.policy_logps.shape[:1], self.mask.shape[-1])
        if not self.mask.any(dim=-1).all():
            empty = (~self.mask.any(dim=-1)).nonzero().flatten().tolist()
            raise ValueError(f"RankedBatch: rows {empty} have no response, expected at least one each")
        if not (self.scores.isfinite() | ~self.mask).all():
            bad = (~self.scores.isfinite() & self.mask).any(dim=-1).nonzero().flatten().tolist()
            raise ValueError(f"RankedBatch.scores: rows {bad} hold NaN or infinity, expected finite scores")

    def log_ratios(self) -> Tensor:
        """(B, K) log π/π_ref, 0 where there is no response."""
        return self.policy_logps.masked_fill(~self.mask, 0) - self.ref_logps.masked_fill(~self.mask, 0)

    def best_and_rest(self, rewards: Tensor) -> tuple[Tensor, Tensor]:
        """The reward of the response with the highest score, and the mean of the others: (B, K) to two (B,).

        The first of several best ones; 0 where there are no others. For the log only: detached.
        """
        rewards = rewards.detach().masked_fill(~self.mask, 0)
        first = self.scores.masked_fill(~self.mask, float("-inf")).argmax(dim=-1, keepdim=True)
        best = rewards.gather(-1, first).squeeze(-1)
        return best, (rewards.sum(dim=-1) - best) / (self.mask.sum(dim=-1) - 1).clamp(min=1)


@dataclass(frozen=True, slots=True)
class RolloutBatch:
    """B responses, token by token: position t stands for token t + 1 of a sequence and the state before it.

    Only `policy_logps` and `values` carry gradient.
    """

    policy_logps: Tensor
    """(B, T) of the policy as it is, in nats"""
    old_logps: Tensor
    """(B, T) of the policy that made the responses (or, offline, stands for it): the ratio's denominator"""
    ref_logps: Tensor
    """(B, T) of the frozen reference"""
    values: Tensor
    """(B, T) of the value head as it is"""
    old_values: Tensor
    """(B, T) of the value head before this batch's first update"""
    rewards: Tensor
    """(B, T) of the task, without any KL penalty: one on the last response token of a row, zeros elsewhere"""
    mask: Tensor
    """(B, T) bool: where token t + 1 belongs to the response"""

    def __post_init__(self) -> None:
        """Raises ValueError where shapes do not fit."""
        names = "policy_logps old_logps ref_logps values old_values rewards mask"
        _check(self, names, *(self.policy_logps.shape if self.policy_logps.ndim == 2 else (-1, -1)))


@dataclass(frozen=True, slots=True)
class LossOutput:
    """One loss per row; the trainer averages. Rewards are detached and only logged."""

    losses: Tensor
    """(B,), (M,), or (M + N,), chosen first, where both sides have a loss of their own"""
    chosen_rewards: Tensor
    """(B,) or (M,): β · log-ratio; of the best response where they are ranked"""
    rejected_rewards: Tensor
    """(B,) or (N,); the mean of the other responses where they are ranked"""
    valid: Tensor | None = None
    """Bool, as `losses`: the rows that count in the mean. None: all. Others have zero loss and gradient."""
