"""What a paper's prose says of its numbers, paper_tables/<paper>/claims.yaml: every sentence that compares some."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from prefrepro.files import ROOT, show
from prefrepro.specs.files import checked, read_mapping
from prefrepro.specs.values import Finite, Flag, Key, Spec, Stated, Text, Texts


class Comparison(Spec):
    """Printed cells that a sentence puts above others.

    A cell is «row», in each column that has both; «row @ column»; or either after «table: », where it is another's.
    """

    table: Text
    higher: Texts
    lower: Texts
    columns: Texts = []
    """Which columns, for cells that name none; none: all"""
    by_pct: Finite | None = None
    """Relative gain that the sentence states, as it states it"""
    close: Flag = False
    """The sentence says that the two do not differ"""


class Claim(Spec):
    """One sentence, in our words."""

    says: Text
    where: Text
    most: Flag = False
    """It speaks of the majority"""
    compares: list[Annotated[Comparison, Stated]] = []
    """None: the paper prints no number that it rests on"""
    note: Text | None = None


def claim_files() -> list[Path]:
    """The claims.yaml of every paper that has one."""
    return sorted((ROOT / "paper_tables").glob("*/claims.yaml"))


def read_claims(path: Path) -> dict[str, Claim]:
    """A paper's claims by name, in its order. Raises UserError with every problem of the file."""
    return checked(dict[Key, Annotated[Claim, Stated]], read_mapping(path), show(path))
