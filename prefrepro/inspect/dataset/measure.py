"""What the rows of a data set hold, taken in one pass: lengths, turns, labels, and what is odd about a row.

Memory: 16 bytes of hash a row, to know a row again; the rest does not grow.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from prefrepro.data.forms.parse import UnpairedRow
from prefrepro.data.rows import Note, PreferenceRow, RankedRow
from prefrepro.data.template import TAGS, render_for, render_prompt
from prefrepro.data.truncate import Limits, TruncationCounts, truncate
from prefrepro.errors import UserError

FIRST = 3
"""Rows that are shown"""
QUOTE = 20
"""Characters of a question that are no accident at the beginning of an answer"""
MARKS = (
    *(tag.strip() for tag in TAGS.values()), "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>",
    "<start_of_turn>", "<end_of_turn>", "<s>", "</s>", "[INST]", "[/INST]", "### Instruction:", "### Response:",
)  # fmt: skip
"""What closes a turn or opens one in the templates of common models"""
TRANSCRIPT = re.compile(r"(?:^|\n)\s*(?:Human|Assistant|User): ")


class Lengths:
    """How long texts are: a histogram, in which lengths from 1,000 on are kept to three digits."""

    def __init__(self) -> None:
        self._counts, self.longest = Counter[int](), 0

    def add(self, length: int) -> None:
        step = 10 ** max(0, int(math.log10(length or 1)) - 2)
        self._counts[length // step * step] += 1
        self.longest = max(self.longest, length)

    def summary(self) -> dict[str, int]:
        """Median, 95th percentile and maximum."""
        total, seen, found = self._counts.total(), 0, dict[str, int]()
        for length, count in sorted(self._counts.items()):
            seen += count
            for name, share in (("median", 0.5), ("p95", 0.95)):
                if seen >= share * total:
                    found.setdefault(name, length)
        return found | {"max": self.longest}


class Measure:
    """Add rows, then read off what was measured."""

    def __init__(self, tokenizer: Any, limits: Limits) -> None:
        """`tokenizer` None: characters only."""
        self.tokenizer, self.limits = tokenizer, limits
        marks = {*MARKS, *(tokenizer.all_special_tokens if tokenizer else ())}
        self._marks = re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))))
        self.turns, self.labels, self.marks = Counter[int](), Counter[str](), Counter[str]()
        self.characters, self.tokens = defaultdict[str, Lengths](Lengths), defaultdict[str, Lengths](Lengths)
        self.trained, self.asked = TruncationCounts(), TruncationCounts()
        self.good = set[bytes]()
        """Ids of prompts with a good completion, of rows with a label"""
        self.first: list[dict[str, Any]] = []
        self.refused = ""
        """What the chat template said against the first prompt that it refused"""
        self._rows = set[bytes]()

    def add(self, row: PreferenceRow | RankedRow | UnpairedRow, note: Note) -> None:
        """Measure a row; `note` counts what is odd about it."""
        answers = answers_of(row)
        texts = [text for _, text in answers]
        self.turns[sum(message["role"] == "user" for message in row.prompt)] += 1
        self.characters["prompt"].add(sum(len(one["content"]) for one in row.prompt))
        for side, text in answers:
            self.characters[side].add(len(text))
        self._label(row, note)
        self._odd(row, texts, note)
        if self.tokenizer:
            self._tokenise(row, answers, note)
        if len(self.first) < FIRST:
            of = [f", score {score:g}" for score in row.scores] if isinstance(row, RankedRow) else [""] * len(answers)
            shown = [(side + score, text) for (side, text), score in zip(answers, of, strict=True)]
            self.first.append({"prompt": self.render(row), "answers": shown})

    def render(self, row: PreferenceRow | RankedRow | UnpairedRow) -> str:
        """The prompt as a model reads it; with role tags where its template refuses it."""
        try:
            return render_for(self.tokenizer, row.prompt) if self.tokenizer else render_prompt(row.prompt)
        except UserError:
            return render_prompt(row.prompt)

    def _label(self, row: Any, note: Note) -> None:
        if isinstance(row, UnpairedRow):
            self.labels["true" if row.label else "false"] += 1
            self.good |= {bytes.fromhex(row.prompt_id)} if row.label else set()
        elif isinstance(row, PreferenceRow):
            longer = len(row.chosen) - len(row.rejected)
            self.labels["chosen longer" if longer > 0 else "rejected longer" if longer else "of equal length"] += 1
        else:
            self.labels[f"{len(row.scores)} answers"] += 1
            if len(set(row.completions)) < len(row.completions):
                note("equal_answers_in_group")

    def _odd(self, row: Any, texts: list[str], note: Note) -> None:
        if row.prompt[0]["role"] == "system":
            note("system_messages")
        if row.prompt[-1]["role"] == "assistant":
            note("prompt_ends_with_an_answer")
        for part, among in (("prompt", [one["content"] for one in row.prompt]), ("answer", texts)):
            found = Counter(mark for text in among for mark in self._marks.findall(text))
            self.marks += found
            if found:
                note(f"tags_in_{part}")
            if any(TRANSCRIPT.search(text) for text in among):
                note(f"transcript_in_{part}")
        asked = row.prompt[-1]["content"].strip()
        if len(asked) >= QUOTE and any(text.lstrip().startswith(asked) for text in texts):
            note("question_repeated_in_answer")
        identity, label = bytes.fromhex(row.prompt_id), str(getattr(row, "label", getattr(row, "scores", "")))
        if (own := _hash(identity, *texts, label)) in self._rows:
            note("same_row_again")
        elif isinstance(row, PreferenceRow) and _hash(identity, *reversed(texts), label) in self._rows:
            note("opposite_label_before")
        self._rows.add(own)

    def _tokenise(self, row: Any, answers: Sequence[tuple[str, str]], note: Note) -> None:
        """Count a row's tokens and cuts, encoded as model/examples.py encodes rows and sample/answers.py prompts."""
        try:
            prompt = self.tokenizer(render_for(self.tokenizer, row.prompt))["input_ids"]
        except UserError as error:
            self.refused = self.refused or str(error)
            note("refused_by_the_template")
            return
        found = self.tokenizer([text for _, text in answers], add_special_tokens=False)["input_ids"]
        closed = [[*ids, self.tokenizer.eos_token_id] for ids in found]
        self.tokens["prompt"].add(len(prompt))
        for (side, _), ids in zip(answers, closed, strict=True):
            self.tokens[side].add(len(ids))
        longest = max(map(len, closed)) if isinstance(row, RankedRow) else None
        for ids in closed:
            self.trained.add(truncate(prompt, ids, self.limits, longest)[2])
        self.asked.add(truncate(prompt, closed[_best(row)], self.limits)[2])


def answers_of(row: PreferenceRow | RankedRow | UnpairedRow) -> list[tuple[str, str]]:
    """(what it is, text) of each answer."""
    if isinstance(row, UnpairedRow):
        return [("good" if row.label else "bad", row.completion)]
    if isinstance(row, RankedRow):
        return [("response", text) for text in row.completions]
    return [("chosen", row.chosen), ("rejected", row.rejected)]


def _best(row: Any) -> int:
    return row.scores.index(max(row.scores)) if isinstance(row, RankedRow) else 0


def _hash(identity: bytes, *texts: str) -> bytes:
    made = hashlib.blake2b(identity, digest_size=16)
    for text in texts:
        made.update(hashlib.blake2b(text.encode()).digest())
    return made.digest()
