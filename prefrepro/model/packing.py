"""Which token of which sequence stands where in what a model reads: a rectangle, or one row without padding.

In such a row a prompt may stand once for all its responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from prefrepro.model.examples import Tokens

MIN_SHARED = 8
"""Tokens. A shorter prompt costs less to encode again than to share: a BOS alone would join all texts to one block."""


@dataclass(frozen=True, slots=True)
class Block:
    """Tokens that may see each other: a prompt, and after it its responses, which do not see one another."""

    prompt: int
    """Length in tokens; that of the whole sequence where nothing is shared."""
    responses: tuple[int, ...]
    """Lengths; empty where nothing is shared."""

    def __len__(self) -> int:
        return self.prompt + sum(self.responses)


@dataclass(frozen=True, slots=True)
class PackedTokens:
    """S sequences as R rows of T tokens, N of which are response tokens. Places count through all rows."""

    input_ids: Tensor
    """(R, T)"""
    position_ids: Tensor
    """(R, T) as in the sequence alone: every response goes on where its prompt ends"""
    logit_positions: Tensor
    """(N,) places whose hidden state predicts a response token"""
    targets: Tensor
    """(N,) that token"""
    sequence_ids: Tensor
    """(N,) the number of its sequence"""
    ends: Tensor
    """(S,) place of the last token of each sequence"""
    attention_mask: Tensor | None = None
    """(R, T), 1 = token, of padded rows"""
    blocks: tuple[Block, ...] = ()
    """Parts of a packed row; one after another they are the row"""

    def to(self, device: torch.device) -> PackedTokens:
        names = ("input_ids", "position_ids", "logit_positions", "targets", "sequence_ids", "ends", "attention_mask")
        moved = {name: getattr(self, name) for name in names}
        return replace(self, **{n: t.to(device, non_blocking=True) for n, t in moved.items() if t is not None})


def pad(sequences: Sequence[Tokens], pad_id: int) -> PackedTokens:
    """A row each, padded on the right to the longest."""
    width = max(len(s.prompt_ids) + len(s.response_ids) for s in sequences)
    ids = torch.full((len(sequences), width), pad_id)
    mask = torch.zeros_like(ids)
    logit_positions: list[int] = []
    targets: list[int] = []
    sequence_ids: list[int] = []
    ends = []
    for row, sequence in enumerate(sequences):
        tokens, skipped = sequence.prompt_ids + sequence.response_ids, max(len(sequence.prompt_ids), 1)
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
        logit_positions += range(row * width + skipped - 1, row * width + len(tokens) - 1)
        targets += tokens[skipped:]
        sequence_ids += [row] * (len(tokens) - skipped)
        ends.append(row * width + len(tokens) - 1)
    positions = torch.arange(width).expand_as(ids)
    return PackedTokens(
        ids, positions, *map(torch.tensor, (logit_positions, targets, sequence_ids, ends)), attention_mask=mask
    )


def by_prompt(sequences: Sequence[Tokens]) -> list[list[int]]:
    """Numbers of the sequences that share an encoded prompt, in the order of each prompt's first."""
    found: dict[object, list[int]] = {}
    for number, sequence in enumerate(sequences):
        is_shared = len(sequence.prompt_ids) >= MIN_SHARED
        found.setdefault(tuple(sequence.prompt_ids) if is_shared else number, []).append(number)
    return list(found.values())


def pack(sequences: Sequence[Tokens], share_prompts: bool = True) -> PackedTokens:
    """One row without padding; sequences of one prompt stand together where prompts are shared."""
    ids: list[int] = []
    positions: list[int] = []
    logit_positions: list[int] = []
    targets: list[int] = []
    sequence_ids: list[int] = []
    ends, blocks = [0] * len(sequences), []
    for numbers in by_prompt(sequences) if share_prompts else [[number] for number in range(len(sequences))]:
        prompt, lengths = sequences[numbers[0]].prompt_ids, []
        ids += prompt
        positions += range(len(prompt))
        last = len(ids) - 1
        for number in numbers:
            response, start = sequences[number].response_ids, len(ids)
            ids += response
            positions += range(len(prompt), len(prompt) + len(response))
            predicted = response if prompt else response[1:]
            logit_positions += (
                [last, *range(start, start + len(response) - 1)] if prompt else range(start, len(ids) - 1)
            )
            targets += predicted
            sequence_ids += [number] * len(predicted)
            ends[number] = len(ids) - 1
            lengths.append(len(response))
        is_plain = len(numbers) == 1
        blocks.append(Block(len(prompt) + sum(lengths), ()) if is_plain else Block(len(prompt), tuple(lengths)))
    found = map(torch.tensor, ([ids], [positions], logit_positions, targets, sequence_ids, ends))
    return PackedTokens(*found, blocks=tuple(blocks))
