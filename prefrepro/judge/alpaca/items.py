"""Sample rows as comparisons to judge, and everything about them that is checked before money is spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from prefrepro.errors import UserError, nearest
from prefrepro.judge.alpaca.shield import CHATML, MARK

SHOWN = 10
"""So many problems are told in full."""


class Item(NamedTuple):
    """One instruction with the candidate's response and the reference's."""

    prompt_id: str
    instruction: str
    response: str
    reference: str


def read_draws(rows: Sequence[Mapping[str, Any]], reference: str, *, allow_empty: bool) -> dict[int, list[Item]]:
    """The items of each draw, in the rows' order: the same prompts in the same order in every draw.

    Raises UserError with all that is wrong: no rows, a reference or text that is missing, an empty response
    (unless allowed), a marker of the prompt format in an instruction or reference, a prompt that is there twice
    in a draw, draws of unlike prompts.
    """
    if not rows:
        raise UserError("found no samples to judge, expected at least one. Next: sample again.")
    draws: dict[int, list[Item]] = {}
    problems: list[str] = []
    for number, row in enumerate(rows):
        name = f"prompt {row.get('prompt_id', f'in row {number}')}"
        try:
            item = _item(row, reference)
        except (ValueError, TypeError, KeyError) as error:
            problems.append(f"{name}: {error}")
            continue
        problems += [f"{name}: {problem}" for problem in _text_problems(item, allow_empty)]
        draws.setdefault(int(row.get("draw", 0)), []).append(item)
    problems += _draw_problems(draws)
    if problems:
        more = f"\nand {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise UserError("AlpacaEval, before anything was asked:\n" + "\n".join(problems[:SHOWN]) + more)
    return dict(sorted(draws.items()))


def _item(row: Mapping[str, Any], reference: str) -> Item:
    if "prompt_id" not in row or "response" not in row:
        raise ValueError('expected the columns "prompt_id" and "response". Next: sample again.')
    references = row.get("references") or {}
    if reference not in references:
        raise ValueError(
            f'no reference "{reference}". It has: {", ".join(references) or "none"}.{nearest(reference, references)}'
        )
    item = Item(row["prompt_id"], _instruction(row), row["response"], references[reference])
    for field, text in zip(Item._fields, item, strict=True):
        if not isinstance(text, str):
            raise TypeError(f"{field} is {type(text).__name__}, expected text.")
        text.encode()  # a lone surrogate could neither be sent nor hashed
    return item


def _instruction(row: Mapping[str, Any]) -> str:
    if row.get("instruction") is not None:
        return row["instruction"]
    messages = row.get("prompt") or []
    if len(messages) != 1 or messages[0]["role"] != "user":
        roles = ", ".join(message["role"] for message in messages)
        raise ValueError(f'AlpacaEval knows one instruction: found the turns [{roles}] and no column "instruction".')
    return messages[0]["content"]


def _text_problems(item: Item, allow_empty: bool) -> list[str]:
    problems = []
    if not item.instruction.strip():
        problems.append("the instruction is empty.")
    if not item.response.strip() and not allow_empty:
        problems.append(
            "the response is empty, expected text. Next: sample again with min_new_tokens ≥ 1, or set "
            "`empty_response: judge` to have it judged as it is, as alpaca_eval does."
        )
    for field in ("instruction", "reference"):
        problems += [
            f"the {field} holds {marker!r}, which would break the judge's prompt. Next: take it out of the data."
            for marker in CHATML
            if marker in getattr(item, field)
        ]
    problems += [
        f"the {field} holds U+{ord(MARK):04X}, no character of text. Next: take it out of the data."
        for field in ("instruction", "response", "reference")
        if MARK in getattr(item, field)
    ]
    return problems


def _draw_problems(draws: Mapping[int, Sequence[Item]]) -> list[str]:
    problems = []
    first = next(iter(draws.values()), [])
    for draw, items in draws.items():
        for field in ("prompt_id", "instruction"):
            counts = Counter(getattr(item, field) for item in items)
            problems += [
                f"draw {draw}: {field} {value[:80]!r} is there {count} times, expected once."
                for value, count in counts.items()
                if count > 1
            ]
        if [item[:2] for item in items] != [item[:2] for item in first]:
            problems.append(
                f"draw {draw} has {len(items)} prompts that are not the {len(first)} of the first draw in their order. "
                "Next: sample again."
            )
    return problems
