"""Prompts, answers and verdicts to read: of each verdict set as many as fit its share of the page.

Texts that several sets have in common, as prompts and baselines do, are stored once.
"""

from __future__ import annotations

from typing import Any

from prefrepro.data.comparisons import TOP_1
from prefrepro.inspect.report.embed import embedded
from prefrepro.inspect.report.folder import Folder

BYTES = 6_000_000
"""Size of all samples in the page; a page of 10 MB has room for the rest."""
LONGEST = 8_000
"""Characters of one text; what is longer is cut and says so."""


def size(value: Any) -> int:
    """Bytes that a value and the comma after it take in the page."""
    return len(embedded(value).encode()) + 1


class Texts:
    """Texts by number, each once."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._numbers: dict[str, int] = {}
        self.bytes = 0

    def add(self, text: str) -> int:
        """The number of a text, new or known."""
        if len(text) > LONGEST:
            text = f"{text[:LONGEST]} … [cut: {len(text):,} characters]"
        if text not in self._numbers:
            self._numbers[text] = len(self.all)
            self.all.append(text)
            self.bytes += size(text)
        return self._numbers[text]


def browser(folder: Folder, nodes: dict[str, dict[str, Any]], bytes_: int = BYTES) -> dict[str, Any]:
    """Sets and their texts. A row: prompt id, order, verdict, score, then numbers of prompt, answer, baseline, reply.

    Of each set invalid verdicts come first, being few and telling, then the prompts in the order of their ids, which
    are hashes: the same ones in every set. -1 is no text.
    """
    texts, sets = Texts(), []
    for place, (set_id, frame) in enumerate(folder.verdicts.items()):
        share = texts.bytes + (bytes_ - texts.bytes) // (len(folder.verdicts) - place)
        answers = folder.answers_of(set_id)
        reference = folder.manifests[set_id].get("spec", {}).get("reference")
        order = frame.assign(is_valid=frame["verdict"] != "invalid").sort_values(
            ["is_valid", "prompt_id", "draw", "order"], kind="stable"
        )
        rows = []
        for verdict in order.to_dict("records"):
            if rows and texts.bytes >= share:
                break
            row = answers.get((verdict["prompt_id"], int(verdict["draw"])), {}) if verdict["order"] != TOP_1 else {}
            shown = [*_shown(row, str(verdict["order"]), reference), verdict["raw_reply"]]
            numbers = [texts.add(text) if isinstance(text, str) else -1 for text in shown]
            score = None if verdict["score"] != verdict["score"] else round(float(verdict["score"]), 4)
            rows.append([verdict["prompt_id"][:12], verdict["order"], verdict["verdict"], score, *numbers])
            texts.bytes += size(rows[-1])
        sets.append({"id": set_id, "total": len(frame), "rows": rows})
    return {"sets": sets, "texts": texts.all}


def _shown(row: dict[str, Any], order: str, reference: str | None) -> tuple[str | None, str | None, str | None]:
    """Prompt, answer and baseline of a verdict; the second turn's prompt holds the first turn."""
    if not row:
        return None, None, None
    prompt = "\n\n".join(f"[{message['role']}] {message['content']}" for message in row["prompt"])
    answer = row.get("response")
    if row.get("responses") and row.get("turns"):
        turn = int(order.rpartition("_")[2]) if order.startswith("turn_") else len(row["responses"])
        for said, asked in zip(row["responses"][: turn - 1], row["turns"][1:turn], strict=False):
            prompt += f"\n\n[assistant] {said}\n\n[user] {asked}"
        answer = row["responses"][turn - 1]
    references = row.get("references") or {}
    only = next(iter(references.values())) if len(references) == 1 else None
    return prompt, answer, row.get("baseline", references.get(reference, only))
