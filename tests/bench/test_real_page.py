"""The page of the real model: what its sentences say stands in what the commands wrote."""

from __future__ import annotations

import re

import pytest

from bench.power import SHARES, SIZES, pairs_for, smallest, table
from bench.real import END, START
from prefrepro.files import ROOT

PAGE = (ROOT / "docs/real.md").read_text(encoding="utf-8")
MADE = PAGE.partition(START)[2].partition(END)[0]


def test_the_power_of_the_page_is_what_the_command_prints() -> None:
    assert table(SIZES, SHARES) in PAGE


def test_power_is_mcnemars() -> None:
    """ψ = 0.1, d = 0.04: (1.96 · 0.3162 + 0.8416 · √(0.1 − 0.0016))² / 0.0016 = 488.1."""
    assert pairs_for(0.04, 0.1) == pytest.approx(488.1, abs=0.5)
    assert pairs_for(smallest(500, 0.1), 0.1) == pytest.approx(500) and smallest(10, 0.01) == 1.0


@pytest.mark.parametrize("page", ["README.md", "docs/real.md"])
def test_every_accuracy_in_a_sentence_stands_in_a_table_that_a_command_wrote(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    start, end = ("**A real model of 135 M", "\n") if page == "README.md" else ("## What came out", START)
    said = re.findall(r"\b[5-6]\d\.\d\b", text[text.index(start) :].partition(end)[0])
    assert len(said) >= 6 and [one for one in said if one not in MADE] == []
