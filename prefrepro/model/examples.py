"""Rows of text as token ids: encode, truncate, count.

Limits on lengths: data/truncate.py.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from torch import Tensor

from prefrepro.data import select as selection
from prefrepro.data import template
from prefrepro.data import truncate as truncation
from prefrepro.data.select import best_first, draw_responses, select_pairs
from prefrepro.data.template import adds_bos, render_for
from prefrepro.data.truncate import Limits, TruncationCounts, truncate
from prefrepro.errors import UserError
from prefrepro.model import token_file
from prefrepro.model.token_file import Lazy, Tokens, on_disk

AT_A_TIME = 1024
"""Rows whose text is in memory at once."""
LARGE = 2**22
"""Bytes of a file of rows, some 4,000 of them, whose token ids are kept beside it for other jobs."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """The encoded preference pairs of one split, in file order; index i is row i everywhere."""

    chosen: Sequence[Tokens]
    rejected: Sequence[Tokens]
    prompt_ids: list[str]
    """prompt_id of each row"""
    counts: dict[str, int]
    """What truncation did: prompts_cut, responses_cut, tokens_dropped"""


@dataclass(frozen=True, slots=True)
class Groups:
    """The encoded groups of scored responses of one split, in file order; a group's best response comes first."""

    responses: Sequence[Sequence[Tokens]]
    scores: list[list[float]]
    prompt_ids: list[str]
    counts: dict[str, int]

    @property
    def width(self) -> int:
        """K: responses of the largest group."""
        return max(map(len, self.scores), default=0)

    @property
    def flat(self) -> Sequence[Tokens]:
        """Every response, group by group."""
        places = [(row, place) for row, scores in enumerate(self.scores) for place in range(len(scores))]
        return Lazy(len(places), lambda i: self.responses[places[i][0]][places[i][1]])


class RowFile:
    """The rows of a JSONL file that this package wrote: read anew whenever they are gone through, one after another."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self._path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)

    def __len__(self) -> int:
        with self._path.open("rb") as file:
            return sum(1 for _ in file)

    def kept(self, tokenizer: Any, limits: Limits, what: str = "") -> Path | None:
        """Where the token ids of these rows are kept. The name says what they are made of: text, tokenizer with its
        chat template, limits, our code and the packages'. None: they are made anew, which takes a few seconds.

        `what` is made of the rows, where it is not they themselves.
        """
        if self._path.stat().st_size < LARGE or not getattr(tokenizer, "is_fast", False):
            return None
        with self._path.open("rb") as file:
            text = hashlib.file_digest(file, "sha256").hexdigest()
        sample = "".join(tokenizer.all_special_tokens) + " a\n"
        code = [Path(module.__file__ or "").read_bytes() for module in (template, truncation, selection, token_file)]
        made_of = [
            text, asdict(limits), tokenizer.backend_tokenizer.to_str(), tokenizer.chat_template,
            tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer(sample)["input_ids"],
            tokenizer(sample, add_special_tokens=False)["input_ids"], transformers.__version__, tokenizers.__version__,
            *map(zlib.crc32, [*code, Path(__file__).read_bytes()]),
        ]  # fmt: skip
        digest = hashlib.sha256(json.dumps([what, *made_of]).encode()).hexdigest()
        return self._path.with_name(f".{self._path.stem}-{digest[:32]}.tokens")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of such a file at once, where they are known to be few."""
    return list(RowFile(path))


def is_ranked(rows: Iterable[dict[str, Any]]) -> bool:
    """Whether rows are groups of scored responses, not pairs."""
    return "completions" in next(iter(rows), {})


def encode(
    tokenizer: Any,
    prompts: Sequence[str],
    responses: Sequence[str],
    limits: Limits,
    counts: TruncationCounts,
    *,
    is_group: bool = False,
) -> list[Tokens]:
    """Token ids of prompt/response texts. The tokenizer adds its BOS to the prompt; EOS closes the response.

    `is_group`: they are the responses to one prompt, of which the longest decides what is cut.
    """
    unique = list(dict.fromkeys(prompts))
    prompt_ids = dict(zip(unique, tokenizer(unique)["input_ids"], strict=True)) if unique else {}
    answers = tokenizer(list(responses), add_special_tokens=False)["input_ids"] if responses else []
    longest = max(map(len, answers), default=0) + 1 if is_group else None
    encoded, has_bos = [], adds_bos(tokenizer)
    for prompt, answer in zip(prompts, answers, strict=True):
        short_prompt, short_answer, flags = truncate(prompt_ids[prompt], answer, limits, longest)
        counts.add(flags)
        if flags.is_prompt_cut and short_prompt and has_bos:
            short_prompt[0] = tokenizer.bos_token_id  # keep_end cut it off; the released code tokenises anew, with BOS
        encoded.append(Tokens(short_prompt, [*short_answer, tokenizer.eos_token_id]))
    return encoded


def encode_pairs(rows: Iterable[dict[str, Any]], tokenizer: Any, limits: Limits, kept: Path | None = None) -> Pairs:
    """Chosen and rejected of each row, cut apart from each other as the released code does (dataloader.py:921-923).

    Rows are taken a few at a time, and their tokens wait on disk: a data set of any size takes little memory. Those of
    a large file are made once for all jobs; `kept`: where, of rows made of a file's (`RowFile.kept`).
    """
    kept = rows.kept(tokenizer, limits) if isinstance(rows, RowFile) else kept
    counts, prompt_ids, waiting = TruncationCounts(), [], iter(rows)

    def sequences() -> Iterator[Tokens]:
        while some := list(islice(waiting, AT_A_TIME)):
            prompt_ids.extend(row["prompt_id"] for row in some)
            prompts = [render_for(tokenizer, row["prompt"]) for row in some]
            chosen = encode(tokenizer, prompts, [row["chosen"] for row in some], limits, counts)
            rejected = encode(tokenizer, prompts, [row["rejected"] for row in some], limits, counts)
            yield from chain.from_iterable(zip(chosen, rejected, strict=True))

    both, facts = on_disk(sequences(), lambda: {"prompt_ids": prompt_ids, "counts": asdict(counts)}, kept)
    n = len(facts["prompt_ids"])
    return Pairs(Lazy(n, lambda i: both[2 * i]), Lazy(n, lambda i: both[2 * i + 1]), **facts)


def mismatched(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each row's prompt with the responses of the next row that has another prompt: what KTO estimates its KL on.

    The released code takes the next response of the shuffled batch (dataloader.py:868-875). Here the partner is fixed
    for each row, so that its reference log-probs can be computed once; the last rows take the first of another prompt.
    `rows` is gone through twice. Raises UserError where all rows have one prompt.
    """
    waiting: list[dict[str, Any]] = []
    for row in rows:
        if waiting and row["prompt_id"] != waiting[0]["prompt_id"]:
            yield from _answered_by(row, waiting)
            waiting = []
        waiting.append(row)
    if waiting:
        others = (row for row in rows if row["prompt_id"] != waiting[0]["prompt_id"])
        if (first := next(others, None)) is None:
            raise UserError(
                f"all {len(waiting)} training rows have one prompt, {waiting[0]['prompt_id'][:12]}; expected at least "
                "two prompts, since the method wants a response to another prompt for each row. Give more data"
            )
        yield from _answered_by(first, waiting)


def _answered_by(other: dict[str, Any], rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (row | {side: other[side] for side in ("chosen", "rejected")} for row in rows)


def encode_groups(rows: Iterable[dict[str, Any]], tokenizer: Any, limits: Limits) -> Groups:
    """Every response of each row {prompt_id, prompt, completions, scores}, the best first; equals keep their order.

    Their tokens wait on disk, as those of pairs.
    """
    kept = rows.kept(tokenizer, limits) if isinstance(rows, RowFile) else None
    scores, prompt_ids, counts = [], [], TruncationCounts()

    def sequences() -> Iterator[Tokens]:
        for row in rows:
            order = best_first(row["scores"])
            texts = [row["completions"][place] for place in order]
            prompts = [render_for(tokenizer, row["prompt"])] * len(texts)
            yield from encode(tokenizer, prompts, texts, limits, counts, is_group=True)
            scores.append([row["scores"][place] for place in order])
            prompt_ids.append(row["prompt_id"])

    every, facts = on_disk(
        sequences(), lambda: {"scores": scores, "prompt_ids": prompt_ids, "counts": asdict(counts)}, kept
    )
    ends = [0, *accumulate(map(len, facts["scores"]))]
    return Groups(Lazy(len(ends) - 1, lambda i: every[ends[i] : ends[i + 1]]), **facts)


def fewer_responses(groups: Groups, k: int, seed: int, reference: Tensor | None) -> tuple[Groups, Tensor | None]:
    """`k` responses of each group, and their (groups, k) part of the groups' (groups, K) reference log-probs.

    Which ones is drawn for each prompt (data/select.py). Where a group has fewer, the last columns stand for nothing.
    """
    drawn = [
        draw_responses(len(scores), k, f"{seed}/{name}")
        for scores, name in zip(groups.scores, groups.prompt_ids, strict=True)
    ]
    scores = [[own[place] for place in places] for own, places in zip(groups.scores, drawn, strict=True)]
    responses = Lazy(len(drawn), lambda i: [groups.responses[i][place] for place in drawn[i]])
    fewer = Groups(responses, scores, groups.prompt_ids, groups.counts)
    if reference is None or not drawn:
        return fewer, reference
    at = torch.tensor([places + [0] * (fewer.width - len(places)) for places in drawn])
    return fewer, reference.gather(1, at)


def places_of_pairs(
    scores: Sequence[Sequence[float]], prompt_ids: Sequence[str], selection: str, seed: int
) -> list[tuple[int, int, int]]:
    """(group, better, worse) of each pair selected from groups; places as `encode_groups` orders the responses."""
    return [
        (number, better, worse)
        for number, own in enumerate(scores)
        for better, worse in select_pairs(own, selection, f"{seed}/{prompt_ids[number]}")
    ]


def pairs_of_groups(groups: Groups, selection: str, seed: int, reference: Tensor | None) -> tuple[Pairs, Tensor | None]:
    """Pairs selected from groups, and their (rows, 2) part of the groups' (groups, K) reference log-probs."""
    places = places_of_pairs(groups.scores, groups.prompt_ids, selection, seed)
    prompt_ids = [groups.prompt_ids[number] for number, _, _ in places]

    def side(number: int) -> Lazy[Tokens]:
        return Lazy(len(places), lambda i: groups.responses[places[i][0]][places[i][number]])

    pairs = Pairs(side(1), side(2), prompt_ids, groups.counts)
    if reference is None or not places:
        return pairs, reference
    at = torch.tensor(places)
    return pairs, torch.stack([reference[at[:, 0], at[:, 1]], reference[at[:, 0], at[:, 2]]], dim=1)


def by_length(sequences: Sequence[Tokens]) -> list[int]:
    """Positions of the sequences, shortest first; equal lengths in their order."""
    return sorted(range(len(sequences)), key=lambda i: len(sequences[i].prompt_ids) + len(sequences[i].response_ids))
