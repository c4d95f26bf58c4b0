"""A batch for a terminal. Knows only what batch.py gives."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from prefrepro.errors import visible

ENDS = 24
"""Tokens that are listed of each end of a long text; --json has all."""
WORDS = 60
"""Characters of a part that was cut off, those next to the cut."""


def as_text(batch: dict[str, Any], width: int) -> str:
    """The batch in lines of at most `width` characters."""
    return "\n".join(_lines(batch, max(width, 40))) + "\n"


def _lines(batch: dict[str, Any], width: int) -> Iterator[str]:
    limits, shown = batch["limits"], len(batch["examples"])
    yield f"{batch['run']}: step 1 of {batch['steps']}, {batch['batch']}; {shown} shown"
    bos = "no BOS" if batch["bos"] is None else f"BOS {_named(batch['bos'])}"
    added = "added by the tokenizer" if batch["adds_bos"] else "not added by the tokenizer"
    kept = "its end is kept" if limits["truncation_mode"] == "keep_end" else "its start is kept"
    stops = ", ".join(map(_named, batch["stops"]))
    by = batch["sample"] or "no sample set of the plan; limits of the training"
    for label, text in (
        ("reads", batch["reads"]),
        ("prompts", batch["template"]),
        ("limits", f"{limits['max_length']} tokens, of which {limits['max_prompt_length']} of a cut prompt; {kept}"),
        ("tokens", f"{bos}, {added}; EOS {_named(batch['eos'])}, which closes every response"),
        ("asked", f"an answer ends at {stops} ({by})"),
    ):
        yield from textwrap.wrap(f"{label:9} {text}", width, subsequent_indent=" " * 10)
    for number, example in enumerate(batch["examples"], 1):
        yield from _example(example, number, width)


def _example(example: dict[str, Any], number: int, width: int) -> Iterator[str]:
    sequences, before = example["sequences"], None
    total = sum(len(one["prompt"]["ids"]) + len(one["response"]["ids"]) for one in sequences)
    yield ""
    yield f"example {number}: {len(sequences)} sequences of {total} tokens, read as {example['packed_tokens']}"
    for one in sequences:
        prompt, response = one["prompt"], one["response"]
        if prompt["ids"] != before:
            yield f"  prompt of row {one['row']} ({one['prompt_id'][:12]}): {len(prompt['ids'])} tokens, none predicted"
            yield from _part(prompt, one["prompt_cut"], width)
            before = prompt["ids"]
        if response["ids"]:
            n = len(one["predicted"])
            which = "all predicted" if n == len(response["ids"]) else f"the last {n} predicted"
            yield f"  {one['role']} (row {one['row']}): {len(response['ids'])} tokens, {which}"
            yield from _part(response, one["response_cut"], width)
        else:
            yield "  the policy's own answers are sampled in the step"
    asked, place = example["asked"], example["asked"]["differs_at"]
    if place is None:
        yield f"  asked when sampling: the same {len(asked['ids'])} tokens as the first prompt above"
        return
    yield f"  asked when sampling: OTHER than the first prompt above, from token {place} on; {len(asked['ids'])} tokens"
    yield from _part(asked, None, width)


def _part(part: dict[str, Any], cut: dict[str, Any] | None, width: int) -> Iterator[str]:
    """Text, with a mark where something was cut off, and token ids with their pieces."""
    lines = visible(part["text"]).split("\n")
    if cut:
        is_start = cut["end"] == "start"
        near = visible(cut["text"]).replace("\n", "\\n")
        near = f"…{near[-WORDS:]}" if is_start else f"{near[:WORDS]}…"
        bos = "; BOS put in place of the first that is left" if cut.get("is_bos_put") else ""
        mark = f"[{len(cut['ids'])} tokens cut off here: {near}{bos}]"
        lines = [mark, *lines] if is_start else [*lines, mark]
    for line in lines:
        for row in textwrap.wrap(line, width - 6, drop_whitespace=False, replace_whitespace=False) or [""]:
            yield f"    | {row}"
    named = [f"{one}:{_quoted(piece)}" for one, piece in zip(part["ids"], part["pieces"], strict=True)]
    if len(named) > 3 * ENDS:
        named[ENDS:-ENDS] = [f"[{len(named) - 2 * ENDS} more]"]
    yield from textwrap.wrap(" ".join(named), width, initial_indent="    ", subsequent_indent="    ")


def _quoted(piece: str) -> str:
    return visible(piece).replace("\n", "\\n").replace("\t", "\\t").replace(" ", "␣")


def _named(token: dict[str, Any]) -> str:
    return f"{token['id']}:{_quoted(token['text'])}"
