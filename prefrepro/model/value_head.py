"""The critic of a rollout method: the expected reward from a token on, read from the policy's hidden states.

As released (models.py:199-234): three layers in float32 on detached hidden states, so that its loss leaves the
language model alone. It is trained and checkpointed with the policy, and not part of the saved model.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ValueHead(nn.Module):
    """(…, H) hidden states to (…,) values. Its weights are drawn from `seed` alone."""

    def __init__(self, hidden_size: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Linear(hidden_size, hidden_size), nn.ReLU(),
                nn.Linear(hidden_size, hidden_size), nn.ReLU(),
                nn.Linear(hidden_size, 1),
            )  # fmt: skip

    def forward(self, hidden: Tensor) -> Tensor:
        return self.layers(hidden.detach().float()).squeeze(-1)
