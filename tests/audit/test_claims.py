"""The claims in both papers' prose, against the cells that are really printed."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from prefrepro.csv_schema.schema import read_csv
from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.specs.claims import Claim, Comparison, claim_files, read_claims
from prefrepro.studies.audit import claims
from prefrepro.studies.audit.claims import Judged, Pair
from prefrepro.studies.audit.printed import Printed, read_printed

NOT_BORNE_OUT = {
    "rpo/outperforms": {("rpo-unpaired", "dpo", "hh-llama2-7b"), ("rpo-unpaired", "kto", "hh-llama2-7b"),
                        ("rpo-unpaired", "kto", "hh-llama2-13b")},
    "rpo/contribution": {("rpo-unpaired", "dpo", "hh-llama2-7b"), ("rpo-unpaired", "kto", "hh-llama2-7b"),
                         ("rpo-unpaired", "kto", "hh-llama2-13b")},
    "rpo/conclusion": {("rpo-unpaired", "dpo", "hh-llama2-7b"), ("rpo-unpaired", "kto", "hh-llama2-7b"),
                       ("rpo-unpaired", "kto", "hh-llama2-13b")},
    "rpo/rpo-majority": {("rpo-unpaired", "dpo", "hh-llama2-7b"), ("rpo-unpaired", "kto", "hh-llama2-7b"),
                         ("rpo-unpaired", "kto", "hh-llama2-13b")},
    "rpo/moderate-tau": {("tau-0.5", "tau-0.25", "st5l"), ("tau-0.5", "tau-0.75", "st5l")},
    "rpo/batch-grows": {("rpo-paired", "rpo-paired", "per-gpu-6")},
    "rpo/sft-surpassed": {("ipo", "sft", "hh-llama2-13b")},
    "rpo/mistral-outstanding": {("kto", "kto", "hh-mistral-7b")},
    "rpo/unpaired-competes": {("rpo-unpaired", "rpo-paired", "alpaca-eval")},
    "swepo/state-of-the-art": {("swepo-p2", "infonca-paper", "ae2-lc")},
    "swepo/best-pairs": {("k-1", "best-vs-worst", "ae2-wr"), ("k-1", "best-vs-random", "ae2-wr")},
    "swepo/suboptimal": {("k-1", "best-vs-worst", "ae2-wr"), ("k-1", "best-vs-random", "ae2-wr")},
    "swepo/many-positives": {("swepo-p0", "swepo-1vk-p0", "ae1-wr")},
    "swepo/weighting": {("swepo-p2", "swepo-p0", "ae1-wr")},
}  # fmt: skip
"""Read from the printed tables by hand: claim -> (row said to be higher, the other, column of the first)."""


@functools.cache
def printed() -> tuple[Printed, ...]:
    return tuple(read_printed())


def judged(**ours: float) -> list[Judged]:
    return claims.judge(printed(), {("rpo", "table1", row, "win-rate"): value for row, value in ours.items()})


def one(reported: float, kind: str = "count", n: int = 256) -> Printed:
    return Printed("p", "t", "r", "c", "R", "C", "win_rate_pct", kind, "pairwise", reported, 2, n, "", None)


def test_the_printed_cells_that_do_not_bear_a_sentence_out_are_found() -> None:
    found = {
        f"{one.paper}/{one.name}": {(pair.higher.row, pair.lower.row, str(pair.higher.column)) for pair in one.pairs
                                    if not pair.holds}
        for one in judged()
    }  # fmt: skip
    assert {name: places for name, places in found.items() if places} == NOT_BORNE_OUT


def test_ours_are_judged_by_the_same_sentence() -> None:
    by_name = {one.name: one for one in judged(dpo=60.0, uniform=55.0, diagonal=65.0)}
    claim = by_name["uniform-diagonal"]
    assert [pair.ours for pair in claim.pairs] == [(60.0, 55.0), (60.0, 65.0)]
    assert claim.verdict(lambda pair: pair.ours_hold) == "in part, 1 of 2"
    assert by_name["reweighting"].verdict(lambda pair: pair.ours_hold) == ""


def test_it_is_written_and_read_back(tmp_path: Path) -> None:
    found = judged()
    claims.write(found, tmp_path / "audit_claims.csv")
    back = read_csv(tmp_path / "audit_claims.csv", claims.SCHEMA)
    assert len(back) == sum(len(one.pairs) or 1 for one in found)
    page = claims.section(found)
    assert "IPO, HH, LLaMA2-13B 46.48 – SFT 48.05" in page and "16.64 – InfoNCA on rewards (Paper) 16.82" in page
    assert "no printed number" in page and all(one.claim.where[:9] in page for one in found)


def test_ours_come_from_the_cells_of_a_results_folder(tmp_path: Path) -> None:
    assert claims.ours_of(tmp_path) == {}


@pytest.mark.parametrize(
    ("higher", "said"),
    [
        ("dpo @ win-rat", r"no table prints table1/dpo/win-rat\. Did you mean table1/dpo/win-rate"),
        ("dpoo", r'no cell of row "dpoo" is printed\. Did you mean dpo'),
    ],
)
def test_a_cell_that_nothing_prints_is_refused(monkeypatch: pytest.MonkeyPatch, higher: str, said: str) -> None:
    comparison = Comparison(table="table1", higher=[higher], lower=["uniform"])
    wrong = Claim(says="x", where="y", compares=[comparison])
    monkeypatch.setattr(claims, "read_claims", lambda path: {"wrong": wrong})
    with pytest.raises(UserError, match=rf"claims\.yaml, wrong: {said}"):
        judged()


def test_a_misspelt_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "claims.yaml").write_text("a: {says: x, where: y, compare: [x]}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r'"compare" is unknown.*Did you mean compares'):
        read_claims(tmp_path / "claims.yaml")


def test_both_papers_have_claims() -> None:
    assert [path.parent.name for path in claim_files()] == ["rpo", "swepo"]
    assert all(path.is_relative_to(ROOT) for path in claim_files())


@pytest.mark.parametrize(
    ("higher", "lower", "by_pct", "holds"),
    [
        (16.64, 13.36, 24, True),  # +24.55 %, cut
        (11.94, 8.41, 42, True),  # +41.97 %, rounded
        (11.94, 9.37, 42, False),  # +27.4 %
        (16.64, 16.06, 3.6, True),  # +3.61 %
        (16.64, 16.06, 3.7, False),
        (74.61, 74.60, None, False),  # 191 of 256, rounded and cut
        (75.00, 74.61, None, True),
    ],
)
def test_a_comparison(higher: float, lower: float, by_pct: float | None, holds: bool) -> None:
    assert Pair(one(higher), one(lower), by_pct, False, None).holds is holds


def test_fitted_numbers_and_unlike_prompts_have_no_test() -> None:
    assert Pair(one(60.0, "fitted"), one(50.0), None, False, None).p is None
    assert Pair(one(60.0), one(50.0, n=512), None, False, None).p is None
    assert Pair(one(78.52), one(72.26), None, False, None).p == pytest.approx(0.100, abs=1e-3)


def test_close_is_not_significantly_different() -> None:
    assert Pair(one(50.39), one(50.00), None, True, None).holds
    assert not Pair(one(31.24, n=805), one(38.88, n=805), None, True, None).holds
