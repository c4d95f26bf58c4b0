"""Sizes of Llama-like models, lengths of HH-like pairs, and the floating-point operations that they need at least.

Plain arithmetic, without torch.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

FORWARD, BACKWARD = 1, 2
"""A backward pass costs two forward passes: gradients of inputs and of weights."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder with grouped queries and a gated MLP."""

    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int

    @property
    def body(self) -> int:
        """Weights that every token is multiplied with."""
        key_value = self.hidden_size * self.num_key_value_heads // self.num_attention_heads
        attention = 2 * self.hidden_size * (self.hidden_size + key_value)
        return self.num_hidden_layers * (attention + 3 * self.hidden_size * self.intermediate_size)

    @property
    def head(self) -> int:
        """Weights that a token is multiplied with where its logits are read."""
        return self.vocab_size * self.hidden_size

    def forward_flops(self, tokens: float, logits: float, attended: float) -> float:
        """Of one pass: `tokens` through the body, `logits` of them through the head, `attended` query-key pairs."""
        attention = 4 * self.num_hidden_layers * self.hidden_size * attended
        return 2 * self.body * tokens + 2 * self.head * logits + attention


SHAPES = {
    "tiny": Shape(2, 32, 64, 4, 2, 64),
    "1b": Shape(22, 2048, 5632, 32, 4, 32000),
    "7b": Shape(32, 4096, 11008, 32, 32, 32000),
    "mistral-7b": Shape(32, 4096, 14336, 32, 8, 32000),
    "13b": Shape(40, 5120, 13824, 40, 40, 32000),
}
"""tiny: for tests. 1b: TinyLlama's; 7b and 13b: Llama 2's."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of a prompt and of each of its responses."""

    prompt: int
    responses: tuple[int, ...]

    @property
    def separate(self) -> int:
        """Tokens where every response brings its prompt along."""
        return sum(self.prompt + response for response in self.responses)

    @property
    def unique(self) -> int:
        """Tokens where the prompt stands once."""
        return self.prompt + sum(self.responses)

    @property
    def attended(self) -> float:
        """Query-key pairs of the unique tokens: causal, and no response sees another."""
        own = _causal(self.prompt) + sum(_causal(response) for response in self.responses)
        return own + self.prompt * sum(self.responses)


def _causal(n: int) -> float:
    return n * (n + 1) / 2


HH = (109.5, 48.5)
"""Mean tokens of a prompt and of a response: a pair has 316 with its prompt twice, 206 once, 97 in its responses."""
SPREAD = 0.8
"""Standard deviation of the logarithm of a length. Assumed: dialogues differ by a factor of five and more."""
CAP = 512
"""RPO Table 5: tokens of prompt and response at most, half of them the prompt's."""


def draw_lengths(n: int, means: tuple[float, float] = HH, k: int = 2, seed: int = 0, cap: int = CAP) -> list[Lengths]:
    """n rows of k responses, lognormal; lengths over the cap are drawn again and the rest brought back to the means."""
    draw = random.Random(seed)

    def of(mean: float, longest: int, count: int) -> list[int]:
        at = math.log(mean) - SPREAD**2 / 2
        found = []
        while len(found) < count:
            value = draw.lognormvariate(at, SPREAD)
            if value <= longest:
                found.append(value)
        factor = mean * count / sum(found)
        return [max(2, min(longest, round(value * factor))) for value in found]

    prompts = of(means[0], max(cap // 2, math.ceil(1.3 * means[0])), n)
    responses = of(means[1], max(cap // 2, math.ceil(1.3 * means[1])), n * k)
    return [Lengths(prompt, tuple(responses[i * k : (i + 1) * k])) for i, prompt in enumerate(prompts)]


def padded_tokens(rows: Sequence[Lengths], batch: int) -> int:
    """Tokens that a trainer computes that pads each step's sequences of `batch` rows to the longest of them."""
    total = 0
    for start in range(0, len(rows), batch):
        sequences = [row.prompt + response for row in rows[start : start + batch] for response in row.responses]
        total += len(sequences) * max(sequences)
    return total


def step_flops(shape: Shape, rows: Sequence[Lengths]) -> float:
    """The bound: forward and backward pass of every unique token, logits of response tokens only."""
    tokens = sum(row.unique for row in rows)
    logits = sum(sum(row.responses) for row in rows)
    attended = sum(row.attended for row in rows)
    return (FORWARD + BACKWARD) * shape.forward_flops(tokens, logits, attended)
