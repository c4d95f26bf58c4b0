"""Packed rows with shared prompts give the losses and gradients of padded ones: every method, several architectures."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from train_helpers import OF_DATA, compute_norms_in, inputs_for, make_inputs, make_policy, method_of, run_method

from prefrepro.model import attention
from prefrepro.model.attention import MODEL_TYPES
from prefrepro.model.packing import Block
from prefrepro.model.policy import Layout, Policy
from prefrepro.specs.method import method_names
from prefrepro.train.checkpoint import CheckpointStore

WINDOW: dict[str, Any] = {"sliding_window": 6, "num_hidden_layers": 2}
GROUPED: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2}


def policy_with(dtype: torch.dtype, layout: Layout, name: str, model_type: str, **changes) -> Policy:
    policy = make_policy(model_type, dtype, layout, method_of(name).NEEDS.output, **changes)
    compute_norms_in(dtype, policy.model)
    return policy


def gradient(policy: Policy, name: str, store: CheckpointStore, **changes) -> tuple[float, torch.Tensor]:
    """Loss and clipped gradient of the first step, one long vector."""
    needs = method_of(name).NEEDS
    rollout = OF_DATA if needs.shape == "rollout" else None
    outcome = run_method(policy, name, store, inputs_for(needs), max_steps=1, rollout=rollout, **changes)
    store.clear()
    return outcome.final_loss, torch.cat([p.grad.flatten() for p in policy.model.parameters() if p.grad is not None])


def assert_equal(
    name: str, store: CheckpointStore, layout: Layout, dtype: torch.dtype, model_type: str = "llama", **changes
) -> None:
    limit = 1e-10 if dtype == torch.float64 else 1e-5
    expected_loss, expected = gradient(policy_with(dtype, "padded", name, model_type, **changes), name, store)
    loss, found = gradient(policy_with(dtype, layout, name, model_type, **changes), name, store)
    assert abs(loss - expected_loss) <= limit * max(1, abs(expected_loss))
    assert float((found - expected).norm()) <= limit * float(expected.norm())
    assert float(expected.norm()) > 0


@pytest.mark.parametrize("name", method_names())
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_every_method(name: str, dtype: torch.dtype, store: CheckpointStore) -> None:
    assert_equal(name, store, "shared", dtype, **GROUPED)


@pytest.fixture(params=[0, attention.ONE_CALL], ids=["by-response", "by-block"])
def _calls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are long, or short enough for one call."""
    monkeypatch.setattr(attention, "ONE_CALL", request.param)


@pytest.mark.usefixtures("_calls")
@pytest.mark.parametrize("name", ["rpo_paired", "swepo", "kto", "sft", "bradley_terry", "ppo"])
@pytest.mark.parametrize(
    ("model_type", "changes"),
    [("mistral", WINDOW), ("mistral", {"sliding_window": None}), ("llama", {"num_hidden_layers": 2})],
    ids=["mistral-window", "mistral", "llama-2"],
)
@pytest.mark.parametrize("layout", ["shared", "packed"])
def test_every_shape_and_window(
    name: str, model_type: str, changes: dict, layout: Layout, store: CheckpointStore
) -> None:
    assert_equal(name, store, layout, torch.float64, model_type, **changes)


@pytest.mark.parametrize("model_type", sorted(MODEL_TYPES))
def test_every_architecture_that_is_packed(model_type: str, store: CheckpointStore) -> None:
    assert_equal("dpo", store, "shared", torch.float64, model_type, num_hidden_layers=2)
    assert make_policy(model_type).layout == "shared"


@pytest.mark.usefixtures("_calls")
def test_layers_may_have_windows_of_their_own(store: CheckpointStore) -> None:
    """Qwen 2: the first layer sees everything, the second one a window."""
    changes: dict[str, Any] = {
        "num_hidden_layers": 2,
        "use_sliding_window": True,
        "sliding_window": 6,
        "max_window_layers": 1,
    }
    policy = make_policy("qwen2", **changes)
    assert policy.model.config.layer_types == ["full_attention", "sliding_attention"]
    assert_equal("dpo", store, "shared", torch.float64, "qwen2", **changes)


@pytest.mark.usefixtures("_calls")
@pytest.mark.parametrize("window", [6, 1000])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_attention_in_bfloat16_is_as_near_to_float64_as_torchs(window: int, scale: float | None) -> None:
    """Its own products on a CPU: outputs and gradients, of query heads that share keys."""
    numbers = torch.Generator().manual_seed(2)
    of = (Block(20, (9, 14)), Block(11, ()), Block(5, (3, 4, 5)))
    tokens = sum(map(len, of))
    heads = [torch.randn(1, n, tokens, 8, generator=numbers).bfloat16() for n in (6, 2, 2)]
    uneven = torch.randn(1, 6, tokens, 8, generator=numbers).bfloat16()

    def found(dtype: torch.dtype) -> list[torch.Tensor]:
        leaves = [tensor.to(dtype).requires_grad_() for tensor in heads]
        query, key, value = leaves
        out = attention._by_block(query, key, value, attention.Blocks(of, torch.device("cpu")), scale, window)
        return [out, *torch.autograd.grad((out * uneven).sum(), leaves)]

    for one, other in zip(found(torch.bfloat16), found(torch.float64), strict=True):
        assert (one.double() - other).norm() / other.norm() < 0.01


def test_an_unknown_architecture_is_padded_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        policy = make_policy("gpt_neox")
    assert policy.layout == "padded"
    assert "gpt_neox: not known to be packed rightly" in caplog.text
    assert policy(make_inputs(3).pairs.chosen).shape == (3,)


def test_checkpointed_activations_change_nothing() -> None:
    sequences = make_inputs(4).pairs.chosen
    plain, checkpointed = make_policy(num_hidden_layers=2), make_policy(num_hidden_layers=2)
    checkpointed.model.gradient_checkpointing_enable()
    found = []
    for policy in (plain, checkpointed):
        policy.model.train()
        policy(sequences).sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in policy.model.parameters() if p.grad is not None]))
    assert torch.equal(*found)


def test_generation_goes_on_as_before_packing() -> None:
    """A policy answers prompts between its updates: the packed attention is transformers' own outside of rows."""
    packed, padded = make_policy("mistral", **WINDOW), make_policy("mistral", layout="padded", **WINDOW)
    packed(make_inputs(3).pairs.chosen)
    ids = torch.tensor([[0, 0, 5, 6, 7, 8, 9], [4, 5, 6, 7, 8, 9, 10]])
    mask = (ids > 0).long()
    answers = [
        policy.model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=12, do_sample=False, pad_token_id=0)
        for policy in (packed, padded)
    ]
    assert torch.equal(*answers)
