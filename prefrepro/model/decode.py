"""What a causal model answers to token ids, and what ends an answer: EOS, a role tag, or no room.

The rules that samples for a judge and rollouts of a policy share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationConfig

from prefrepro.data.template import TAGS

ROLE_TAGS = tuple(tag.strip() for tag in TAGS.values())
StopAt = Literal["role_tag", "eos"]
"""What ends an answer: EOS or a role tag, or, as in RPO's release (trainers.py:199-206), EOS alone."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One response of a model."""

    ids: list[int]
    """As sampled, with the token that ended it."""
    text: str
    """As a judge reads it, without what ended it."""
    tokens: int
    """Without an EOS or role tag of one token that ended it"""
    finish: str
    """eos | role_tag | length"""


def cut_at_role_tag(text: str) -> tuple[str, bool]:
    """The text before the first role tag, and whether there was one: a model must not play the user too."""
    places = [place for tag in ROLE_TAGS if (place := text.find(tag)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


def sampling_arguments(temperature: float, top_p: float) -> dict[str, Any]:
    """Arguments of transformers' `generate`: greedy at temperature 0; nothing is left to a checkpoint's defaults."""
    if temperature == 0:
        return {"do_sample": False}
    return {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}


def decode(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    room: int,
    max_length: int,
    arguments: dict[str, Any],
    stop_at: StopAt = "role_tag",
) -> list[Answer]:
    """Answers to a batch of prompts, of up to `room` tokens, `max_length` with the prompt. Prompts are padded left.

    The checkpoint's generation_config.json is not followed: Qwen's instruct models have a repetition penalty there.
    """
    rows = [torch.tensor(prompt, dtype=torch.long) for prompt in prompts]
    ids = pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id, padding_side="left")
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_side="left")
    stops, used = stop_ids(tokenizer, stop_at), list(map(len, prompts))
    own, model.generation_config = model.generation_config, GenerationConfig()  # generate fills gaps from it
    try:
        out = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=min(room, max_length - min(used)),
            eos_token_id=stops,
            pad_token_id=tokenizer.pad_token_id,
            synced_gpus=False,  # ranks answer prompts of their own: none waits for another's last token
            **arguments,
        )
    finally:
        model.generation_config = own
    # A short prompt leaves more room than its batch's longest: each response has its own.
    sampled = zip(out[:, ids.shape[1] :].tolist(), used, strict=True)
    return [answer_of(tokenizer, own[: min(room, max_length - taken)], stops, stop_at) for own, taken in sampled]


def stop_ids(tokenizer: Any, stop_at: StopAt = "role_tag") -> list[int]:
    """EOS, and every role tag that is one token of this tokenizer, unless EOS alone ends an answer."""
    if stop_at == "eos":
        return [tokenizer.eos_token_id]
    tags = [tokenizer(tag, add_special_tokens=False)["input_ids"] for tag in ROLE_TAGS]
    return [tokenizer.eos_token_id, *(ids[0] for ids in tags if len(ids) == 1)]


def answer_of(tokenizer: Any, ids: list[int], stops: list[int], stop_at: StopAt = "role_tag") -> Answer:
    """The answer in the tokens that a model gave, of which nothing counts after the first of `stops`."""
    end = next((place for place, token in enumerate(ids) if token in stops), None)
    kept = ids if end is None else ids[:end]
    text, had_tag = tokenizer.decode(kept, skip_special_tokens=True), False
    if stop_at == "role_tag":
        text, had_tag = cut_at_role_tag(text)
    sampled = ids if end is None else ids[: end + 1]
    if had_tag:  # of several tokens: nothing that comes after it was an answer
        texts = (tokenizer.decode(kept[:n], skip_special_tokens=True) for n in range(1, len(kept) + 1))
        sampled = kept[: next(n for n, part in enumerate(texts, 1) if cut_at_role_tag(part)[1])]
    finish = "role_tag" if had_tag or (end is not None and ids[end] != tokenizer.eos_token_id) else "eos"
    return Answer(sampled, text.strip(), len(kept), "length" if end is None and not had_tag else finish)
