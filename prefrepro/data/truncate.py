"""Length limits on token ids: the one rule by which training, reference, embeddings, sampling and judge cut a prompt.

`cut_prompts` is the switch prompt_length of a paper (docs/protocol.md#truncation). A BOS counts if it is in
`prompt_ids`; the caller adds EOS afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from prefrepro.errors import UserError

Mode = Literal["keep_end", "keep_start"]
CutPrompts = Literal["always", "with_response"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Lengths in tokens (RPO Table 5: 512 and 256)."""

    max_length: int
    """Most tokens of prompt and response together."""
    max_prompt_length: int
    truncation_mode: Mode
    """keep_end | keep_start: which end of a prompt survives; the data set says."""
    cut_prompts: CutPrompts = "with_response"
    """always: a prompt has at most `max_prompt_length` tokens (RPO Table 5, Appendix D); with_response: a longer one
    is cut only where prompt and response exceed `max_length` (RPO dataloader.py:544, NCA data_utils.py:131)."""


LIMITS = ("max_length", "max_prompt_length", "truncation_mode", "cut_prompts")


def limits_of(values: Mapping[str, Any]) -> Limits:
    """The token limits among a spec's settings."""
    return Limits(*(values[name] for name in LIMITS))


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
    prompt_ids: Sequence[int], response_ids: Sequence[int], limits: Limits, longest: int | None = None
) -> tuple[list[int], list[int], TruncationFlags]:
    """Prompt and response ids, together at most `max_length` tokens.

    A prompt is cut first, as `limits.cut_prompts` says; what is still too long is cut off the response's end
    (RPO dataloader.py:544-555). `longest`: tokens of the longest response of a group, EOS included, which decides for
    all of them: they keep one prompt, and where it is still too long, `max_length − max_prompt_length` tokens each
    (NCA data_utils.py:129-144).
    """
    room = limits.max_length - limits.max_prompt_length
    if not 0 < room <= limits.max_length:
        raise UserError(
            f"max_prompt_length is {limits.max_prompt_length} and max_length {limits.max_length}; "
            "expected 0 ≤ max_prompt_length < max_length, so that some room is left for a response."
        )
    prompt, response = list(prompt_ids), list(response_ids)
    decisive = len(response) if longest is None else longest
    is_too_long = limits.cut_prompts == "always" or len(prompt) + decisive > limits.max_length
    if is_too_long and (excess := len(prompt) - limits.max_prompt_length) > 0:
        prompt = prompt[excess:] if limits.truncation_mode == "keep_end" else prompt[:-excess]
    if longest is None:
        response = response[: limits.max_length - len(prompt)]
    elif len(prompt) + longest > limits.max_length:
        response = response[:room]
    flags = TruncationFlags(
        is_prompt_cut=len(prompt) < len(prompt_ids),
        is_response_cut=len(response) < len(response_ids),
        tokens_dropped=len(prompt_ids) + len(response_ids) - len(prompt) - len(response),
    )
    return prompt, response, flags
