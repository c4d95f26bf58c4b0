"""OpenAI's comparisons of summaries (Stiennon et al., 2020): config `comparisons` of openai/summarize_from_feedback.

Read as released (`comparisons/batch*.json`, JSON lines) or as the hub serves it (Parquet); the columns are the same.
The prompt is `info.post` alone (no subreddit, title or "TL;DR:"), chosen is the text of `choice`, with its leading
space (docs/protocol.md#data). Runs of blanks become one, as in the released code (dataloader.py:384). Which split a row
belongs to is its own column: `train`, or `valid1` and `valid2`, which the hub joins as `validation`.

Rows of CNN/DM articles have no post:

| reading | |
|---|---|
| paper | they are left out and counted (2,284 of the validation split) |
| code | all of them get one empty prompt (dataloader.py:369) |

Both papers' runs keep the start of a long post: `truncation_mode: keep_start`, a field of the training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prefrepro.data.rows import BadRow, Note, PreferenceRow, Reading, column, one_blank, preference_row, text

SPLITS = {"train": "train", "valid1": "validation", "valid2": "validation", "validation": "validation"}


@dataclass(frozen=True, slots=True)
class SplitRow(PreferenceRow):
    """A comparison, and the split of the hub's data set that it is in: train | validation."""

    split: str


def parse_tldr(record: dict[str, Any], note: Note, *, reading: Reading = "paper") -> SplitRow | None:
    """A comparison from the columns `info`, `summaries`, `choice`, `split`."""
    split = column(record, "split")
    if split not in list(SPLITS):
        raise BadRow(f'"split" holds {split!r:.40}; expected {", ".join(SPLITS)}')
    info = column(record, "info")
    if not isinstance(info, dict):
        raise BadRow('"info" holds no object; expected one with "post"')
    post = info.get("post")
    if post is None:
        if info.get("article") is None:
            raise BadRow('"info" holds neither "post" nor "article"; expected one of them')
        note(f"cnn_dm_{SPLITS[split]}")
        if reading == "paper":
            return None
        post = ""
    chosen, rejected = _answers(record)
    row = preference_row([{"role": "user", "content": one_blank(text(post, "post"))}], chosen, rejected, note)
    return SplitRow(row.prompt, row.chosen, row.rejected, SPLITS[split])


def parse_judged(record: dict[str, Any], note: Note) -> PreferenceRow | None:
    """A comparison from a row that eval/ of vwxyzjn/summarize_from_feedback_details judged: columns `query`,
    `postprocessed_response` (a model's), `reference_responses` (a person's), `preferred` (ours | reference).

    The label is GPT-4's. A row with any other verdict is left out and counted.
    """
    before, at, rest = text(column(record, "query"), "query").partition("\n\nPOST: ")
    post, end, _ = rest.rpartition("\n\nTL;DR:")
    if not (at and end):
        raise BadRow(f'"query" begins with {before[:40]!r}; expected "POST: …", closed by "TL;DR:"')
    sides = [one_blank(text(column(record, name), name)) for name in ("postprocessed_response", "reference_responses")]
    verdict = column(record, "preferred")
    if verdict not in ("ours", "reference"):
        note("no_verdict_left_out")
        return None
    chosen, rejected = sides if verdict == "ours" else reversed(sides)
    return preference_row([{"role": "user", "content": one_blank(post)}], chosen, rejected, note)


def _answers(record: dict[str, Any]) -> tuple[str, str]:
    """(chosen, rejected)"""
    summaries, choice = column(record, "summaries"), column(record, "choice")
    if not isinstance(summaries, list) or len(summaries) != 2:
        found = f"{len(summaries)} entries" if isinstance(summaries, list) else "no list"
        raise BadRow(f'"summaries" holds {found}; expected two')
    if not isinstance(choice, int) or isinstance(choice, bool) or choice not in (0, 1):
        raise BadRow(f'"choice" is {choice!r:.40}; expected 0 or 1')
    texts = []
    for summary in summaries:
        if not isinstance(summary, dict) or "text" not in summary:
            raise BadRow(f'"summaries" holds {summary!r:.40}; expected objects with "text"')
        texts.append(one_blank(text(summary["text"], "summaries")))
    return texts[choice], texts[1 - choice]
