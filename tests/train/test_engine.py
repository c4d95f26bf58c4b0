"""How a device is used changes no result: activation checkpointing exactly, compiled layers but for rounding."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from train_helpers import make_inputs, make_policy

from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.model.policy import Policy
from prefrepro.specs.files import read_mapping
from prefrepro.specs.runtime import Engine
from prefrepro.specs.scale import check_scale
from prefrepro.train.engine import prepare

SCALE = read_mapping(ROOT / "config/scales/paper.yaml")


def gradients(policy: Policy) -> dict[str, torch.Tensor]:
    policy.model.train()
    pairs = make_inputs(4).pairs
    policy([*pairs.chosen, *pairs.rejected]).sum().backward()
    return {name: parameter.grad for name, parameter in policy.model.named_parameters() if parameter.grad is not None}


def prepared(**engine: bool) -> Policy:
    policy = make_policy(num_hidden_layers=2)
    prepare(policy.model, Engine(**engine))
    return policy


def test_checkpointed_activations_give_the_same_gradients() -> None:
    policy = prepared(activation_checkpointing=True)
    assert policy.model.is_activation_checkpointing
    torch.testing.assert_close(gradients(policy), gradients(prepared()), rtol=0, atol=0)


@pytest.mark.slow
def test_compiled_layers_give_the_same_gradients() -> None:
    expected = gradients(prepared())
    size = max(float(value.abs().max()) for value in expected.values())
    # transformers' norms and rotations are in float32, whatever the model is in.
    torch.testing.assert_close(gradients(prepared(compile=True)), expected, rtol=0, atol=1e-5 * size)


@pytest.mark.parametrize("values", [{"compil": True}, {"compile": "yes"}, ["compile"]])
def test_a_misspelt_engine_is_refused_before_anything_runs(values: object) -> None:
    with pytest.raises(UserError, match=r'engine: "compil" is unknown|compile: found .yes.|expected a mapping'):
        check_scale(SCALE | {"engine": values}, "paper.yaml")


def test_every_field_of_the_engine_may_stand_in_a_scale() -> None:
    values = {
        field.name: type(field.default)(1) for field in dataclasses.fields(Engine) if field.name != "snapshot_seeds"
    }
    assert check_scale(SCALE | {"engine": values}, "here")["engine"] == values
