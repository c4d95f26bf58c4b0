"""The prompts that a paper prints answers to, found in a data set by their hash.

No text of a paper stands in this repository, only hashes of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable

from prefrepro.data.jsonl import Line


def prompt_sha256(text: str) -> str:
    """SHA-256 of a text's letters and digits in lower case: print changes quotation marks, dashes and line breaks."""
    return hashlib.sha256(re.sub(r"[\W_]+", "", text.casefold()).encode()).hexdigest()


def found(lines: Iterable[Line], wanted: Collection[str]) -> dict[str, Line]:
    """Hash -> the line whose last message has it, of several the one with the fewest messages."""
    there: dict[str, Line] = {}
    for line in lines:
        of_line = prompt_sha256(line["prompt"][-1]["content"])
        if of_line in wanted and (of_line not in there or len(line["prompt"]) < len(there[of_line]["prompt"])):
            there[of_line] = line
    return there
