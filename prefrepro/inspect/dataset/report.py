"""What `prefrepro data inspect` says of a data set, as values and as lines for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from prefrepro.data.rows import Counts, Note
from prefrepro.data.sources import SALT
from prefrepro.data.splits import split_of
from prefrepro.data.truncate import Limits
from prefrepro.errors import visible
from prefrepro.inspect.dataset.measure import Measure
from prefrepro.inspect.dataset.opened import Opened

ODD: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("odd.yaml").read_text(encoding="utf-8"))
PARTS = {"train": 0.8, "eval": 0.2}
"""Shares that a written data set gets; held-out accuracy needs no judge's part"""
PLACES = 3
"""First places that are shown of what is odd"""
MOST = 5
"""Kinds of turns, and files, that are named"""
LINES = 6
"""Lines that are shown of each end of a prompt, and of an answer"""


def inspected(data: Opened, tokenizer: Any, limits: Limits, name: str | None) -> dict[str, Any]:
    """Everything found, as JSON has it. `name`: the tokenizer's, as it was given. Raises UserError."""
    measure = Measure(tokenizer, limits)
    with tqdm(unit="row", desc="reading", disable=None) as bar:

        def seen(row: Any, note: Note) -> None:
            measure.add(row, note)
            bar.update()

        counts, left_out = data.rows(seen)
    held_out = sum(split_of(one.hex(), PARTS, SALT) == "eval" for one in measure.good or counts.prompt_ids)
    return {
        "given": data.given,
        "files": list(map(str, data.files)),
        "title": data.title,
        "shape": data.shape,
        "reading": data.keys,
        "unused": list(data.unused),
        "records": counts["rows"] + counts["bad_rows"] + left_out,
        "rows": counts["rows"],
        "bad_rows": counts["bad_rows"],
        "left_out": left_out,
        "unique_prompts": len(counts.prompt_ids),
        "held_out_prompts": held_out,
        "turns": dict(sorted(measure.turns.items())),
        "labels": dict(measure.labels.most_common()),
        "characters": {side: one.summary() for side, one in measure.characters.items()},
        "tokens": _tokens(measure, limits, name) if tokenizer else None,
        "marks": dict(measure.marks.most_common()),
        "odd": _odd(counts, [str(file) for file in data.files]),
        "first": measure.first,
        "eos": tokenizer.eos_token if tokenizer else "",
    }


def _tokens(measure: Measure, limits: Limits, name: str | None) -> dict[str, Any]:
    trained, asked = measure.trained, measure.asked
    return {
        "tokenizer": name,
        "prompts": "chat template" if measure.tokenizer.chat_template else "role tags",
        "refused": measure.refused,
        "lengths": {side: one.summary() for side, one in measure.tokens.items()},
        "limits": {"max_length": limits.max_length, "max_prompt_length": limits.max_prompt_length},
        "cut_pct": {
            "prompts in training": _pct(trained.prompts_cut, trained.sequences),
            "responses in training": _pct(trained.responses_cut, trained.sequences),
            "prompts in sampling": _pct(asked.prompts_cut, asked.sequences),
        },
    }


def _pct(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _odd(counts: Counts, files: list[str]) -> list[dict[str, Any]]:
    """What was counted beside the rows, each with its first places; the most frequent first."""
    names = [name for name, _ in counts.by_name.most_common() if name not in ("rows", "left_out")]
    places = {name: [_place(one, files) for one in counts.first_locations.get(name, [])] for name in names}
    return [
        {
            "name": name,
            "count": counts[name],
            "what": ODD.get(name, {}).get("what", name.replace("_", " ")),
            "do": ODD.get(name, {}).get("do", ""),
            "first": places[name],
        }
        for name in names
    ]


def _place(where: str, files: list[str]) -> str:
    """A place without the file's name where there is one file."""
    return where.removeprefix(f"{files[0]}, ") if len(files) == 1 else where


def as_text(found: Mapping[str, Any], width: int) -> str:
    """The findings in lines of at most `width` characters."""
    width = max(width, 40)

    def part(label: str, text: str) -> list[str]:
        return textwrap.wrap(visible(text), width, initial_indent=f"{label:10}", subsequent_indent=" " * 10)

    turns = [f"{n} turn{'s' if n > 1 else ''}: {count:,}" for n, count in found["turns"].items()]
    if more := sum(list(found["turns"].values())[MOST:]):
        turns[MOST:] = [f"more: {more:,}"]
    lines = [found["given"], *textwrap.wrap(found["title"], width, initial_indent="  ", subsequent_indent="  ")]
    lines += part("rows", f"{found['rows']:,} of {found['records']:,} read, {found['unique_prompts']:,} unique prompts")
    if len(found["files"]) > 1:
        names = [Path(one).name for one in found["files"]]
        names[MOST:] = ["…"] if len(names) > MOST else []
        lines += part("files", f"{len(found['files'])}: {', '.join(names)}")
    lines += part("turns", ", ".join(turns))
    lines += part("labels", ", ".join(f"{label}: {count:,}" for label, count in found["labels"].items()))
    if found["unused"]:
        lines += part("not read", f"columns {', '.join(found['unused'])}")
    lines += _table("characters", found["characters"])
    if tokens := found["tokens"]:
        lines += _table("tokens", tokens["lengths"])
        lines += part("", f"by {tokens['tokenizer']}, prompts in {tokens['prompts']}; answers with {found['eos']}")
        most, of_prompt = tokens["limits"].values()
        cut = ", ".join(f"{value:g} % of {what}" for what, value in tokens["cut_pct"].items())
        lines += part("cut", f"at {most:,} tokens, of which {of_prompt:,} of a prompt: {cut}")
        if any(tokens["cut_pct"].values()):
            lines += part("", "→ training: {max_length, max_prompt_length} of the scale; truncation_mode: keep_start")
    else:
        lines += part("tokens", "not counted; --tokenizer takes a folder, a hub id or a model of config/models")
    lines += ["", "odd" if found["odd"] else "odd       nothing"]
    for one in found["odd"]:
        lines += textwrap.wrap(
            f"{one['count']:,} × {one['what']}", width, initial_indent="  ", subsequent_indent="    "
        )
        first = "; ".join(one["first"][:PLACES])
        lines += textwrap.wrap(visible(f"at {first}"), width, initial_indent="    ", subsequent_indent="    ")[:4]
        if one["do"] not in ("", "nothing to set"):
            lines += textwrap.wrap(f"→ {one['do']}", width, initial_indent="    ", subsequent_indent="      ")
    if found["marks"]:
        lines += part("  marks", ", ".join(f"{mark} {count:,}" for mark, count in list(found["marks"].items())[:8]))
    for number, row in enumerate(found["first"], start=1):
        lines += ["", f"row {number}, as a model reads it"]
        lines += _shown(row["prompt"], width)
        for side, text in row["answers"]:
            lines += [f"  {side}", *_shown(text + found["eos"], width)]
    return "\n".join(lines) + "\n"


def _table(title: str, lengths: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Lengths of each part: median, 95th percentile, maximum."""
    head = f"{title:12}{'':12}{'median':>10}{'95 %':>10}{'longest':>10}"
    return [
        head,
        *(f"{'':12}{side:12}{''.join(f'{one:>10,}' for one in own.values())}" for side, own in lengths.items()),
    ]


def _shown(text: str, width: int) -> list[str]:
    """Both ends of a text, with a mark where lines between them are left out."""
    lines = [
        piece
        for line in visible(text).split("\n")
        for piece in textwrap.wrap(line, width - 6, drop_whitespace=False, replace_whitespace=False) or [""]
    ]
    if len(lines) > 2 * LINES + 1:
        lines[LINES:-LINES] = [f"[{len(lines) - 2 * LINES} lines more]"]
    return [f"    | {line}".rstrip() for line in lines]
