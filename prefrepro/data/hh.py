"""Anthropic's helpful and harmless comparisons (Bai et al., 2022), as released: two transcripts a row.

Two readings (docs/protocol.md#data). Both take the whole history as prompt, cut the rejected text where the
chosen prompt ends, find turns wherever `Human:` or `Assistant:` stands before a blank, and make runs of
spaces and tabs one space, as the released RPO code does. They differ in two points:

| reading | rejected text does not begin with the chosen prompt | the last answer begins after |
|---|---|---|
| paper | the row is left out: its rejected response answers another prompt | the last `\\n\\nAssistant:` |
| code | the row is kept, rejected cut at the same character | the last `\\n\\nAssistant: ` (with the space) |
"""

from __future__ import annotations

import itertools
import re
from typing import Any, Literal

from prefrepro.data.rows import BadRow, Note, PreferenceRow, Reading, column, one_blank, preference_row, text
from prefrepro.data.template import Message

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
TURN = re.compile(r"\s*(Human|Assistant):\s+")
Turns = Literal["all", "single"]
ROLES = {"Human": "user", "Assistant": "assistant"}


def parse_hh(
    record: dict[str, Any], note: Note, *, reading: Reading = "paper", turns: Turns = "all"
) -> PreferenceRow | None:
    """A comparison from the columns `chosen` and `rejected`, two whole transcripts each.

    `turns="single"` leaves out, and counts, conversations of more than one question (the paper says "single-turn").
    """
    chosen, rejected = (text(column(record, side), side) for side in ("chosen", "rejected"))
    for side, transcript in (("chosen", chosen), ("rejected", rejected)):
        if transcript.rfind(HUMAN) > transcript.rfind(ASSISTANT):
            raise BadRow(f'"{side}" ends with a Human turn; expected an Assistant turn at its end')
    tag = ASSISTANT if reading == "paper" else f"{ASSISTANT} "
    start = chosen.rfind(tag)
    if start < 0:
        raise BadRow(f'"chosen" holds no {tag!r}; expected a transcript that ends with an Assistant turn')
    prompt = _messages(chosen[:start])
    if turns == "single" and len(prompt) > 1:
        note("several_turns_left_out")
        return None
    _note_turns(prompt, note)
    blank = " " if reading == "paper" else ""
    answers = [one_blank(said[start + len(tag) :].removeprefix(blank)) for said in (chosen, rejected)]
    if not rejected.startswith(chosen[:start] + ASSISTANT):
        note("rejected_prompt_mismatch")
        if reading == "paper":
            return None
    elif ASSISTANT in answers[1]:
        note("several_turns_in_rejected")
    return preference_row(prompt, answers[0], answers[1], note)


def _messages(history: str) -> list[Message]:
    """Turns of a history; the newline closes a last turn that is empty."""
    before, *turns = TURN.split(history + "\n")
    if before.strip():
        raise BadRow(f'"chosen" begins with {before.strip()[:40]!r}; expected "Human:" and a blank there')
    if "Human" not in turns[::2]:
        raise BadRow('"chosen" has no Human turn before its last Assistant turn; expected at least one')
    pairs = zip(turns[::2], turns[1::2], strict=True)
    return [{"role": ROLES[tag], "content": one_blank(said.rstrip())} for tag, said in pairs]


def _note_turns(prompt: list[Message], note: Note) -> None:
    roles = [message["role"] for message in prompt] + ["assistant"]
    if roles[0] != "user":
        note("first_turn_not_human")
    if any(one == other for one, other in itertools.pairwise(roles)):
        note("turns_not_alternating")
    if not all(message["content"] for message in prompt):
        note("empty_turn_in_prompt")
