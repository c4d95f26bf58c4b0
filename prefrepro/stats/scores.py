"""From the verdicts of one set to one score per prompt, whatever the evaluation.

A prompt may be answered several times (`draw`: greedy and three samples at each temperature, say) and each answer
judged several times (`order`: both orders, two turns). Here all of that becomes one number per prompt, because
prompts are what was sampled: two draws of one prompt are no two prompts.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prefrepro.errors import UserError

ORDERS = {"paper": 1, "robust": 2}
"""Protocol -> verdicts per answer in a pairwise evaluation."""
RATINGS = (1.0, 10.0)
"""Lowest and highest rating of MT-Bench (judge_prompts.jsonl, single-v1: «on a scale of 1 to 10»)."""
_WORDS = {"win": 1.0, "tie": 0.5, "loss": 0.0, "invalid": np.nan}


class PromptScores(NamedTuple):
    """Scores in 0..1 by prompt id, sorted; NaN where a prompt has no valid verdict at all."""

    scores: pd.Series
    missing: float
    """What a prompt without a valid verdict counts in a rate: 0 where a rate is over all attempts, else NaN."""
    n_tie: int
    """Prompts with at least one tied answer."""
    n_invalid: int
    """Prompts with at least one answer that has no usable verdict."""

    def counted(self) -> pd.Series:
        """The scores that a rate is the mean of."""
        return self.scores.fillna(self.missing)


def pairwise_scores(verdicts: pd.DataFrame, protocol: str) -> PromptScores:
    """Wins of each prompt's answers, averaged over its draws.

    `paper`: one order; the share of answers that won, as compare.py of the RPO code counts: a tie or an invalid
    verdict wins nothing. `robust`: both orders; agreement is a win or a loss, all else is half; an answer with an
    invalid order is left out. Raises UserError where an answer has another number of verdicts than the protocol
    asks for.
    """
    if protocol not in ORDERS:
        raise UserError(f"protocol {protocol!r} is unknown. Known: {', '.join(ORDERS)}")
    _check(verdicts, rated=False, per_answer=ORDERS[protocol], protocol=protocol)
    frame = verdicts.sort_values(["prompt_id", "draw"], kind="stable")
    words = np.array([_WORDS[word] for word in frame["verdict"]]).reshape(-1, ORDERS[protocol])
    agreed = words.min(axis=1) == words.max(axis=1)
    scores = np.where(agreed, words[:, 0], 0.5)
    scores[np.isnan(words).any(axis=1)] = np.nan
    answers = frame.iloc[:: ORDERS[protocol]]
    is_tie = scores == 0.5
    if protocol == "robust":
        return _by_prompt(answers, scores, is_tie)
    return _by_prompt(answers, np.where(np.isnan(scores), np.nan, scores == 1), is_tie, missing=0)


def mean_scores(verdicts: pd.DataFrame, protocol: str) -> PromptScores:
    """The judge's own scores, averaged over a prompt's draws and orders; a tie is half, an invalid one left out.

    AlpacaEval: preference - 1, which is any number in 0..1 where the annotator weighs by log-probs. The protocol
    changes nothing: it says how many orders were asked, and here they are averaged.
    """
    _check(verdicts, rated=False)
    return _by_prompt(verdicts, _column(verdicts, "score"), (verdicts["verdict"] == "tie").to_numpy())


def rating_scores(verdicts: pd.DataFrame, protocol: str) -> PromptScores:
    """MT-Bench's ratings, averaged over a question's turns and draws, 1..10 laid on 0..1.

    FastChat averages all ratings at once; the same, unless one turn of a question has no valid rating.
    """
    _check(verdicts, rated=True)
    low, high = RATINGS
    return _by_prompt(verdicts, (_column(verdicts, "score") - low) / (high - low), np.zeros(len(verdicts), bool))


def held_out_scores(verdicts: pd.DataFrame, order: str) -> PromptScores:
    """The share of a prompt's held-out comparisons that are won: its pairs (`pair`), or best responses (`top_1`).

    A tie is half. Raises UserError where the set holds none of this kind.
    """
    own = verdicts.loc[verdicts["order"] == order]
    if own.empty:
        raise UserError(
            f"verdict set {set_name(verdicts)} holds no {order} of held-out preferences; expected some. Next: name a "
            "metric of its evaluation (top1_pct wants groups of responses)"
        )
    return _by_prompt(own, _column(own, "score"), (own["verdict"] == "tie").to_numpy())


def _by_prompt(
    answers: pd.DataFrame, scores: NDArray[np.float64], is_tie: NDArray[np.bool_], missing: float = np.nan
) -> PromptScores:
    """Weighted mean of each prompt's scores; its invalid ones count as `missing`, unless there is no other."""
    ids, groups = np.unique(answers["prompt_id"].to_numpy(dtype=object), return_inverse=True)
    is_invalid = np.isnan(scores)
    counted = np.where(is_invalid, missing, scores)
    weights = np.where(np.isnan(counted), 0, _column(answers, "weight"))
    totals = np.bincount(groups, weights)
    means = np.full(len(ids), np.nan)
    np.divide(np.bincount(groups, np.nan_to_num(counted) * weights), totals, out=means, where=totals > 0)
    means[np.bincount(groups, ~is_invalid) == 0] = np.nan
    n_tie, n_invalid = (int((np.bincount(groups, flag) > 0).sum()) for flag in (is_tie, is_invalid))
    return PromptScores(pd.Series(means, index=pd.Index(ids)), missing, n_tie, n_invalid)


def _column(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    return frame[name].to_numpy(dtype=np.float64, na_value=np.nan)


def _check(verdicts: pd.DataFrame, rated: bool, per_answer: int | None = None, protocol: str = "") -> None:
    """Raises UserError where a set is not what the metric wants: a half-judged set has no mean."""
    found = zip(verdicts["prompt_id"], verdicts["draw"], verdicts["order"], strict=True)
    rows = Counter(found)
    answers = Counter((prompt, draw) for prompt, draw, _ in rows.elements())
    prompts = Counter(prompt for prompt, _ in answers.elements())
    problems = [
        f"prompt {p}, draw {d} was judged more than once as {order}" for (p, d, order), k in rows.items() if k > 1
    ]
    if per_answer is not None:
        problems += [
            f"prompt {prompt}, draw {draw} has {k} verdicts; protocol {protocol} has {per_answer} per answer, "
            "each in another order"
            for (prompt, draw), k in answers.items()
            if k != per_answer
        ]
    most = max(prompts.values())
    problems += [f"prompt {prompt} has {k} verdicts, another has {most}" for prompt, k in prompts.items() if k < most]
    if {word == "rated" for word in verdicts["verdict"] if word != "invalid"} - {rated}:
        wanted, there = ("ratings", "verdicts") if rated else ("verdicts", "ratings")
        problems = [f"it holds {there}, the metric wants {wanted}; name another metric"]
    if problems:
        more = f" (and {len(problems) - 1} more such problems)" if len(problems) > 1 else ""
        raise UserError(f"verdict set {set_name(verdicts)}: {problems[0]}{more}. Judge this set again.")


def set_name(frame: pd.DataFrame) -> str:
    """Which verdict set a frame is, for messages."""
    return ", ".join(sorted(set(frame["verdict_set_id"])))
