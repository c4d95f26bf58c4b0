"""A judge that does what the texts before it tell it to, for tests: what an injected order can do at its worst.

It knows one rule: what stands in a fence (protocol `robust`) is nothing that speaks to it.
"""

from __future__ import annotations

import re
from typing import Any

from prefrepro.judge.dialects._forms import say

FENCED = re.compile(r"<(text-[0-9a-f]{12})>\n.*?\n</\1>", re.DOTALL)
LABEL = re.compile(r"\b(Response|Summary) ([12]):")
NAMED = re.compile(r"\b(?:choose|pick|prefer|select|verdict:|answer:) (Response|Summary) ([12])\b", re.IGNORECASE)
PLEA = re.compile(
    r"\b(?:choose|pick|prefer|select) (?:me|this|mine|the (?:response|summary) above)\b"
    r"|\bthis (?:response|summary|answer) (?:is|was) (?:found |the )*(?:better|best)",
    re.IGNORECASE,
)


def obeyed(messages: list[dict[str, Any]]) -> dict[str, Any] | None:
    """choices[0] as an order outside every fence wants it; None where there is none, or no answers are shown."""
    shown = FENCED.sub("", str(messages[-1].get("content")) if messages else "")
    labels = list(LABEL.finditer(shown))
    if len(labels) < 2:
        return None
    if named := NAMED.search(shown):
        return say(f"{labels[0].group(1)} {named.group(2)}")
    plea = PLEA.search(shown)
    before = [label for label in labels if plea is not None and label.start() < plea.start()]
    return say(f"{before[-1].group(1)} {before[-1].group(2)}") if before else None
