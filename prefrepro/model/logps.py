"""Log-probs of tokens from hidden states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from prefrepro.model.cpu_matmul import is_narrow, linear, weight_gradient

LEAST_LOG = -80.0
NARROW_ROWS = 64
"""Tokens whose logits are made at once in bfloat16 on a CPU: few enough for the cache and for memory that is reused."""
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
    """The same of bfloat16 on a CPU without bias: probabilities are kept in bfloat16."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int, is_kept: bool) -> Tensor:
        kept = hidden.new_empty(len(targets) if is_kept else 0, len(weight))
        logps = torch.cat(
            [
                _narrow_logps(h, weight, t, kept[start : start + NARROW_ROWS] if is_kept else None)
                for start, h, t in _rows_at_once(hidden, targets)
            ]
        )
        ctx.save_for_backward(hidden, weight, targets, logps, kept)
        ctx.chunk, ctx.is_kept = chunk, is_kept
        return logps

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, targets, logps, kept = ctx.saved_tensors
        of_hidden, of_weight = [], None
        parts = zip(*(t.split(ctx.chunk) for t in (hidden, targets, logps, grads[0])), strict=True)
        for number, (h, t, logp, grad) in enumerate(parts):
            slope = kept[number * ctx.chunk :][: len(t)].clone() if ctx.is_kept else h.new_empty(len(t), len(weight))
            for start, few, few_targets in _rows_at_once(h, t):
                rows = slope[start : start + NARROW_ROWS]
                if not ctx.is_kept:
                    _narrow_logps(few, weight, few_targets, rows)
                rows.mul_(-grad[start : start + NARROW_ROWS, None].to(rows.dtype))
            # 1 − p of the target from p in float32: near 1, bfloat16 would make it 0.
            slope.scatter_(1, t[:, None], (-logp.expm1() * grad)[:, None].to(slope.dtype))
            of_hidden.append(slope @ weight)
            if ctx.needs_input_grad[1]:
                found = weight_gradient(slope, h)
                of_weight = found if of_weight is None else of_weight.float().add_(found)
        return torch.cat(of_hidden), None if of_weight is None else of_weight.to(weight.dtype), None, None, None


def _rows_at_once(hidden: Tensor, targets: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    parts = zip(hidden.split(NARROW_ROWS), targets.split(NARROW_ROWS), strict=True)
    return ((number * NARROW_ROWS, *part) for number, part in enumerate(parts))


def _narrow_logps(hidden: Tensor, weight: Tensor, targets: Tensor, into: Tensor | None) -> Tensor:
    """(n,) float32; `into` (n, V): the probabilities.

    Logits come out of a product in bfloat16, where near 20 neighbours are 0.125 apart; so they are made relative to the
    target's, which is computed in float32.
    """
    exact = torch.linalg.vecdot(hidden.float(), weight[targets].float())
    near = exact.to(weight.dtype)
    logits = torch.addmm(-near[:, None], hidden, weight.t()).float()
    logits.scatter_(1, targets[:, None], (exact - near)[:, None])
    probabilities = logits.softmax(dim=-1)
    found = probabilities.gather(1, targets[:, None])[:, 0].log()
    if found.min() < LEAST_LOG:  # its probability is no normal number of float32
        found = logits.log_softmax(dim=-1).gather(1, targets[:, None])[:, 0]
    if into is not None:
        into.copy_(probabilities)
    return found


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
