"""Judges against published verdicts: ours made up here, and the real ones where they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from shared import SHARED

from prefrepro.csv_schema.schema import read_csv
from prefrepro.errors import UserError
from prefrepro.studies.calibration import published as sets
from prefrepro.studies.calibration.measure import measure
from prefrepro.studies.calibration.pairs import Pair, PublishedSet
from prefrepro.studies.calibration.published import model_first, published_sets
from prefrepro.studies.calibration.run import calibrate, replay_scores

N = 24
ROOT = Path(__file__).parents[2]
needs_data = pytest.mark.skipif(not (SHARED / "data").is_dir(), reason=f"{SHARED}/data is not there")


def tldr_rows(n: int = N) -> pd.DataFrame:
    """Ours is the shorter in three of four, and wins two of three; shown first every second time."""
    rows = [
        {
            "query": f"POST: number {i}",
            "postprocessed_response": f"  {'a' * (10 + i)}.",
            "reference_responses": f"  {'b' * (10 + i + (5 if i % 4 else -5))}.",
            "explanation": "",
            "preferred": "ours" if i % 3 else "reference",
            "shuffled_index": i % 2,
        }
        for i in range(n)
    ]
    return pd.DataFrame(rows)


def write_tldr(folder: Path, frame: pd.DataFrame) -> Path:
    path = folder / sets.TLDR
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return folder


def write_alpaca(folder: Path, n: int = 8) -> Path:
    """One model with annotations and outputs, one without outputs, and two models with scores."""
    instructions = [f"Say {i}." for i in range(n)]
    reference = [{"instruction": text, "output": f"R {text}"} for text in instructions]
    outputs = [{"instruction": text, "output": f"A longer {text}"} for text in instructions]
    preferences = [1.5, *[1.9 if i % 2 else 1.1 for i in range(1, n)]]
    annotations = [
        {"model": model, "index": i, "preference": preference}
        for model in ("mine", "other")
        for i, preference in enumerate(preferences)
    ]
    scored = [
        {"instruction": text, "completions": [{"model": m, "response": f"{m} {text}", "score": 0.25} for m in "xy"]}
        for text in instructions[:3]
    ]
    for name in (sets.ANNOTATIONS, sets.REFERENCES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(annotations).to_csv(folder / sets.ANNOTATIONS, index=False)
    (folder / sets.REFERENCES).write_text(json.dumps(reference), encoding="utf-8")
    (folder / sets.OUTPUTS.format(model="mine")).write_text(json.dumps(outputs), encoding="utf-8")
    (folder / sets.SCORED).write_text("\n".join(map(json.dumps, scored)), encoding="utf-8")
    return folder


def row_of(frame: pd.DataFrame, judge: str, name: str = "tldr/ppo-1.3b") -> dict[str, Any]:
    (row,) = (row for row in frame.to_dict("records") if (row["judge"], row["published_set"]) == (judge, name))
    return row


def test_the_replay_agrees_with_itself_and_length_does_not(tmp_path: Path) -> None:
    """The shorter one agrees where i % 4 and i % 3 are not 0 (12 of 24) or both are (2): the longer one in 10 of 24."""
    folder = write_tldr(tmp_path / "data", tldr_rows())
    calibrate(folder, tmp_path / "out", judges=["replay", "longer"], protocol="paper")
    frame = read_csv(tmp_path / "out/calibration.csv", "calibration")
    replay, longer = row_of(frame, "replay"), row_of(frame, "longer")
    assert (replay["n"], replay["agreement_pct"], replay["kappa"], replay["shift_pp"]) == (N, 100, 1, 0)
    # 24 agreements of 24 leave a shift of z² / (24 + z²) open, and κ uncertain: once [0, 0] and [1, 1].
    assert (replay["shift_ci_low"], replay["shift_ci_high"]) == pytest.approx((-13.798, 13.798), abs=0.001)
    assert 0.6 < replay["kappa_ci_low"] < 0.75 and replay["kappa_ci_high"] == 1
    for name in ("first_shown_pct", "win_when_first_pct", "win_when_second_pct"):
        assert replay[name] == replay[f"published_{name}"]
    assert longer["agreement_pct"] == pytest.approx(100 * 10 / 24)
    assert (longer["win_rate_pct"], longer["published_win_rate_pct"]) == (25, pytest.approx(100 * 16 / 24))
    assert longer["shift_pp"] == pytest.approx(-100 * 10 / 24)
    assert longer["shift_ci_low"] < longer["shift_pp"] < longer["shift_ci_high"]
    assert (longer["longer_won_pct"], longer["over_longer_pp"], longer["longer_won_ci_high"]) == (100, 0, 100)
    assert longer["published_longer_won_pct"] == pytest.approx(100 * 10 / 24)
    assert longer["longer_shift_ci_low"] < longer["longer_shift_pp"] == pytest.approx(100 * 14 / 24)
    assert replay["over_longer_pp"] == pytest.approx(100 * 14 / 24) and replay["longer_shift_pp"] == pytest.approx(0)
    verdicts = read_csv(tmp_path / "out/calibration_verdicts.csv", "verdicts")
    assert len(verdicts) == 2 * N
    assert "| tldr/ppo-1.3b | replay" in (tmp_path / "out/calibration.md").read_text(encoding="utf-8")


def test_both_orders_are_asked_under_robust(tmp_path: Path) -> None:
    folder = write_tldr(tmp_path / "data", tldr_rows(6))
    frame = calibrate(folder, tmp_path / "out", judges=["replay"], protocol="robust")
    replay = row_of(frame, "replay")
    assert (replay["n"], replay["agreement_pct"], replay["shift_pp"]) == (6, 100, 0)
    assert (replay["first_shown_pct"], replay["first_shown_null_pct"]) == (50, 50), "each answer was shown first once"
    assert len(read_csv(tmp_path / "out/calibration_verdicts.csv", "verdicts")) == 12


def test_alpaca_eval_sets_are_read_and_replayed(tmp_path: Path) -> None:
    folder = write_alpaca(tmp_path / "data")
    found = {published.name: published for published in published_sets(folder)}
    assert list(found) == ["alpaca_eval2/mine", "alpaca_eval2_200/x", "alpaca_eval2_200/y"]
    mine = found["alpaca_eval2/mine"]
    assert (len(mine.pairs), mine.n_left_out) == (7, 1), "the published tie is left out and counted"
    first = mine.pairs[0]
    assert (first.history, first.candidate, first.baseline) == ("\n<|user|>\nSay 1.", "A longer Say 1.", "R Say 1.")
    assert (first.score, first.candidate_first) == (pytest.approx(0.9), model_first("Say 1."))
    frame = calibrate(folder, tmp_path / "out", judges=["replay"], protocol="paper")
    assert list(frame["agreement_pct"]) == [100, 100, 100]
    assert list(frame["win_rate_pct"]) == [pytest.approx(100 * 4 / 7), 0, 0]


def test_a_judge_that_cannot_read_a_set_says_so(tmp_path: Path) -> None:
    folder = write_tldr(tmp_path / "data", tldr_rows(4))
    frame = calibrate(folder, tmp_path / "out", judges=["replay", "world"], protocol="paper")
    world = row_of(frame, "world")
    assert world["status"] == "refused" and "embedded world" in world["note"] and pd.isna(world["agreement_pct"])
    with pytest.raises(UserError, match="no judge could judge a published set: scorer world"):
        calibrate(folder, tmp_path / "none", judges=["world"], protocol="paper")
    assert not (tmp_path / "none/calibration.csv").exists()


WORDS = {1: "win", 0: "loss", 0.5: "tie", None: "invalid"}


def verdicts(scores: list[float | None], first: list[bool] | None = None) -> pd.DataFrame:
    """Of `pairs`, each shown in one order."""
    order = ["candidate_first" if one else "baseline_first" for one in first or [True] * len(scores)]
    names = [f"p{i}" for i in range(len(scores))]
    return pd.DataFrame({"prompt_id": names, "score": scores, "verdict": [WORDS[s] for s in scores], "order": order})


def pairs(scores: list[float], first: list[bool]) -> list[Pair]:
    return [Pair(f"p{i}", "", "", "", shown, score) for i, (score, shown) in enumerate(zip(scores, first, strict=True))]


def test_agreement_and_kappa_by_hand() -> None:
    """Both say win 3 times of 6 and agree on 4: agreement 2/3, by chance 1/2, so κ = (2/3 - 1/2) / (1/2) = 1/3."""
    first = [True, False] * 3
    row = measure(pairs([1, 1, 1, 0, 0, 0], first), verdicts([1, 1, 0, 1, 0, 0], first))
    assert (row["n"], row["n_tie"], row["n_invalid"], row["shift_pp"]) == (6, 0, 0, 0)
    assert row["agreement_pct"] == pytest.approx(200 / 3) and row["kappa"] == pytest.approx(1 / 3)
    assert (row["win_when_first_pct"], row["win_when_second_pct"]) == (pytest.approx(100 / 3), pytest.approx(200 / 3))
    assert row["first_shown_pct"] == pytest.approx(100 / 3), "first won: p0; second won: p1, p3 and, as losses, p2, p4"


def test_ties_and_invalid_are_counted_and_not_agreed_with() -> None:
    row = measure(pairs([1, 1, 0, 0], [True] * 4), verdicts([1, 0.5, None, 0]))
    assert (row["n"], row["n_tie"], row["n_invalid"], row["agreement_pct"]) == (2, 1, 1, 100)
    assert row["win_when_second_pct"] is None and row["n_prompts"] == 2
    nothing = measure(pairs([1, 0], [True, False]), verdicts([0.5, None]))
    assert nothing == {"n": 0, "n_tie": 1, "n_invalid": 1}


def test_kappa_is_undefined_where_both_say_always_the_same() -> None:
    row = measure(pairs([1, 1], [True, False]), verdicts([1, 1]))
    assert (row["agreement_pct"], row["kappa"]) == (100, None)


def test_one_answer_with_two_published_scores_cannot_be_replayed() -> None:
    one = Pair("p", "\nh", "same.", "b.", True, 1.0)
    two = Pair("q", "h", "same. cut off", "b.", True, 0.0)
    with pytest.raises(UserError, match="same answer with scores 1 and 0"):
        replay_scores(PublishedSet("x", "j", "dialogue", (one, two), 0))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda frame: frame.drop(columns="preferred"), "lacks column preferred"),
        (lambda frame: frame.assign(preferred="both"), "KeyError: 'both'"),
        (lambda frame: frame.assign(query=float("nan")), "a published set cannot be read"),
    ],
)
def test_a_set_of_another_form_is_a_clear_error(tmp_path: Path, spoil: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        published_sets(write_tldr(tmp_path, spoil(tldr_rows(3))))


def test_without_data_the_command_says_what_it_wants(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefrepro", "calibration", f"published={tmp_path}/nowhere"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "nowhere is no folder" in done.stderr and sets.TLDR in done.stderr and "published=FOLDER" in done.stderr


@needs_data
def test_published_verdicts_of_tldr_prefer_the_summary_shown_first() -> None:
    """docs/judging.md#order-and-ties: the candidate wins 71.6 % when first, 55.8 % when second; first wins 58.4 %."""
    (tldr,) = (found for found in published_sets(SHARED / "data") if found.name == "tldr/ppo-1.3b")
    own = verdicts([pair.score for pair in tldr.pairs], [pair.candidate_first for pair in tldr.pairs])
    own["prompt_id"] = [pair.prompt_id for pair in tldr.pairs]
    row = measure(tldr.pairs, own)
    assert (row["n"], tldr.n_left_out) == (1000, 0)
    assert round(row["published_win_when_first_pct"], 1) == 71.6
    assert round(row["published_win_when_second_pct"], 1) == 55.8
    assert round(row["published_first_shown_pct"], 1) == 58.4


@needs_data
def test_published_verdicts_replayed_agree_with_themselves(tmp_path: Path) -> None:
    """The first 40 of each set, through the real server and client."""
    frame = calibrate(SHARED / "data", tmp_path, judges=["replay"], protocol="paper", first=40)
    frame = frame.loc[frame["judge"] == "replay"]
    assert len(frame) == 6, "people compare two answers, so their sets cannot be replayed"
    assert set(frame["agreement_pct"]) == {100.0} and set(frame["shift_pp"]) == {0.0}
    assert set(frame["n"]) == {40}
