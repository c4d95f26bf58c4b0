"""Log-probs from full logits, as released code takes them: model/logps.py is tested and timed against this form."""

from __future__ import annotations

import torch
from torch import Tensor

IGNORED = -100
"""Label of a position that is not a response token, as collators and torch's cross_entropy have it."""


def sequence_logps(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probs of the labels.

    logits (B, T, V) of any float dtype; labels (B, T), -100 where a token is no response token. Returns the
    sum (B,) in nats, the token log-probs (B, T-1), zero where masked, both float32 or wider, and the token
    counts (B,). Released code: utils.py:105-134, save that it takes the log-softmax in bfloat16.
    """
    targets = labels[:, 1:]  # position t predicts token t + 1
    mask = targets != IGNORED
    every = logits[:, :-1].to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=-1)
    picked = every.gather(-1, targets.masked_fill(~mask, 0).unsqueeze(-1)).squeeze(-1)
    token_level = picked.masked_fill(~mask, 0)
    return token_level.sum(dim=-1), token_level, mask.sum(dim=-1)
