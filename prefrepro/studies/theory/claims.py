"""One statement of a paper beside what we measured, and whether they agree.

A source ends in one of: [stated], docs/protocol.md#swepo-equations gives the statement (formulas did not survive in
our copy of the text and were rebuilt from its words); [inferred], the statement or a part of it is ours;
[tables], the printed tables or prose show it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

SCHEMA = "claims"


@dataclass(frozen=True, slots=True)
class Claim:
    """A row of claims.csv."""

    claim: str
    """Where the paper says it: « Lemma 1/5» is Lemma 1 of the text, 5 of the appendix."""
    statement: str
    source: str
    expected: float | None = None
    measured: float | None = None
    tolerance: float | None = None
    note: str | None = None
    is_bound: bool = False
    """The measured value may be anything up to the expected one."""
    is_inconsistent: bool = False
    """The text contradicts itself, or is not known, so that no measurement can agree with it."""

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
    columns = ("claim", "statement", "source", "expected", "measured", "tolerance", "agrees", "note")
    return pd.DataFrame([{column: getattr(claim, column) for column in columns} for claim in claims])
