"""Four answers of a model to a question, compared two by two by people (Wu et al., 2023, «Fine-Grained RLHF»).

`train_feedback.json` and `dev_feedback.json` of allenai/FineGrainedRLHF, tasks/qa_feedback/data. `preference` holds six
labels, for the answers 1-2, 1-3, 1-4, 2-3, 2-4, 3-4: 1 the first is better, 2 the second, 0 neither (README.md there;
their preference reward model reads them so). The labels go on as they are, less those of 0; the score of an
answer is its number of wins, a tie counting one half (Copeland's), which is not theirs but follows from them.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Literal

from prefrepro.data.rows import BadRow, Note, RankedRow, column, text

Prompt = Literal["question", "passages"]
N_ANSWERS = 4
PAIRS = list(combinations(range(N_ANSWERS), 2))
"""In the order of `preference`"""


def parse_qa_feedback(record: dict[str, Any], note: Note, *, prompt: Prompt = "question") -> RankedRow:
    """A group of four answers. `prompt`: the question alone, or with the passages that answer it, as they were given to
    the model that answered, less the closing «answer:»."""
    names = [f"prediction {number}" for number in range(1, N_ANSWERS + 1)]
    answers = [text(column(record, name), name).strip() for name in names]
    labels = column(record, "preference")
    is_known = isinstance(labels, list) and len(labels) == len(PAIRS)
    if not is_known or any(type(label) is not int or label not in (0, 1, 2) for label in labels):
        raise BadRow(f'"preference" holds {labels!r:.60}; expected six numbers, each 0, 1 or 2')
    preferences, scores = [], [0.0] * N_ANSWERS
    for (first, second), label in zip(PAIRS, labels, strict=True):
        if label == 0:
            note("tied_labels_left_out")
            scores[first] += 0.5
            scores[second] += 0.5
            continue
        better, worse = (first, second) if label == 1 else (second, first)
        preferences.append([better, worse])
        scores[better] += 1
    for _ in range(N_ANSWERS - len(set(answers))):
        note("repeated_answers")
    if len(set(scores)) == 1:
        note("all_scores_equal")
    question = text(column(record, "question"), "question").strip()
    asked = question if prompt == "question" else _with_passages(question, column(record, "passages"))
    return RankedRow([{"role": "user", "content": asked}], answers, scores, preferences)


def _with_passages(question: str, passages: Any) -> str:
    if not isinstance(passages, list) or not all(isinstance(passage, list) and passage for passage in passages):
        raise BadRow('"passages" holds no list of lists; expected [title, sentence, …] for each passage')
    shown = ["question:", question, "context:"] if passages else ["question:", question]
    for title, *sentences in passages:
        shown += ["wikipage:", text(title, "passages"), "text:", *(text(one, "passages") for one in sentences)]
    return " ".join(" ".join(shown).split())
