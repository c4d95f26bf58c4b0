"""Length limits on token ids, as the released RPO code applies them (docs/protocol.md#truncation).

Knows nothing of tokenizers: a BOS counts if it is in `prompt_ids`; the caller adds EOS afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prefrepro.errors import UserError

Mode = Literal["keep_end", "keep_start"]


@dataclass(frozen=True, slots=True)
class TruncationFlags:
    """What was cut off one sequence."""

    is_prompt_cut: bool = False
    is_response_cut: bool = False
    tokens_dropped: int = 0


@dataclass(slots=True)
class TruncationCounts:
    """Sum of the flags over many sequences, for the run's manifest."""

    sequences: int = 0
    prompts_cut: int = 0
    responses_cut: int = 0
    tokens_dropped: int = 0

    def add(self, flags: TruncationFlags) -> None:
        self.sequences += 1
        self.prompts_cut += flags.is_prompt_cut
        self.responses_cut += flags.is_response_cut
        self.tokens_dropped += flags.tokens_dropped


def truncate(
    prompt_ids: Sequence[int],
    response_ids: Sequence[int],
    max_length: int,
    max_prompt_length: int,
    mode: Mode = "keep_end",
) -> tuple[list[int], list[int], TruncationFlags]:
    """Prompt and response ids, together at most `max_length` tokens.

    The prompt is cut to `max_prompt_length` only if both the whole and the prompt are too long: at its start
    with `keep_end`, at its end with `keep_start`. What is still too long is cut off the response's end.
    """
    if not 0 <= max_prompt_length < max_length:
        raise UserError(
            f"max_prompt_length is {max_prompt_length} and max_length {max_length}; "
            "expected 0 ≤ max_prompt_length < max_length, so that some room is left for a response."
        )
    prompt, response = list(prompt_ids), list(response_ids)
    total = len(prompt) + len(response)
    if total > max_length and len(prompt) > max_prompt_length:
        prompt = prompt[len(prompt) - max_prompt_length :] if mode == "keep_end" else prompt[:max_prompt_length]
    response = response[: max_length - len(prompt)]
    return (
        prompt,
        response,
        TruncationFlags(
            is_prompt_cut=len(prompt) < len(prompt_ids),
            is_response_cut=len(response) < len(response_ids),
            tokens_dropped=total - len(prompt) - len(response),
        ),
    )
