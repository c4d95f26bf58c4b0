"""One check of a statement of the Swepo text: what it says, what was tested and measured, and whether they agree.

The formulas did not survive in the text that is at hand; only their numbers did. A source ends in one of: [stated],
the words of the text fix what is tested; [inferred], the formula or a part of it is rebuilt from those words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

SCHEMA = "claims"

STATEMENTS = {
    "Theorem 1/3": (
        "With k positives and k negatives to a prompt, independent draws, a model that can represent the true "
        "distribution and a bounded variance, the expected bias in any attribute of the responses is at most C/√k."
    ),
    "Corollary 1/2": "As k grows without end, that bias goes to 0.",
    "Lemma 1/5": "By the model's scores, the gradient of InfoNCA is the model's share less the target share.",
    "Lemma 2/6": (
        "By the model's scores, the gradient of the weighted contrastive loss is a response's weighted share of all "
        "responses less, for a positive, its weighted share of the positives."
    ),
    "Lemma 6, its proof": (
        "The gradient is positive for a negative and negative for a positive; so negatives become less likely and "
        "positives more so."
    ),
    "Lemma 7": (
        "By the policy's probabilities, the gradient of the weighted contrastive loss is −(w_i / π_ref,i) (1/A − 1/B) "
        "for a positive and (w_i / π_ref,i) / B for a negative, A and B being the sums of w π / π_ref over the "
        "positives and over all."
    ),
    "Corollary 3": (
        "So the derivative is negative for every positive, whose probability descent raises, and positive for every "
        "negative, whose probability it lowers."
    ),
    "Theorem 2/4": "InfoNCA rests where the model's share of each response is its target share.",
    "Remark 1/3": (
        "That is not where it should rest: shares of the log-ratios to the reference match the target, while it may "
        "be the shares of the log-probs themselves that should."
    ),
    "Lemma 3/10": "The weighted contrastive loss is at rest where the probabilities of all negatives go to 0.",
    "Remark 2/5": (
        "As they do, the scores of the negatives fall without end, numerator and denominator become equal, and the "
        "loss vanishes."
    ),
    "Lemma 4/8": (
        "Where M positives share one score and one weight, and N negatives another, a step of descent adds η N w⁻ "
        "e^{s⁻} / (M (M w⁺ e^{s⁺} + N w⁻ e^{s⁻})) to the positives' score."
    ),
    "Corollary 4": "With all scores 0 at the start, this gives the positives' score at any iteration t.",
    "Corollary 5": "One positive, one negative, weights 1 (DPO): the same at iteration t.",
    "Lemma 9": (
        "Positives with weights of their own, all scores 0 at the start: to a linear approximation the score of "
        "positive i at iteration t is η t w_i W⁻ / (W⁺ (W⁺ + W⁻)), W⁺ and W⁻ being the sums of weights."
    ),
    "Remark 4": (
        "The approximation wants the sums of Lemma 9 to stay near their first values and scores to stay small: small "
        "η, few iterations."
    ),
    "Eq. 7": "A response's score is its log-ratio of policy to reference.",
    "Eq. 5-6, 15-16": (
        "Section 3 weighs by the exponential of the deviation from the mean, Section 4.3 by its power p."
    ),
}
"""What the text says, in our words, by its place: «Lemma 1/5» is Lemma 1 of the text, 5 of its appendix."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A row of claims.csv."""

    claim: str
    """One of STATEMENTS."""
    tested: str
    source: str
    expected: float | None = None
    measured: float | None = None
    tolerance: float | None = None
    note: str | None = None
    is_bound: bool = False
    """The measured value may be anything up to the expected one."""
    is_inconsistent: bool = False
    """The text contradicts itself, so that no measurement can agree with it."""

    @property
    def says(self) -> str:
        return STATEMENTS[self.claim]

    @property
    def agrees(self) -> str:
        """yes, no or inconsistent; what was not measured cannot agree."""
        if self.is_inconsistent:
            return "inconsistent"
        if self.expected is None or self.measured is None or self.tolerance is None:
            return "no"
        excess = self.measured - self.expected
        return "yes" if (excess if self.is_bound else abs(excess)) <= self.tolerance else "no"


def to_frame(claims: Iterable[Claim]) -> pd.DataFrame:
    """The claims as `config/schemas/claims.schema.yaml` wants them."""
    columns = ("claim", "says", "tested", "source", "expected", "measured", "tolerance", "agrees", "note")
    return pd.DataFrame([{column: getattr(claim, column) for column in columns} for claim in claims])
