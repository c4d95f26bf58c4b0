"""Rows of text as token ids: encode, truncate, count.

Knows nothing of methods, losses or models. Truncation: PROTOCOL of the released code, see data/truncate.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefrepro.data.select import select_pairs
from prefrepro.data.template import render_for
from prefrepro.data.truncate import Mode, TruncationCounts, truncate


@dataclass(frozen=True, slots=True)
class Limits:
    """Lengths in tokens (RPO Table 5: 512 and 256)."""

    max_length: int
    max_prompt_length: int
    truncation_mode: Mode
    """keep_end | keep_start: which end of a prompt survives."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """One prompt and one response; `response_ids` ends with EOS."""

    prompt_ids: list[int]
    response_ids: list[int]


@dataclass(frozen=True, slots=True)
class Pairs:
    """The encoded preference pairs of one split, in file order; index i is row i everywhere."""

    chosen: list[Tokens]
    rejected: list[Tokens]
    prompt_ids: list[str]
    """prompt_id of each row"""
    counts: dict[str, int]
    """What truncation did: prompts_cut, responses_cut, tokens_dropped"""


@dataclass(frozen=True, slots=True)
class Groups:
    """The encoded groups of scored responses of one split, in file order; a group's best response comes first."""

    responses: list[list[Tokens]]
    scores: list[list[float]]
    prompt_ids: list[str]
    counts: dict[str, int]

    @property
    def width(self) -> int:
        """K: responses of the largest group."""
        return max(map(len, self.responses), default=0)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file that this package wrote."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def is_ranked(rows: Sequence[dict[str, Any]]) -> bool:
    """Whether rows are groups of scored responses, not pairs."""
    return bool(rows) and "completions" in rows[0]


def encode(
    tokenizer: Any, prompts: Sequence[str], responses: Sequence[str], limits: Limits, counts: TruncationCounts
) -> list[Tokens]:
    """Token ids of prompt/response texts. The tokenizer adds its BOS to the prompt; EOS closes the response."""
    unique = list(dict.fromkeys(prompts))
    prompt_ids = dict(zip(unique, tokenizer(unique)["input_ids"], strict=True)) if unique else {}
    answers = tokenizer(list(responses), add_special_tokens=False)["input_ids"] if responses else []
    encoded = []
    for prompt, answer in zip(prompts, answers, strict=True):
        short_prompt, short_answer, flags = truncate(
            prompt_ids[prompt], answer, limits.max_length, limits.max_prompt_length, limits.truncation_mode
        )
        counts.add(flags)
        if flags.is_prompt_cut and short_prompt and prompt_ids[prompt][0] == tokenizer.bos_token_id:
            short_prompt[0] = tokenizer.bos_token_id  # keep_end cut it off; the released code tokenises anew, with BOS
        encoded.append(Tokens(short_prompt, [*short_answer, tokenizer.eos_token_id]))
    return encoded


def encode_pairs(rows: Iterable[dict[str, Any]], tokenizer: Any, limits: Limits) -> Pairs:
    """Chosen and rejected of each row, truncated apart from each other as the released code does."""
    rows = list(rows)
    counts = TruncationCounts()
    prompts = [render_for(tokenizer, row["prompt"]) for row in rows]
    return Pairs(
        chosen=encode(tokenizer, prompts, [row["chosen"] for row in rows], limits, counts),
        rejected=encode(tokenizer, prompts, [row["rejected"] for row in rows], limits, counts),
        prompt_ids=[row["prompt_id"] for row in rows],
        counts=asdict(counts),
    )


def mismatched(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each row's prompt with the responses of the next row: what KTO estimates its KL on.

    The released code takes the next response of the batch (dataloader.py:868-875). Here the partner is fixed for each
    row, so that its reference log-probs can be computed once.
    """
    partners = [*rows[1:], *rows[:1]]
    return [
        row | {side: other[side] for side in ("chosen", "rejected")} for row, other in zip(rows, partners, strict=True)
    ]


def encode_groups(rows: Iterable[dict[str, Any]], tokenizer: Any, limits: Limits) -> Groups:
    """Every response of each row {prompt_id, prompt, completions, scores}, the best first; equals keep their order."""
    groups, scores, prompt_ids, counts = [], [], [], TruncationCounts()
    for row in rows:
        order = sorted(range(len(row["scores"])), key=lambda place: -row["scores"][place])
        texts = [row["completions"][place] for place in order]
        groups.append(encode(tokenizer, [render_for(tokenizer, row["prompt"])] * len(texts), texts, limits, counts))
        scores.append([row["scores"][place] for place in order])
        prompt_ids.append(row["prompt_id"])
    return Groups(groups, scores, prompt_ids, asdict(counts))


def pairs_of_groups(groups: Groups, selection: str, seed: int, reference: Tensor | None) -> tuple[Pairs, Tensor | None]:
    """Pairs selected from groups, and their (rows, 2) part of the groups' (groups, K) reference log-probs."""
    chosen, rejected, prompt_ids, places = [], [], [], []
    for number, (responses, scores) in enumerate(zip(groups.responses, groups.scores, strict=True)):
        for better, worse in select_pairs(scores, selection, f"{seed}/{groups.prompt_ids[number]}"):
            chosen.append(responses[better])
            rejected.append(responses[worse])
            prompt_ids.append(groups.prompt_ids[number])
            places.append((number, better, worse))
    pairs = Pairs(chosen, rejected, prompt_ids, groups.counts)
    if reference is None or not places:
        return pairs, reference
    at = torch.tensor(places)
    return pairs, torch.stack([reference[at[:, 0], at[:, 1]], reference[at[:, 0], at[:, 2]]], dim=1)


def by_length(sequences: Sequence[Tokens]) -> list[int]:
    """Positions of the sequences, shortest first; equal lengths in their order."""
    return sorted(range(len(sequences)), key=lambda i: len(sequences[i].prompt_ids) + len(sequences[i].response_ids))
