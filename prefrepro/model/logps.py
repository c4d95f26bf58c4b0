"""Log-probs of tokens from hidden states."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from prefrepro.model.cpu_matmul import linear, weight_gradient

CHUNK_ROWS, CHUNK_NUMBERS = 1024, 2**20
"""Tokens whose logits are made at once: this many, or more where the vocabulary is small."""
KEPT_NUMBERS = 2**26
"""Probabilities kept for backward, 256 MiB in float32; of more, they are computed again (15-20 % more time, less
memory)."""


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
    return _TokenLogps.apply(hidden, lm_head_weight, bias, targets, rows)  # pyright: ignore[reportReturnType]


def summed(logps: Tensor, sequence_ids: Tensor, n: int) -> Tensor:
    """(n,) sums of the token log-probs (N,) of each owner.

    Added in float64: a sum near -1000 in float32 loses 1e-4 on the way, and with it 1e-5 of a gradient.
    """
    return logps.new_zeros(n, dtype=torch.float64).index_add(0, sequence_ids, logps.double()).to(logps.dtype)
