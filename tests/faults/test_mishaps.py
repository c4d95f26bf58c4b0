"""Steps without a number and without memory: the run stops by name, or leaves them out and says so."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from train_helpers import learner_of, make_inputs, make_policy, method_of, settings, weights

from methods.contract import LossOutput
from prefrepro.errors import UserError
from prefrepro.model.batches import step_rows
from prefrepro.model.policy import Policy
from prefrepro.model.training import Training
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import Outcome, train

Tell = Callable[..., None]
SEED = 7
BAD_STEP = 5
"""Counted from 1; checkpoints are written after steps 2 and 4."""
FAULTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "NaN loss": lambda losses: losses * math.nan,
    "infinite loss": lambda losses: losses + math.inf,
    "exploding gradient": lambda losses: losses + (losses - losses.detach()) * 1e38,
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Threads that wait for each other crawl on a loaded machine."""
    torch.set_num_threads(1)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def broken_at(method: ModuleType, spoil: Callable[[torch.Tensor], torch.Tensor], steps: set[int]) -> Callable[..., Any]:
    """The method's loss, whose value is spoilt in these calls; one call is one step here."""
    calls = 0

    def loss(batch: Any, hp: Any) -> LossOutput:
        nonlocal calls
        calls += 1
        out = method.loss(batch, hp)
        return LossOutput(spoil(out.losses), out.chosen_rewards, out.rejected_rewards) if calls in steps else out

    return loss


def run(policy: Policy, store: CheckpointStore, loss: Callable[..., Any] | None = None, **changes: Any) -> Outcome:
    method = method_of("dpo")
    values = settings(max_steps=None, epochs=3.0, checkpoint_every=2, micro_batch=32, **changes)
    chosen = loss or method.loss
    return train(learner_of(policy, method, Training(**values), make_inputs(), loss=chosen), store)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_step_without_a_number_stops_the_run(fault: str, store: CheckpointStore, tell: Tell) -> None:
    """With the step, every prompt of its batch and the last good checkpoint, from which the run ends as if unbroken."""
    policy, inputs, needs = make_policy(dtype=torch.float32), make_inputs(), method_of("dpo").NEEDS
    with pytest.raises(UserError, match=rf"step {BAD_STEP}: the loss is .* gradient norm") as caught:
        run(policy, store, broken_at(method_of("dpo"), FAULTS[fault], {BAD_STEP}))
    message = str(caught.value)
    rows = step_rows(inputs.prompt_ids, needs, 8, SEED)(BAD_STEP - 1)
    assert all(inputs.prompt_ids[row] in message for row in rows.chosen)
    assert f"{store.folder}/step-000000004.pt" in message and "on_nan: skip" in message
    again, whole = make_policy(dtype=torch.float32), make_policy(dtype=torch.float32)
    run(again, store)
    run(whole, CheckpointStore(store.folder.parent / "whole"))
    torch.testing.assert_close(weights(again), weights(whole), rtol=0, atol=0)
    tell(f"{fault}, on_nan: stop", 1, refused=1)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_step_without_a_number_is_left_out_and_recorded(fault: str, store: CheckpointStore, tell: Tell) -> None:
    policy = make_policy(dtype=torch.float32)
    outcome = run(policy, store, broken_at(method_of("dpo"), FAULTS[fault], {BAD_STEP}), on_nan="skip")
    assert outcome.skipped == [BAD_STEP]
    assert BAD_STEP not in [entry["step"] for entry in outcome.metrics], "no number is made of it"
    assert len(outcome.metrics) == outcome.steps - 1
    assert all(math.isfinite(entry["loss"]) for entry in outcome.metrics) and math.isfinite(outcome.final_loss)
    assert all(tensor.isfinite().all() for tensor in weights(policy).values())
    state = store.load()
    assert state is not None and state["skipped"] == [BAD_STEP], "a run that goes on from here knows it"
    tell(f"{fault}, on_nan: skip", 1, recovered=1)


@pytest.mark.parametrize(("steps", "said"), [(9, r"no step .* all 9 were left out"), (30, "step 10: .* after 9 such")])
def test_a_run_of_bad_steps_alone_is_no_result(store: CheckpointStore, steps: int, said: str) -> None:
    loss = broken_at(method_of("dpo"), FAULTS["NaN loss"], set(range(1, steps + 1)))
    method, values = method_of("dpo"), settings(max_steps=steps, epochs=30.0, on_nan="skip", micro_batch=32)
    with pytest.raises(UserError, match=said):
        train(learner_of(make_policy(dtype=torch.float32), method, Training(**values), make_inputs(), loss=loss), store)


HUNGRY = """
import json, resource, sys
from pathlib import Path
import torch
from test_mishaps import run, make_policy
from prefrepro.errors import UserError
from prefrepro.train.checkpoint import CheckpointStore
import test_mishaps
torch.set_num_threads(1)
store, policy = CheckpointStore(Path(sys.argv[1])), make_policy(dtype=torch.float32)
method, calls = test_mishaps.method_of("dpo"), 0
def loss(batch, hp):
    global calls
    calls += 1
    if calls == test_mishaps.BAD_STEP:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
        torch.ones(2**32)
    return method.loss(batch, hp)
try:
    run(policy, store, loss)
except UserError as error:
    print(json.dumps(str(error)))
"""


def test_a_step_without_memory_stops_the_run(store: CheckpointStore, tell: Tell) -> None:
    """Under an rlimit; where the kernel kills instead (a cgroup), it is a kill -9 like any other."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", HUNGRY, str(store.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    message = json.loads(done.stdout)
    assert f"step {BAD_STEP}: there is not enough memory" in message
    assert f"{store.folder}/step-000000004.pt" in message and "lower micro_batch (32)" in message
    assert "Prompts of this batch: " in message
    state = store.load()
    assert state is not None and state["step"] == 4
    tell("out of memory (rlimit)", 1, refused=1)
