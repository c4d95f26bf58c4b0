"""What a model says of a response: its summed log-prob, or one score.

Knows nothing of methods, optimisers or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from prefrepro.train.examples import Tokens, by_length, pad
from prefrepro.train.logps import response_logps, response_token_logps


class Policy:
    """A causal model read as log-probs, or a sequence classifier with one label read as scores."""

    def __init__(self, model: Any, pad_id: int, output: str = "logp") -> None:
        self.model, self.pad_id, self.output = model, pad_id, output
        if output == "score":  # transformers finds the last token by it, and Llama 2's config names none
            model.config.get_text_config().pad_token_id = pad_id

    def __call__(self, sequences: Sequence[Tokens]) -> Tensor:
        """(S,) float32: log-probs in nats, summed over response tokens, EOS included; or rewards."""
        if self.output == "score":
            batch, device = pad(sequences, self.pad_id), self.model.device
            ids, mask = batch.input_ids.to(device), batch.attention_mask.to(device)
            return self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, 0].float()
        hidden, weight, labels, bias = self._read(sequences)
        return response_logps(hidden, weight, labels, bias)

    def tokens(self, sequences: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
        """Log-probs (S, T-1) of the response tokens, 0 elsewhere, and hidden states (S, T-1, H).

        Position t stands for token t + 1 and the state before it; T is the longest sequence's length.
        """
        hidden, weight, labels, bias = self._read(sequences)
        return response_token_logps(hidden, weight, labels, bias), hidden[:, :-1]

    def _read(self, sequences: Sequence[Tokens]) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Hidden states, the head's weight, labels and the head's bias."""
        batch, device = pad(sequences, self.pad_id), self.model.device
        ids, mask = batch.input_ids.to(device), batch.attention_mask.to(device)
        hidden = self.model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        head = self.model.get_output_embeddings()
        return hidden, head.weight, batch.labels.to(device), getattr(head, "bias", None)

    @torch.inference_mode()
    def score_all(self, sequences: Sequence[Tokens], batch_size: int) -> Tensor:
        """(S,) of any number of sequences without gradient; batches are sorted by length, results are not."""
        order = by_length(sequences)
        values = torch.empty(len(sequences))
        was_training = self.model.training
        self.model.eval()
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            values[rows] = self([sequences[row] for row in rows]).float().cpu()
        self.model.train(was_training)
        return values
