"""Canonical rows, the checks each row passes, and the counts that end in the data manifest."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from prefrepro.data.template import TAGS, Message, prompt_id
from prefrepro.errors import UserError

LOCATIONS_KEPT = 5
OnBadRow = Literal["stop", "skip"]
Reading = Literal["paper", "code"]
BLANKS = re.compile(r"[ \t]{2,}")
Note = Callable[[str], None]
"""note(name): count `name` at the row in hand."""


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """One comparison of two completions of one prompt."""

    prompt: list[Message]
    chosen: str
    rejected: str

    @property
    def prompt_id(self) -> str:
        return prompt_id(self.prompt)


@dataclass(frozen=True, slots=True)
class RankedRow:
    """K ≥ 2 completions of one prompt, a score each; higher is better."""

    prompt: list[Message]
    completions: list[str]
    scores: list[float]
    preferences: list[list[int]] | None = None
    """[better, worse] places of completions that somebody compared; None: there are scores alone"""

    @property
    def prompt_id(self) -> str:
        return prompt_id(self.prompt)


Row = TypeVar("Row", bound=PreferenceRow | RankedRow)
Parse = Callable[[dict[str, Any], Note], Row | None]
"""(record, note) -> row, or None where the row is left out, which `note` counts; raises BadRow."""


class BadRow(Exception):
    """One row is not what it should be; it becomes a UserError or a count."""


@dataclass(slots=True)
class Counts:
    """What happened to the rows of one load, by name, with the first places where it happened.

    `rows` were handed on, `bad_rows` were skipped, `duplicate_prompts` repeat the prompt of an earlier row;
    the other names belong to the loaders.
    """

    by_name: Counter[str] = field(default_factory=Counter)
    first_locations: dict[str, list[str]] = field(default_factory=dict)
    prompt_ids: set[bytes] = field(default_factory=set)

    def __getitem__(self, name: str) -> int:
        return self.by_name[name]

    def note(self, name: str, where: str) -> None:
        """Count `name` once, and keep `where` if it is one of the first five."""
        self.by_name[name] += 1
        places = self.first_locations.setdefault(name, [])
        if len(places) < LOCATIONS_KEPT:
            places.append(where)

    def row(self, row: PreferenceRow | RankedRow, where: str) -> None:
        """Count one row that is handed on, and whether its prompt was seen before."""
        self.by_name["rows"] += 1
        identity = bytes.fromhex(row.prompt_id)  # half of the memory of a million ids
        if identity in self.prompt_ids:
            self.note("duplicate_prompts", where)
        self.prompt_ids.add(identity)

    def manifest(self) -> dict[str, Any]:
        """JSON-ready: every count, unique prompts, and the first locations of all that was irregular."""
        counts = {"bad_rows": 0, **self.by_name, "unique_prompts": len(self.prompt_ids)}
        return {"counts": dict(sorted(counts.items())), "first_locations": dict(self.first_locations)}


def refuse(where: str, problem: str, on_bad_row: OnBadRow, counts: Counts) -> None:
    """Stop with a UserError, or count the row among `bad_rows`."""
    if on_bad_row == "skip":
        counts.note("bad_rows", f"{where}: {problem}")
    else:
        raise UserError(f"{where}: {problem}. Mend the row, or set on_bad_row: skip to leave out and count such rows.")


def checked_rows(
    records: Iterable[tuple[int, dict[str, Any]]],
    source: str,
    parse: Parse[Row],
    on_bad_row: OnBadRow,
    counts: Counts,
) -> Iterator[Row]:
    """Yield the rows that `parse` makes of numbered records."""
    for number, record in records:
        where = f"{source}, line {number}"
        try:
            row = parse(record, functools.partial(counts.note, where=where))
        except BadRow as bad:
            refuse(where, str(bad), on_bad_row, counts)
            continue
        if row is not None:
            counts.row(row, where)
            yield row


def parse_preference(record: dict[str, Any], note: Note) -> PreferenceRow | None:
    """A row of the columns `prompt`, `chosen`, `rejected`, as text or in TRL's conversational form.

    A pair whose two scores (`score_chosen`, `score_rejected`, here or in `metadata`) are equal prefers neither
    response: it is left out and counted.
    """
    prompt = prompt_column(record)
    beside = record.get("metadata") if "score_chosen" not in record else record
    if isinstance(beside, dict) and beside.get("score_chosen") == beside.get("score_rejected", math.nan):
        note("equal_scores_left_out")
        return None
    chosen, rejected = (completion_column(record, side, prompt) for side in ("chosen", "rejected"))
    return preference_row(prompt, chosen, rejected, note)


def parse_ranked(record: dict[str, Any], note: Note) -> RankedRow:
    """A row of the columns `prompt`, `completions`, `scores` and, where it is there, `preferences`."""
    prompt = prompt_column(record)
    completions, scores = (column(record, name) for name in ("completions", "scores"))
    if not (isinstance(completions, list) and isinstance(scores, list)):
        raise BadRow('expected lists in "completions" and "scores"')
    if len(completions) != len(scores) or len(scores) < 2:
        raise BadRow(f"{len(completions)} completions, {len(scores)} scores; expected as many, at least 2")
    values = [number(score, "scores") for score in scores]
    texts = [text(completion, "completions") for completion in completions]
    for completion in texts:
        if not completion.strip():
            note("empty_completion")
    pairs, places = record.get("preferences"), range(len(texts))
    if pairs is not None and not (isinstance(pairs, list) and all(_is_pair(pair, places) for pair in pairs)):
        raise BadRow(f'"preferences" holds {pairs!r:.40}; expected pairs [better, worse] of places from 0')
    return RankedRow(prompt, texts, values, pairs)


def _is_pair(pair: Any, places: range) -> bool:
    is_two = isinstance(pair, list) and len(pair) == 2 and all(type(place) is int for place in pair)
    return is_two and pair[0] != pair[1] and all(place in places for place in pair)


def preference_row(prompt: list[Message], chosen: str, rejected: str, note: Note) -> PreferenceRow:
    """A comparison, with what is odd but usable about it noted."""
    if not any(message["content"].strip() for message in prompt):
        note("empty_prompt")
    if not chosen.strip():
        note("empty_chosen")
    if not rejected.strip():
        note("empty_rejected")
    if chosen == rejected:
        note("chosen_equals_rejected")
    return PreferenceRow(prompt, chosen, rejected)


def column(record: dict[str, Any], name: str) -> Any:
    """The value under `name`; raises BadRow where the column is missing."""
    if name not in record:
        raise BadRow(f'column "{name}" is missing; found {", ".join(sorted(record)) or "no column"}')
    return record[name]


def text(value: Any, name: str) -> str:
    """`value` as text that UTF-8 can hold; raises BadRow for anything else."""
    if not isinstance(value, str):
        raise BadRow(f'"{name}" holds {_kind(value)}; expected text')
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRow(f'"{name}" holds half of a surrogate pair at character {error.start}') from None
    return value


def number(value: Any, name: str) -> float:
    """`value` as a finite number; raises BadRow for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e308:
        raise BadRow(f'"{name}" holds {value!r:.40}; expected a finite number')
    return float(value)


def one_blank(value: str) -> str:
    """Runs of spaces and tabs as one space (released RPO code: dataloader.py:57-63)."""
    return BLANKS.sub(" ", value)


def prompt_column(record: dict[str, Any]) -> list[Message]:
    """`prompt` as messages; a string is one user message."""
    value = column(record, "prompt")
    if isinstance(value, str):
        return [{"role": "user", "content": text(value, "prompt")}]
    messages = _messages(value, "prompt")
    if not messages:
        raise BadRow('"prompt" holds no message; expected at least one')
    return messages


def completion_column(record: dict[str, Any], name: str, prompt: list[Message]) -> str:
    """`chosen` or `rejected` as text, or as TRL's list of one assistant message (or prompt and message)."""
    value = column(record, name)
    if not isinstance(value, list):
        return text(value, name)
    messages = _messages(value, name)
    if not messages or messages[-1]["role"] != "assistant":
        raise BadRow(f'"{name}" does not end with an assistant message; expected text or one assistant message')
    if messages[:-1] not in ([], prompt):
        raise BadRow(f'"{name}" holds {len(messages)} messages whose beginning is not the prompt')
    return messages[-1]["content"]


def _messages(value: Any, name: str) -> list[Message]:
    if not isinstance(value, list):
        raise BadRow(f'"{name}" holds {_kind(value)}; expected text or a list of messages')
    messages = []
    for message in value:
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            raise BadRow(f'"{name}" holds {message!r:.60}; expected messages with "role" and "content"')
        if message["role"] not in list(TAGS):  # a list, because any JSON value may stand there
            raise BadRow(f'"{name}" holds a message of role {message["role"]!r:.40}; expected {", ".join(TAGS)}')
        messages.append({"role": message["role"], "content": text(message["content"], name)})
    return messages


def _kind(value: Any) -> str:
    names = {bool: "true or false", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), "a number")
