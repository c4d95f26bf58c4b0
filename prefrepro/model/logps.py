"""Log-probs of tokens from hidden states."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prefrepro.model.cpu_matmul import is_narrow, linear, weight_gradient

MOST_LOG = 60.0
"""Nats that a token may be likelier than the target before logits are taken relative to it: e^60 does not overflow."""
NARROW_ROWS, SUMMED_ROWS = 256, 16
"""Tokens whose logits are made at once in bfloat16 on a CPU: enough for a fast product, few enough for the cache; and
those that are added up at once, which torch does in a float32 copy."""
CHUNK_ROWS, CHUNK_NUMBERS = 1024, 2**20
"""Tokens whose logits are made at once: this many, or more where the vocabulary is small."""
KEPT_NUMBERS = 2**26
"""Probabilities kept for backward, 256 MiB in float32, 128 in bfloat16; of more, they are computed again (15-20 % more
time, less memory)."""


def _float32_or_wider(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class _TokenLogps(torch.autograd.Function):
    """log softmax(h Wᵀ + b) at the targets, by chunks of rows."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, chunk: int) -> Tensor:
        is_kept = len(targets) * len(weight) <= KEPT_NUMBERS
        found, kept = [], []
        for h, t in zip(hidden.split(chunk), targets.split(chunk), strict=True):
            logits = _float32_or_wider(linear(h, weight, bias))
            probabilities = logits.softmax(dim=-1)
            # log Σ exp by way of the likeliest token, whose probability is far from 0: softmax is one kernel, and what
            # backward wants; logsumexp is four.
            normaliser = logits.amax(dim=-1) - probabilities.amax(dim=-1).log()
            found.append(logits.gather(1, t[:, None])[:, 0] - normaliser)
            kept += [probabilities] if is_kept else []
        ctx.save_for_backward(hidden, weight, bias, targets, *kept)
        ctx.chunk = chunk
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets, *kept = ctx.saved_tensors
        parts = zip(*(t.split(ctx.chunk) for t in (hidden, targets, grads[0])), strict=True)
        of_hidden = []
        of_weight = torch.zeros_like(weight, dtype=grads[0].dtype) if ctx.needs_input_grad[1] else None
        of_bias = None if bias is None else torch.zeros_like(bias, dtype=grads[0].dtype)
        for number, (h, t, grad) in enumerate(parts):
            # d log p_target / d logits = one-hot − softmax
            slope = kept[number].clone() if kept else _float32_or_wider(linear(h, weight, bias)).softmax(dim=-1)
            slope.mul_(-grad[:, None]).scatter_add_(1, t[:, None], grad[:, None])
            if of_bias is not None:
                of_bias += slope.sum(dim=0)
            slope = slope.to(weight.dtype)
            of_hidden.append(linear(slope, weight.t()))
            if of_weight is not None:
                of_weight += weight_gradient(slope, h)
        of_both = (None if grad is None else grad.to(weight.dtype) for grad in (of_weight, of_bias))
        return torch.cat(of_hidden), *of_both, None, None


class _NarrowTokenLogps(torch.autograd.Function):
    """The same of bfloat16 on a CPU without bias.

    Kept for backward, where they fit, are not probabilities but exp(logit - shift) of all tokens but the target, in
    bfloat16, and their sum: what scales a row is applied to N x H numbers after or before a product, not to N x V.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int, is_kept: bool) -> Tensor:
        kept = hidden.new_empty(len(targets) if is_kept else min(NARROW_ROWS, len(targets)), len(weight))
        logps, totals = _narrow_logps(hidden, weight, targets, kept)
        ctx.save_for_backward(hidden, weight, targets, logps, totals, *([kept] if is_kept else []))
        ctx.chunk = len(targets) if is_kept else chunk
        return logps

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, targets, logps, totals, *kept = ctx.saved_tensors
        # d log p_target / d logits = one-hot - p. 1 - p of the target from p in float32: near 1, bfloat16 makes it 0.
        of_target, of_others = (-logps.expm1() * grads[0])[:, None], (-grads[0] / totals)[:, None]
        of_hidden, of_weight = [], None
        parts = zip(*(t.split(ctx.chunk) for t in (hidden, targets, of_others)), strict=True)
        for h, t, scale in parts:
            others = kept[0] if kept else h.new_empty(len(t), len(weight))
            if not kept:
                _narrow_logps(h, weight, t, others)
            of_hidden.append((others @ weight).float().mul_(scale))
            if ctx.needs_input_grad[1]:
                found = weight_gradient(others, (h * scale).to(h.dtype))
                of_weight = found if of_weight is None else of_weight.float().add_(found)
        if of_weight is not None:
            of_weight = of_weight.to(weight.dtype)
            seen, places = targets.unique(return_inverse=True)
            of_seen = of_weight[seen].float().index_add_(0, places, hidden * of_target)
            of_weight[seen] = of_seen.to(weight.dtype)
        both = torch.cat(of_hidden).addcmul_(weight[targets].float(), of_target)
        return both.to(hidden.dtype), of_weight, None, None, None


def _narrow_logps(hidden: Tensor, weight: Tensor, targets: Tensor, into: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probs (n,) and sums (n,) of exp(logit - shift) over all tokens, in float32.

    `into` (n, V), or fewer rows that are used again: exp(logit - shift), 0 for the target. The shift is the target's
    logit. Logits come out of a product in bfloat16, where near 20 neighbours are 0.125 apart; so they are made relative
    to the target's, which is computed in float32.
    """
    exact = torch.linalg.vecdot(hidden.float(), weight[targets].float())
    near = exact.to(weight.dtype)
    own, others = exact - near, torch.empty_like(exact)
    shift = torch.zeros_like(exact)
    for start in range(0, len(targets), NARROW_ROWS):
        rows = slice(start, min(start + NARROW_ROWS, len(targets)))
        at = into[rows] if len(into) == len(targets) else into[: rows.stop - start]
        torch.addmm(-near[rows, None], hidden[rows], weight.t(), out=at)
        at[torch.arange(len(at)), targets[rows]] = -torch.inf
        if (most := at.amax(dim=-1)).max() > MOST_LOG:
            shift[rows] = most.clamp_(min=0).float()
            at.sub_(most[:, None])
        at.exp_()
        for few, found in zip(at.split(SUMMED_ROWS), others[rows].split(SUMMED_ROWS), strict=True):
            found.copy_(few.sum(dim=-1, dtype=torch.float32))
    own -= shift
    totals = own.exp() + others
    logps = torch.where(shift > 0, own - totals.log(), -(others * (-own).exp()).log1p())
    return logps, totals


def token_logps(
    hidden: Tensor, lm_head_weight: Tensor, targets: Tensor, bias: Tensor | None = None, chunk: int | None = None
) -> Tensor:
    """(N,) log-probs of the targets in nats, float32 or wider whatever the dtype of `hidden`.

    hidden (N, H) after the final norm; lm_head_weight (V, H); bias (V,); targets (N,). Logits are made for `chunk`
    rows at a time, so that N × V of them need not exist at once.
    """
    if not len(targets):
        return _float32_or_wider(hidden.sum(dim=-1))
    rows = chunk or max(CHUNK_ROWS, CHUNK_NUMBERS // len(lm_head_weight))
    if is_narrow(hidden, lm_head_weight) and bias is None:
        is_kept = len(targets) * len(lm_head_weight) <= KEPT_NUMBERS and torch.is_grad_enabled()
        return _NarrowTokenLogps.apply(hidden, lm_head_weight, targets, rows, is_kept)  # pyright: ignore[reportReturnType]
    return _TokenLogps.apply(hidden, lm_head_weight, bias, targets, rows)  # pyright: ignore[reportReturnType]


def summed(logps: Tensor, sequence_ids: Tensor, n: int) -> Tensor:
    """(n,) sums of the token log-probs (N,) of each owner.

    Added in float64: a sum near -1000 in float32 loses 1e-4 on the way, and with it 1e-5 of a gradient.
    """
    return logps.new_zeros(n, dtype=torch.float64).index_add(0, sequence_ids, logps.double()).to(logps.dtype)
