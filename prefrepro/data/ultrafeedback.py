"""UltraFeedback (Cui et al., 2023): prompts with up to four responses of models, scored by GPT-4.

Three forms, told apart by their columns:

| form | columns |
|---|---|
| raw, openbmb/UltraFeedback | `instruction`, `completions` of {`response`, `overall_score`, `annotations`} |
| NCA's, ChenDRAG/ultrafeedback_reward | `prompt`, `A0`…`A3`, `score_A0`…`score_A3`, the best response first |
| binarized, as by HuggingFaceH4 and trl-lib | `prompt`, `chosen`, `rejected`, `score_chosen`, `score_rejected` |

Swepo does not say which score it trains on (docs/protocol.md#swepo), so it is a choice, `score_field`, of the raw form:

| score_field | score of a response |
|---|---|
| overall_score | as it stands |
| overall_score_corrected | the same, but for the scores of 10 that were meant as 1 |
| fine_grained_mean | mean of its ratings (1-5) in the four aspects; "N/A" does not count |

The error: the annotation's parser read «1/10» and «1» as 10, so that 2,628 responses got a 10
(OpenBMB/UltraFeedback#8). The correction is the authors' own (src/data_annotation/fix_overall_score_issue.py): of the
responses with a 10, one whose ratings have a mean of at most 2 gets 1; above 4 the 10 stands; those between were
annotated anew by GPT-4, which cannot be repeated here: such a response is left out of its group, and counted as
`score_undecided`. Files of 2023-12-29 and later (revision 40b4365, which we pin) carry the authors' correction and say
so by a column, `fine-grained_score`; there nothing is changed, and `overall_score` is the corrected one.
"""

from __future__ import annotations

from typing import Any, Literal

from prefrepro.data.rows import BadRow, Note, RankedRow, column, completion_column, number, prompt_column, text

ScoreField = Literal["overall_score", "overall_score_corrected", "fine_grained_mean"]
ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")
CORRECTED_MARK = "fine-grained_score"
MOST = 10
"""The highest overall score, and what a misread 1 became."""


def parse_ultrafeedback(
    record: dict[str, Any], note: Note, *, score_field: ScoreField = "overall_score_corrected"
) -> RankedRow:
    """A group from a record of any of the three forms; a group of fewer than two usable responses is a bad row."""
    if "completions" in record:
        return _raw(record, note, score_field)
    return _lettered(record, note) if "A0" in record else _binarized(record, note)


def _raw(record: dict[str, Any], note: Note, score_field: ScoreField) -> RankedRow:
    prompt = [{"role": "user", "content": text(column(record, "instruction"), "instruction")}]
    completions = record["completions"]
    if not isinstance(completions, list) or not all(isinstance(entry, dict) for entry in completions):
        raise BadRow('"completions" holds no list of objects')
    texts, scores = [], []
    for completion in completions:
        response = text(column(completion, "response"), "response")
        score = SCORES[score_field](completion, note)
        if score is not None:
            texts.append(response)
            scores.append(score)
    return _group(prompt, texts, scores, note)


def _overall(completion: dict[str, Any], note: Note) -> float | None:
    score = column(completion, "overall_score")
    if score is None:
        note("score_missing")
        return None
    return number(score, "overall_score")


def _corrected(completion: dict[str, Any], note: Note) -> float | None:
    score = _overall(completion, note)
    if score != MOST or CORRECTED_MARK in completion:
        return score
    mean = _mean_rating(completion)
    if mean is not None and mean <= 2:
        note("score_corrected_10_to_1")
        return 1.0
    if mean is not None and mean > 4:
        return score
    note("score_undecided")
    return None


def _fine_grained(completion: dict[str, Any], note: Note) -> float | None:
    mean = _mean_rating(completion)
    if mean is None:
        note("score_missing")
    return mean


def _mean_rating(completion: dict[str, Any]) -> float | None:
    """Mean over the aspects that were rated; None where none was."""
    annotations = column(completion, "annotations")
    if not isinstance(annotations, dict):
        raise BadRow('"annotations" holds no object')
    ratings = []
    for aspect in ASPECTS:
        entry = annotations.get(aspect)
        rating = entry.get("Rating") if isinstance(entry, dict) else None
        if rating in (None, "N/A"):
            continue
        try:
            ratings.append(int(rating))
        except (TypeError, ValueError):
            raise BadRow(f'"annotations", {aspect}: Rating is {rating!r:.40}; expected 1 to 5 or "N/A"') from None
    return sum(ratings) / len(ratings) if ratings else None


SCORES = {"overall_score": _overall, "overall_score_corrected": _corrected, "fine_grained_mean": _fine_grained}


def _lettered(record: dict[str, Any], note: Note) -> RankedRow:
    prompt = prompt_column(record)
    texts, scores = [], []
    for place in range(sum(name.startswith("A") and name[1:].isdigit() for name in record)):
        texts.append(completion_column(record, f"A{place}", prompt))
        scores.append(number(column(record, f"score_A{place}"), f"score_A{place}"))
    return _group(prompt, texts, scores, note)


def _binarized(record: dict[str, Any], note: Note) -> RankedRow:
    prompt = prompt_column(record)
    texts = [completion_column(record, side, prompt) for side in ("chosen", "rejected")]
    beside = record.get("metadata") if "score_chosen" not in record else None  # a public copy keeps scores there
    scored = beside if isinstance(beside, dict) else record
    scores = [number(column(scored, f"score_{side}"), f"score_{side}") for side in ("chosen", "rejected")]
    return _group(prompt, texts, scores, note)


def _group(prompt: list[dict[str, str]], texts: list[str], scores: list[float], note: Note) -> RankedRow:
    if len(texts) < 2:
        raise BadRow(f"{len(texts)} usable responses; expected at least 2 with a score")
    for response in texts:
        if not response.strip():
            note("empty_completion")
    if len(set(scores)) == 1:
        note("all_scores_equal")
    return RankedRow(prompt, texts, scores)
