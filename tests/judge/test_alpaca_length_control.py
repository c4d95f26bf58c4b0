"""The length-controlled win rate against the package's own function, and its interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from alpaca_helpers import ACCEPTANCE, published_verdicts

from prefrepro.judge.alpaca.difficulty import load_gamed
from prefrepro.judge.alpaca.length_control import length_controlled
from prefrepro.judge.alpaca.package import quiet


def made(n: int, seed: int = 0) -> tuple[list[float], list[int], list[int]]:
    """Verdicts of a judge that likes length and, beside it, the candidate a little: log-odds 0.3 + 2 tanh(longer)."""
    rng = np.random.default_rng(seed)
    reference, candidate = rng.integers(50, 150, n), rng.integers(100, 200, n)
    delta = (reference - candidate) / (reference - candidate).std(ddof=1)
    win = 1 / (1 + np.exp(-(0.3 - 2 * np.tanh(delta))))
    return (1 + (rng.random(n) < win)).astype(float).tolist(), reference.tolist(), candidate.tolist()


@pytest.mark.parametrize("missing", [[], [3, 700]])
def test_the_value_is_the_packages(monkeypatch: pytest.MonkeyPatch, df_gamed: Path, missing: list[int]) -> None:
    """Its function on the same verdicts, texts of the same lengths and the same file; verdicts may be missing."""
    verdicts = published_verdicts("claude-2.1")
    preferences = verdicts["preference"].to_numpy(copy=True)
    preferences[missing] = np.nan
    with quiet():
        from alpaca_eval.metrics import glm_winrate

        monkeypatch.setattr(glm_winrate, "hf_hub_download", lambda **_: str(df_gamed))
        frame = pd.DataFrame({"preference": preferences, "generator_1": "reference", "generator_2": "candidate"})
        frame["output_1"] = ["x" * length for length in verdicts["len_1"]]
        frame["output_2"] = ["x" * length for length in verdicts["len_2"]]
        package = glm_winrate.get_length_controlled_winrate(frame, save_weights_dir=None)
    ours = length_controlled(
        preferences.tolist(),
        verdicts["len_1"].tolist(),
        verdicts["len_2"].tolist(),
        range(805),
        load_gamed(df_gamed),
        replicates=0,
    )
    assert ours.value == pytest.approx(package["length_controlled_winrate"], abs=1e-9)


def test_rows_keep_the_difficulty_of_their_instruction(df_gamed: Path) -> None:
    """Shuffled rows with their numbers give the same fit up to its folds; by position they would give 31."""
    verdicts = published_verdicts("claude-2.1")
    gamed = load_gamed(df_gamed)

    def value(rows: pd.DataFrame, numbers: list[int]) -> float:
        preferences, reference, candidate = (rows[name].tolist() for name in ("preference", "len_1", "len_2"))
        found = length_controlled(preferences, reference, candidate, numbers, gamed, replicates=0).value
        assert found is not None
        return found

    shuffled = verdicts.sample(frac=1, random_state=0)
    assert value(verdicts, verdicts["index"].tolist()) == pytest.approx(25.252, abs=5e-3)
    assert value(shuffled, shuffled["index"].tolist()) == pytest.approx(25.25, abs=0.1)
    assert value(shuffled, list(range(805))) > 30


def test_the_interval_is_that_of_resampled_prompts(df_gamed: Path) -> None:
    """docs/judging.md#length-control: a standard error of 1.49 for claude-2.1, where the package says 0.75."""
    verdicts = published_verdicts("claude-2.1")
    preferences, reference, candidate = (verdicts[name].tolist() for name in ("preference", "len_1", "len_2"))
    found = length_controlled(preferences, reference, candidate, range(805), load_gamed(df_gamed), replicates=60)
    assert len(found.replicates) == 60
    assert 1.1 < np.std(found.replicates, ddof=1) < 2.1
    assert np.mean(found.replicates) == pytest.approx(found.value, abs=1)


def test_without_difficulties_the_length_effect_is_taken_out() -> None:
    """The judge's log-odds at equal length are 0.3: P = 57.4 %; raw, the longer candidate wins far more often."""
    preferences, reference, candidate = made(4000)
    assert 100 * (np.mean(preferences) - 1) > 70
    found = length_controlled(preferences, reference, candidate, range(4000), None, replicates=20)
    assert found.value == pytest.approx(57.4, abs=4)
    assert np.mean(found.replicates) == pytest.approx(found.value, abs=2)


def test_rows_of_a_table_share_their_resamples() -> None:
    """The same n draws the same prompts: a row against itself differs by nothing in any replicate."""
    preferences, reference, candidate = made(64)
    first = length_controlled(preferences, reference, candidate, range(64), None, replicates=30)
    again = length_controlled(preferences, reference, candidate, range(64), None, replicates=30)
    other = length_controlled([3 - p for p in preferences], candidate, reference, range(64), None, replicates=30)
    assert first == again
    assert other.value is not None
    assert first.value == pytest.approx(100 - other.value, abs=0.5), "the two sides mirror"
    assert np.corrcoef(first.replicates, other.replicates)[0, 1] < -0.99


@pytest.mark.parametrize(("preference", "value"), [(1.0, 0.0), (2.0, 100.0)])
def test_nothing_but_losses_is_no_win(preference: float, value: float) -> None:
    """liblinear alone turns the sign where a class has no weight: the package's cross-validation says 50 %."""
    found = length_controlled([preference] * 8 + [np.nan], range(9), [5] * 9, range(9), None, replicates=5)
    assert (found.value, set(found.replicates)) == (value, {value})


def test_one_win_among_many_losses_stays_near_none() -> None:
    found = length_controlled([2.0] + [1.0] * 63, list(range(64)), [70] * 64, range(64), None, replicates=50)
    assert found.value is not None
    assert 0 < found.value < 15
    assert all(0 <= value < 25 for value in found.replicates)


def test_where_all_lengths_differ_alike_there_is_no_telling() -> None:
    found = length_controlled([1.0, 2.0, 1.5], [5, 6, 7], [4, 5, 6], range(3), None)
    assert (found.value, found.replicates) == (None, [])
    assert "length" in found.reason


@pytest.mark.parametrize("tie", [1.5, 0.0])
def test_the_reference_against_itself_has_50_by_definition(tie: float) -> None:
    """All pairs are ties (0 in old files) of one length: no effect of length to tell, and none needed."""
    lengths = [5, 60, 700]
    found = length_controlled([tie] * 3, lengths, lengths, range(3), None, replicates=7)
    assert found == (50.0, [50.0] * 7, "")


@pytest.mark.parametrize(
    ("preferences", "candidate"),
    [([1.5, 1.5, 2.0], [5, 6, 7]), ([1.5, 1.5, np.nan], [5, 6, 7]), ([1.5, 1.5, 1.5], [6, 7, 8])],
)
def test_what_is_not_the_reference_has_no_50(preferences: list[float], candidate: list[int]) -> None:
    """A win at equal lengths, a verdict that is missing, ties of answers that are all one character longer."""
    found = length_controlled(preferences, [5, 6, 7], candidate, range(3), None, replicates=7)
    assert (found.value, found.replicates) == (None, [])


def test_the_acceptance_folder_names_a_tolerance_for_each_model() -> None:
    if not ACCEPTANCE.is_dir():
        pytest.skip(f"{ACCEPTANCE} is absent: set PREFREPRO_SHARED")
    named = pd.read_csv(ACCEPTANCE / "lc_tolerance.csv")["model"]
    board = pd.read_csv(ACCEPTANCE / "leaderboard_ae2_weighted_gpt4_turbo.csv", index_col=0)
    assert sorted(named) == sorted(board.index)
