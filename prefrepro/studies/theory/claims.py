"""One check of a statement of the Swepo text: what it says, what was tested and measured, and whether they agree.

Statements and checks stand in claims.yaml.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

SCHEMA = "claims"


@cache
def _written() -> dict[str, dict[str, Any]]:
    return yaml.safe_load(Path(__file__).with_name("claims.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Claim:
    """A row of claims.csv."""

    claim: str
    """The place of a statement in claims.yaml."""
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

    @classmethod
    def of(
        cls,
        check: str,
        measured: float | None = None,
        *,
        expected: float | None = None,
        tolerance: float | None = None,
        **named: object,
    ) -> Claim:
        """A check of claims.yaml, its {names} filled in; numbers given here are those that it leaves to the code."""
        written = {"expected": expected, "tolerance": tolerance} | _written()["checks"][check]
        texts = {key: value.format(**named) for key, value in written.items() if isinstance(value, str)}
        return cls(**(written | texts), measured=measured)

    @property
    def says(self) -> str:
        return _written()["statements"][self.claim]

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
