"""What `prefrepro new-method` writes trains as it is, through the one loop."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import pytest
import torch
from train_helpers import inputs_for, learner_of, make_policy, settings, weights

from prefrepro.method_tools.new import STARTS, starting_text
from prefrepro.model.training import Training
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import train


@pytest.mark.parametrize("shape", STARTS)
def test_a_new_method_trains(shape: str, tmp_path: Path, store: CheckpointStore) -> None:
    path = tmp_path / f"new_{shape}.py"
    path.write_text(starting_text(path.stem, shape), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    method = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(method)
    policy, inputs = make_policy(), inputs_for(method.NEEDS)
    before = weights(policy)
    training = Training(**settings(max_steps=3))
    outcome = train(learner_of(policy, method, training, inputs), store)
    assert outcome.steps == 3
    assert all(math.isfinite(entry["loss"]) and entry["grad_norm"] > 0 for entry in outcome.metrics)
    after = weights(policy)
    assert any(not torch.equal(after[name], before[name]) for name in before)
