"""Trackers get the rows of metrics.csv, change nothing of a run, and are missed before anything starts."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest
from train_helpers import model_config, settings

from prefrepro.errors import UserError
from prefrepro.plan.build import make_plan
from prefrepro.specs.runtime import Runtime
from prefrepro.train import run
from prefrepro.train import tracking as track

ROWS = [{"step": 10, "loss": 0.5, "lr": 1e-5}, {"step": 20, "loss": 0.25, "grad_norm": float("nan")}]


def test_a_tracker_is_told_what_metrics_csv_says(data_node: Path, tmp_path: Path) -> None:
    told: list[list[dict[str, float]]] = []
    spec = {
        "kind": "base", "config": model_config("mistral", sliding_window=16), "vocab_size": 400, "seed": 0,
        "scale": "test", "reading": "paper", "dataset": "hh", "model": "mistral-7b", "code_digest": "0" * 64,
        "hparams": {}, "part": "pretrain", "training": settings(max_steps=3),
    }  # fmt: skip
    runtime = Runtime(tracker=lambda metrics: told.append(list(metrics)))
    run.pretrain(spec, {"data": data_node}, tmp_path / "base" / "tiny", runtime)
    with (tmp_path / "base" / "tiny" / "metrics.csv").open(newline="") as file:
        written = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    assert told[-1] == written
    assert [len(rows) for rows in told] == list(range(1, len(written) + 1))


def test_tracking_is_no_part_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    tracked = make_plan({"track": "tensorboard"})
    assert list(tracked.nodes) == list(make_plan({}).nodes)
    assert tracked.config.arguments() == ["track=tensorboard"]


def test_a_tracker_that_is_not_there_is_missed_at_planning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--config track: the package wandb is not installed.*pip install wandb"):
        make_plan({"track": "wandb"})
    with pytest.raises(UserError, match=r"track: found .wandv., expected tensorboard, trackio or wandb"):
        make_plan({"track": "wandv"})


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_has_each_row_once_and_each_attempt_anew(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # pyright: ignore

    for _ in range(2):  # the second attempt goes on from a checkpoint, with the rows so far
        write = track.tracker("tensorboard", tmp_path, "run", {})
        write(ROWS[:1])
        write(ROWS)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "run"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(10, 0.5), (20, 0.25)]
    assert "grad_norm" not in events.Tags()["scalars"], "not a number"
