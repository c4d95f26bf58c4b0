"""Attention in bfloat16 on a CPU by plain products, whose backward takes a quarter of the time of torch's kernel.

Scores and probabilities are rounded to bfloat16, as transformers' eager attention rounds them. All pieces of a row are
one step of autograd, so that queries are laid out once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

KEPT_NUMBERS = 2**22
"""Probabilities that a layer keeps for backward, 8 MiB; of more, they are computed again (5 % more time)."""


class Piece(NamedTuple):
    """Queries that stand side by side, and the keys they see."""

    queries: slice
    keys: tuple[slice, ...]
    """One after another: a prompt, and the response itself"""
    bias: Tensor
    """`bias_of` their mask"""


class _Attend(torch.autograd.Function):
    """softmax(scale · q kᵀ + bias) v, piece by piece, of (H, T, D), (G, T, D) and (G, T, D); query heads of one group
    share keys."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, pieces: Sequence[Piece], scale: float) -> Tensor:
        rows = _grouped(q, k)
        ctx.pieces, ctx.scale = pieces, scale
        found, kept = torch.empty_like(rows), list[Tensor]()
        is_kept = len(k) * sum(piece.bias.numel() for piece in pieces) <= KEPT_NUMBERS
        for piece in pieces:
            p = _probabilities(_of(rows, piece), _seen(k, piece), piece.bias, scale)
            _of(found, piece).copy_(torch.bmm(p, _seen(v, piece)))
            kept += [p] if is_kept else []
        ctx.save_for_backward(rows, k, v, *kept)
        return _by_head(found)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, k, v, *kept = ctx.saved_tensors
        grad, of_rows = _grouped(grads[0], k), torch.empty_like(rows)
        of_k, of_v = torch.zeros_like(k), torch.zeros_like(v)
        for number, piece in enumerate(ctx.pieces):
            own, own_k, own_grad = _of(rows, piece), _seen(k, piece), _of(grad, piece)
            p = kept[number] if kept else _probabilities(own, own_k, piece.bias, ctx.scale)
            of_p = torch.bmm(own_grad, _seen(v, piece).transpose(1, 2))
            of_scores = torch.ops.aten._softmax_backward_data(of_p, p, -1, p.dtype)
            _of(of_rows, piece).copy_(torch.bmm(of_scores, own_k))
            for whole, part in (
                (of_k, torch.bmm(of_scores.transpose(1, 2), own)),
                (of_v, p.transpose(1, 2) @ own_grad),
            ):
                lengths = [keys.stop - keys.start for keys in piece.keys]
                for keys, few in zip(piece.keys, part.split(lengths, dim=1), strict=True):
                    whole[:, keys] += few
        return _by_head(of_rows.mul_(ctx.scale)), of_k.mul_(ctx.scale), of_v, None, None


def _grouped(heads: Tensor, keys: Tensor) -> Tensor:
    """(H, T, D) as (G, T, H / G, D)."""
    return heads.unflatten(0, (len(keys), -1)).transpose(1, 2).contiguous()


def _by_head(rows: Tensor) -> Tensor:
    """(G, T, H / G, D) as (H, T, D), in memory as (T, H, D), which is what the layers around attention have."""
    return rows.transpose(0, 1).flatten(1, 2).transpose(0, 1)


def _of(rows: Tensor, piece: Piece) -> Tensor:
    """(G, L · H / G, D) a piece's part of (G, T, H / G, D)."""
    return rows[:, piece.queries].flatten(1, 2)


def _seen(keys: Tensor, piece: Piece) -> Tensor:
    """(G, S, D) of (G, T, D)."""
    return torch.cat([keys[:, part] for part in piece.keys], dim=1)


def _probabilities(q: Tensor, k: Tensor, bias: Tensor, scale: float) -> Tensor:
    return torch.baddbmm(bias, q, k.transpose(1, 2), alpha=scale).softmax(dim=-1)


def bias_of(mask: Tensor | None, length: int, share: int) -> Tensor:
    """(L · share, S) in bfloat16: 0 where `mask` (L, S) lets a query see a key, −∞ elsewhere; None: the causal mask."""
    seen = torch.ones(length, length, dtype=torch.bool).tril_() if mask is None else mask
    bias = torch.zeros(seen.shape, dtype=torch.bfloat16).masked_fill_(~seen, -torch.inf)
    return bias.repeat_interleave(share, dim=0)


def suits(q: Tensor) -> bool:
    """Whether this is what `attend` is for."""
    return q.dtype == torch.bfloat16 and q.device.type == "cpu"


def attend(q: Tensor, k: Tensor, v: Tensor, pieces: Sequence[Piece], scale: float | None) -> Tensor:
    """(1, H, T, D) of queries (1, H, T, D), keys and values (1, G, T, D)."""
    found: Any = _Attend.apply(q[0], k[0], v[0], pieces, q.shape[-1] ** -0.5 if scale is None else scale)
    return found[None]
