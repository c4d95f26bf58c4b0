"""A table of answers: each prompt with what every method says to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefrepro.data.jsonl import read_jsonl

Shown = dict[tuple[str, str], str]
"""(row label, column label) -> a text; the first row holds the prompts."""
PROMPT = "Prompt"


def read_shown(spec: Mapping[str, Any], results: Path) -> tuple[Shown, list[str]]:
    """The texts of a table node, and what is to be said of prompts that this scale's data do not hold."""
    texts: Shown = {}
    absent: dict[str, None] = {}
    for one in spec["shown"]:
        answers = [row for _, row in read_jsonl(results / "samples" / one["sample_id"] / "samples.jsonl")]
        manifest = json.loads((results / "data" / one["data_id"] / "manifest.json").read_text(encoding="utf-8"))
        row, column = answers[one["place"]], one["column_label"]
        turns = row["prompt"]
        said = [f"[{turn['role']}] {turn['content']}" for turn in turns] if len(turns) > 1 else [turns[0]["content"]]
        texts[PROMPT, column] = "\n\n".join(said)
        texts[one["row_label"], column] = row["response"]
        if not manifest["shown"][one["place"]]:
            absent[column] = None
    said = (
        "the data of this scale do not hold the paper's prompt; the first evaluation prompts of the data set stand in"
    )
    return texts, [f"{', '.join(absent)}: {said} for it."] if absent else []
