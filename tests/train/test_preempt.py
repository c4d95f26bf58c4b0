"""A training that is asked to go has saved its last step, says «again» by its exit code, and goes on exactly."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
import torch
from train_helpers import learner_of, make_inputs, make_policy, method_of, settings, weights

from prefrepro.model.policy import Policy
from prefrepro.model.training import Training
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import Outcome, train
from prefrepro.train.preempt import EXIT_REQUEUE, noticed, preempted

STEPS = 6


def training(policy: Policy, store: CheckpointStore, asked_at: int | None, number: int = signal.SIGTERM) -> Outcome:
    """Six steps without a checkpoint of their own; during `asked_at` the process is sent a signal."""
    method = method_of("dpo")

    def on_log(metrics: list[dict[str, float]]) -> None:
        if metrics[-1]["step"] == asked_at:
            os.kill(os.getpid(), number)

    given = Training(**settings(max_steps=STEPS, epochs=9.0))
    with noticed():
        return train(learner_of(policy, method, given, make_inputs()), store, on_log=on_log)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("asked_at", [1, 4])
def test_it_saves_leaves_and_goes_on_exactly(
    asked_at: int, number: signal.Signals, store: CheckpointStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        training(make_policy(dtype=torch.float32), store, asked_at, number)
    assert end.value.code == EXIT_REQUEUE
    assert f"{number.name}: saved after step {asked_at} of {STEPS}" in capsys.readouterr().err
    state = store.load()
    assert state is not None
    assert state["step"] == asked_at
    resumed, whole = make_policy(dtype=torch.float32), make_policy(dtype=torch.float32)
    outcome = training(resumed, store, None)
    assert outcome.steps == STEPS
    assert outcome.final_loss == training(whole, CheckpointStore(tmp_path / "whole"), None).final_loss
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=0)


def test_who_is_asked_at_the_last_step_finishes(store: CheckpointStore) -> None:
    assert training(make_policy(dtype=torch.float32), store, STEPS).steps == STEPS


def test_handlers_are_given_back_and_nothing_is_remembered() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)]
    with noticed():
        os.kill(os.getpid(), signal.SIGTERM)
        assert preempted()
    assert not preempted()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)] == before


def test_a_thread_without_handlers_trains_as_before() -> None:
    entered = []

    def work() -> None:
        with noticed():
            entered.append(preempted())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [False]
