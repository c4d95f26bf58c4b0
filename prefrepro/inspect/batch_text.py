"""A batch for a terminal. Knows only what batch.py gives."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from prefrepro.errors import visible
from prefrepro.tables.template import fill_template

TEMPLATE = Path(__file__).parent / "templates" / "batch.txt"
ENDS = 24
"""Tokens that are listed of each end of a long text; --json has all."""
WORDS = 60
"""Characters of a part that was cut off, those next to the cut."""


def as_text(batch: dict[str, Any], width: int) -> str:
    """The batch in lines of at most `width` characters."""
    width = max(width, 40)

    def line(label: str, text: str) -> str:
        return textwrap.fill(f"{label:9} {text}", width, subsequent_indent=" " * 10)

    def part(part: dict[str, Any], cut: dict[str, Any] | None) -> str:
        return _part(part, cut, width)

    stops = ", ".join(map(_named, batch["stops"]))
    helpers = {"line": line, "named": _named, "n_tokens": _n_tokens, "part": part, "all_stops": stops}
    return fill_template(TEMPLATE, batch | helpers)


def _n_tokens(example: dict[str, Any]) -> int:
    return sum(len(one[part]["ids"]) for one in example["sequences"] for part in ("prompt", "response"))


def _part(part: dict[str, Any], cut: dict[str, Any] | None, width: int) -> str:
    """Text, with a mark where something was cut off, and token ids with their pieces."""
    lines = visible(part["text"]).split("\n")
    if cut:
        is_start = cut["end"] == "start"
        near = visible(cut["text"]).replace("\n", "\\n")
        near = f"…{near[-WORDS:]}" if is_start else f"{near[:WORDS]}…"
        bos = "; BOS put in place of the first that is left" if cut.get("is_bos_put") else ""
        mark = f"[{len(cut['ids'])} tokens cut off here: {near}{bos}]"
        lines = [mark, *lines] if is_start else [*lines, mark]
    wrapped = [
        textwrap.wrap(line, width - 6, drop_whitespace=False, replace_whitespace=False) or [""] for line in lines
    ]
    named = [f"{one}:{_quoted(piece)}" for one, piece in zip(part["ids"], part["pieces"], strict=True)]
    if len(named) > 3 * ENDS:
        named[ENDS:-ENDS] = [f"[{len(named) - 2 * ENDS} more]"]
    tokens = textwrap.wrap(" ".join(named), width, initial_indent="    ", subsequent_indent="    ")
    return "\n".join([*(f"    | {row}" for rows in wrapped for row in rows), *tokens])


def _quoted(piece: str) -> str:
    return visible(piece).replace("\n", "\\n").replace("\t", "\\t").replace(" ", "␣")


def _named(token: dict[str, Any]) -> str:
    return f"{token['id']}:{_quoted(token['text'])}"
