"""What a model says of a response: its summed log-prob, or one score."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from prefrepro.model.attention import can_pack, hidden_states
from prefrepro.model.cpu_matmul import use_onednn
from prefrepro.model.examples import Pairs, Tokens, by_length
from prefrepro.model.fused import fuse
from prefrepro.model.logps import summed, token_logps
from prefrepro.model.packing import PackedTokens, pack, pad
from prefrepro.model.token_file import Lazy

Layout = Literal["shared", "packed", "padded"]
"""shared: no padding, and a prompt encoded once for all its responses; packed: no padding; padded: a rectangle."""
SIDE_BY_SIDE = 8
"""Sequences padded to one width: few, and of like length, so that little is padded."""


def _alone(read: Callable[[Sequence[Tokens]], Any], sequences: Sequence[Tokens]) -> Any:
    return read(sequences)


class Policy:
    """A causal model read as log-probs, or a sequence classifier with one label read as scores.

    `through` says how sequences are read: here, or divided among ranks (sharded.py).

    An architecture whose packed results are not known to equal the padded ones is padded, and the log says so.
    """

    def __init__(
        self, model: Any, pad_id: int, output: str = "logp", layout: Layout = "shared", logp_dtype: str = "float32"
    ) -> None:
        """`logp_dtype`: bfloat16 rounds each token's log-prob and their sum to it, as RPO's release does."""
        self.model, self.pad_id, self.output = model, pad_id, output
        self.layout: Layout = layout
        self.is_rounded = logp_dtype == "bfloat16"
        use_onednn(model)
        fuse(model)
        self.through: Callable[..., Any] = _alone
        if layout != "padded" and not can_pack(model):
            kind = model.config.get_text_config().model_type
            logging.getLogger(__name__).warning("%s: not known to be packed rightly, so its batches are padded", kind)
            self.layout = "padded"

    def __call__(self, sequences: Sequence[Tokens]) -> Tensor:
        """(S,) float32 or wider: log-probs in nats, summed over response tokens, EOS included; or rewards."""
        return self.through(self._values, sequences)

    def _values(self, sequences: Sequence[Tokens]) -> Tensor:
        values = [torch.empty(0, device=self.model.device)]  # of no sequences
        for packed in self._packed(sequences):
            hidden = hidden_states(self.model, packed)
            if self.output == "score":
                head = self.model.score
                scores = head(hidden[packed.ends].to(head.weight.dtype))[:, 0]  # wider where all but it is frozen
                values.append(scores.to(torch.promote_types(scores.dtype, torch.float32)))
            else:
                logps = self._logps(hidden[packed.logit_positions], packed.targets)
                values.append(self._rounded(summed(logps, packed.sequence_ids, len(packed.ends))))
        return torch.cat(values)[self._places(sequences)]

    def tokens(self, sequences: Sequence[Tokens], width: int) -> tuple[Tensor, Tensor]:
        """Log-probs (S, width) of the response tokens and hidden states (S, width, H), 0 where there is no such token.

        Position t stands for token t + 1 and the state before it; `width` is at least the longest length less one.
        """
        return self.through(partial(self._tokens, width=width), sequences)

    def _tokens(self, sequences: Sequence[Tokens], width: int) -> tuple[Tensor, Tensor]:
        logps, states = [], []
        for packed in self._packed(sequences):
            hidden = hidden_states(self.model, packed)[packed.logit_positions]
            at = packed.sequence_ids, packed.position_ids.flatten()[packed.logit_positions]
            found = self._logps(hidden, packed.targets)
            logps.append(found.new_zeros(len(packed.ends), width).index_put(at, found))
            states.append(hidden.new_zeros(len(packed.ends), width, hidden.shape[-1]).index_put(at, hidden))
        places = self._places(sequences)
        return torch.cat(logps)[places], torch.cat(states)[places]

    @torch.no_grad()  # no inference mode: what FSDP gathers weights in would be of no use to the next step
    def score_all(self, sequences: Sequence[Tokens], batch_size: int) -> Tensor:
        """(S,) of any number of sequences without gradient, `batch_size` at a time; results are in their order.

        Responses that share a prompt are best given side by side.
        """
        order = by_length(sequences) if self.layout == "padded" else range(len(sequences))
        values = torch.empty(len(sequences))
        was_training = self.model.training
        self.model.eval()
        for start in range(0, len(order), batch_size):
            rows = list(order[start : start + batch_size])
            values[rows] = self([sequences[row] for row in rows]).float().cpu()
        self.model.train(was_training)
        return values

    def score_pairs(self, pairs: Pairs, batch_size: int) -> Tensor:
        """(rows, 2) as `score_all`: chosen, then rejected."""
        sides = pairs.chosen, pairs.rejected
        in_turn = Lazy(2 * len(pairs.chosen), lambda i: sides[i % 2][i // 2])
        return self.score_all(in_turn, batch_size).view(len(pairs.chosen), 2)

    def _logps(self, hidden: Tensor, targets: Tensor) -> Tensor:
        head = self.model.get_output_embeddings()
        return self._rounded(token_logps(hidden, head.weight, targets, getattr(head, "bias", None)))

    def _rounded(self, logps: Tensor) -> Tensor:
        """utils.py:105-134: near −200 nats neighbours in bfloat16 are 1 apart."""
        return logps.bfloat16().to(logps.dtype) if self.is_rounded else logps

    def _packed(self, sequences: Sequence[Tokens]) -> Iterator[PackedTokens]:
        """What goes through the model at a time: all in one row, or a few of like length padded."""
        if self.layout != "padded":
            if sequences:
                yield pack(sequences, self.layout == "shared").to(self.model.device)
            return
        order = by_length(sequences)
        for start in range(0, len(order), SIDE_BY_SIDE):
            few = [sequences[number] for number in order[start : start + SIDE_BY_SIDE]]
            yield pad(few, self.pad_id).to(self.model.device)

    def _places(self, sequences: Sequence[Tokens]) -> Tensor:
        """(S,) where the value of each sequence stands among those of `_packed`, one after another."""
        order = by_length(sequences) if self.layout == "padded" else range(len(sequences))
        return torch.tensor(order, dtype=torch.long, device=self.model.device).argsort()
