"""Published verdicts must give the published numbers: `pytest -k published_verdicts --acceptance=DIR`.

Every model in the folder's files is a case (format: its README.md), so another folder needs no change here.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from shared import SHARED

from prefrepro.judge.alpaca.difficulty import load_gamed
from prefrepro.judge.alpaca.evaluate import verdict_of
from prefrepro.judge.alpaca.length_control import length_controlled

COUNTS = ("n_wins", "n_wins_base", "n_draws", "n_total")
LOOSE_PP = 0.16
"""Where lc_tolerance.csv does not name a model: scikit-learn's folds may depend on the environment."""


@cache
def verdicts_of(path: Path) -> dict[str, pd.DataFrame]:
    """The verdicts of each model, in row order."""
    return {str(model): rows.sort_values("row") for model, rows in pd.read_csv(path).groupby("model")}


@cache
def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, index_col=0)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One case per file of verdicts and model."""
    folder: Path = metafunc.config.getoption("acceptance") or SHARED / "data" / "acceptance"
    cases = [
        pytest.param(path, folder / f"leaderboard_{board}.csv", model, id=f"{board}-{model}")
        for path in sorted(folder.glob("*_annotations_slim.csv*"))
        for board in [path.name.split("_annotations_slim")[0]]
        for model in verdicts_of(path)
        if "length" not in metafunc.function.__name__ or board.startswith("ae2")
    ]
    absent = pytest.mark.skip(reason=f"{folder} holds no published verdicts: give --acceptance=DIR")
    metafunc.parametrize(("verdicts", "leaderboard", "model"), cases or [pytest.param(None, None, "", marks=absent)])


def test_published_verdicts_give_the_published_win_rate(verdicts: Path, leaderboard: Path, model: str) -> None:
    """Win rate, standard error and counts, by our own verdict rows."""
    published = table(leaderboard).loc[model]
    preferences = verdicts_of(verdicts)[model]["preference"].tolist()
    rows = pd.DataFrame([verdict_of(preference) for preference in preferences], columns=["verdict", "score"])
    assert [100 * rows["score"].mean(), 100 * rows["score"].sem()] == pytest.approx(
        published[["win_rate", "standard_error"]].tolist(), abs=1e-6
    )
    ours = [rows["verdict"].tolist().count(verdict) for verdict in ("win", "loss", "tie", "invalid")]
    assert [*ours[:3], len(rows) - ours[3]] == published[list(COUNTS)].tolist()


def test_published_verdicts_give_the_published_length_controlled_win_rate(
    verdicts: Path, leaderboard: Path, model: str, df_gamed: Path
) -> None:
    """With the published habit of looking the difficulty up by row, also where rows are missing (README.md)."""
    published = table(leaderboard).loc[model]
    if pd.isna(published["length_controlled_winrate"]):
        pytest.skip(f"no length-controlled win rate of {model} was published")
    rows = verdicts_of(verdicts)[model]
    tolerances = verdicts.parent / "lc_tolerance.csv"
    known = table(tolerances)["tolerance_pp"] if tolerances.exists() else pd.Series(dtype=float)
    found = length_controlled(
        rows["preference"].tolist(),
        rows["len_1"].tolist(),
        rows["len_2"].tolist(),
        rows["row"].tolist(),
        load_gamed(df_gamed),
        replicates=0,
    )
    assert found.value == pytest.approx(published["length_controlled_winrate"], abs=known.get(model, LOOSE_PP))
