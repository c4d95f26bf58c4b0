"""Log-probs of responses from logits or hidden states. Knows nothing of models, templates or methods."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

IGNORED = -100
"""Label of a position that is not a response token, as collators and torch's cross_entropy have it."""


def _float32_or_wider(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def sequence_logps(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probs of the labels, from full logits: the plain form that `response_logps` is tested against.

    logits (B, T, V) of any float dtype; labels (B, T), -100 where a token is no response token. Returns the
    sum (B,) in nats, the token log-probs (B, T-1), zero where masked, both float32 or wider, and the token
    counts (B,). Released code: utils.py:105-134, save that it takes the log-softmax in bfloat16.
    """
    targets = labels[:, 1:]  # position t predicts token t + 1
    mask = targets != IGNORED
    every = _float32_or_wider(logits[:, :-1]).log_softmax(dim=-1)
    picked = every.gather(-1, targets.masked_fill(~mask, 0).unsqueeze(-1)).squeeze(-1)
    token_level = picked.masked_fill(~mask, 0)
    return token_level.sum(dim=-1), token_level, mask.sum(dim=-1)


def _token_logps(hidden: Tensor, lm_head_weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    logits = F.linear(hidden, lm_head_weight, bias)
    return -F.cross_entropy(_float32_or_wider(logits), targets, reduction="none")


def response_logps(
    hidden: Tensor, lm_head_weight: Tensor, labels: Tensor, bias: Tensor | None = None, chunk: int = 8192
) -> Tensor:
    """Summed log-probs of the responses (B,), in nats, with logits computed at response positions only.

    hidden (B, T, H) after the final norm; lm_head_weight (V, H); bias (V,); labels (B, T), -100 where masked.
    With more than `chunk` response tokens the logits are made chunk by chunk and again in backward, so that
    no more than chunk × V of them live at once (15-20 % more time). float32 or wider, whatever the dtype of
    `hidden`.
    """
    tokens, sequences, _ = _response_tokens(hidden, lm_head_weight, labels, bias, chunk)
    return tokens.new_zeros(len(labels)).index_add(0, sequences, tokens)


def response_token_logps(
    hidden: Tensor, lm_head_weight: Tensor, labels: Tensor, bias: Tensor | None = None, chunk: int = 8192
) -> Tensor:
    """As `response_logps`, not summed: (B, T-1), where position t stands for token t + 1; zero where masked."""
    tokens, *places = _response_tokens(hidden, lm_head_weight, labels, bias, chunk)
    return tokens.new_zeros(len(labels), labels.shape[1] - 1).index_put(tuple(places), tokens)


def _response_tokens(
    hidden: Tensor, lm_head_weight: Tensor, labels: Tensor, bias: Tensor | None, chunk: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The log-probs of all response tokens of all sequences, one after another; and of each, row and position."""
    targets = labels[:, 1:]
    sequences, positions = (targets != IGNORED).nonzero(as_tuple=True)
    hidden_rows, target_rows = hidden[sequences, positions], targets[sequences, positions]
    if len(target_rows) <= chunk:
        return _token_logps(hidden_rows, lm_head_weight, bias, target_rows), sequences, positions
    parts = zip(hidden_rows.split(chunk), target_rows.split(chunk), strict=True)
    made = [checkpoint(_token_logps, h, lm_head_weight, bias, t, use_reentrant=False) for h, t in parts]
    return torch.cat(made), sequences, positions
