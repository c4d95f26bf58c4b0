"""Attention in bfloat16 on a CPU by plain products, whose backward takes a quarter of the time of torch's kernel.

Scores and probabilities are rounded to bfloat16, as transformers' eager attention rounds them. Nothing of the size
queries × keys is kept for backward.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Attend(torch.autograd.Function):
    """softmax(scale · q kᵀ + bias) v of (H, L, D), (G, S, D) and (G, S, D); query heads of one group share keys."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(q, k, v, bias)
        ctx.scale = scale
        return torch.bmm(_probabilities(q, k, bias, scale), v).view(q.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias = ctx.saved_tensors
        p, grad, rows = _probabilities(q, k, bias, ctx.scale), _grouped(grads[0], k), _grouped(q, k)
        of_p = torch.bmm(grad, v.transpose(1, 2))
        of_scores = torch.ops.aten._softmax_backward_data(of_p, p, -1, p.dtype).mul_(ctx.scale)
        of_k, of_v = torch.bmm(of_scores.transpose(1, 2), rows), torch.bmm(p.transpose(1, 2), grad)
        return torch.bmm(of_scores, k).view(q.shape), of_k, of_v, None, None


def _grouped(rows: Tensor, keys: Tensor) -> Tensor:
    """(H, L, D) as (G, H / G · L, D)."""
    return rows.reshape(len(keys), -1, rows.shape[-1])


def _probabilities(q: Tensor, k: Tensor, bias: Tensor, scale: float) -> Tensor:
    return torch.baddbmm(bias, _grouped(q, k), k.transpose(1, 2), alpha=scale).softmax(dim=-1)


def bias_of(mask: Tensor | None, length: int, share: int) -> Tensor:
    """(share · L, S) in bfloat16: 0 where `mask` (L, S) lets a query see a key, −∞ elsewhere; None: the causal mask."""
    seen = torch.ones(length, length, dtype=torch.bool).tril_() if mask is None else mask
    bias = torch.zeros(seen.shape, dtype=torch.bfloat16).masked_fill_(~seen, -torch.inf)
    return bias.repeat(share, 1)


def suits(q: Tensor) -> bool:
    """Whether this is what `attend` is for."""
    return q.dtype == torch.bfloat16 and q.device.type == "cpu"


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, scale: float | None) -> Tensor:
    """(1, H, L, D) of queries (1, H, L, D), keys and values (1, G, S, D) and `bias_of` their mask."""
    found: Any = _Attend.apply(q[0], k[0], v[0], bias, q.shape[-1] ** -0.5 if scale is None else scale)
    return found[None]
