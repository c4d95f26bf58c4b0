"""Fused norms and MLPs equal transformers' own modules, with their gradients, and leave a model what it was."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from train_helpers import make_policy

from prefrepro.model.attention import MODEL_TYPES
from prefrepro.model.cpu_matmul import Linear
from prefrepro.model.fused import GATED, NORMS

FUSED = sorted(MODEL_TYPES)


def modules_of(model_type: str, kinds: frozenset[str]) -> list[Any]:
    model = make_policy(model_type, torch.float32).model
    found = [module for module in model.modules() if type(module).__name__ in kinds]
    assert all("forward" in vars(module) for module in found), "the policy has them fused"
    return found


def values(forward: Any, inputs: Tensor, weights: Sequence[Tensor], uneven: Tensor) -> tuple[Tensor, ...]:
    """Output and gradients."""
    out = forward(inputs)
    return out, *torch.autograd.grad((out * uneven).sum(), [inputs, *weights])


@pytest.mark.parametrize("kinds", [NORMS, GATED], ids=["norm", "mlp"])
@pytest.mark.parametrize("model_type", FUSED)
def test_outputs_and_gradients(model_type: str, kinds: frozenset[str]) -> None:
    for module in modules_of(model_type, kinds):
        weights = list(module.parameters())
        numbers = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for weight in weights:  # a norm's weights are all 1 at first
                weight.copy_(torch.randn(weight.shape, generator=numbers))
        width = weights[0].shape[-1]
        inputs = torch.randn(2, 5, width, generator=numbers).requires_grad_()
        uneven = torch.randn(2, 5, width, generator=numbers)
        expected = values(lambda x, m=module: type(m).forward(m, x), inputs, weights, uneven)
        found = values(module, inputs, weights, uneven)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_each_class_is_one_of_transformers() -> None:
    """A class that transformers renames would silently no longer be fused."""
    classes = {type(m).__name__ for kind in FUSED for m in make_policy(kind, torch.float32).model.modules()}
    assert classes >= NORMS | GATED


def test_less_is_kept() -> None:
    module = modules_of("llama", GATED)[0]
    inputs = torch.randn(64, next(module.parameters()).shape[-1], requires_grad=True)

    def kept(forward: Any) -> int:
        storages: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            out = forward(inputs)
        assert out.requires_grad
        return sum(storages.values())

    width = module.gate_proj.out_features
    assert kept(module) + 2 * 64 * width * 4 <= kept(lambda x: type(module).forward(module, x))


def test_frozen_weights_and_copies() -> None:
    norm = modules_of("llama", NORMS)[0]
    twin = copy.deepcopy(norm).requires_grad_(False)
    weight = next(norm.parameters())
    before = twin(inputs := torch.randn(3, len(weight), requires_grad=True))
    with torch.no_grad():
        weight.zero_()
    torch.testing.assert_close(twin(inputs), before, rtol=0, atol=0)
    before.sum().backward()
    assert inputs.grad is not None and inputs.grad.any()
    assert list(norm.state_dict()) == ["weight"]


def test_an_adapter_is_not_passed_by() -> None:
    """A down projection that is more than a matrix is called as it is."""
    module = modules_of("llama", GATED)[0]
    assert type(module.down_proj) is Linear
    called = []

    class Adapted(Linear):
        def forward(self, input: Tensor) -> Tensor:
            called.append(input.shape)
            return super().forward(input)

    module.down_proj.__class__ = Adapted
    module(torch.randn(3, module.gate_proj.in_features))
    assert called


def test_other_dtypes_take_the_modules_own_way() -> None:
    norm = modules_of("llama", NORMS)[0].double()
    inputs = torch.randn(3, len(next(norm.parameters())), dtype=torch.float64)
    torch.testing.assert_close(norm(inputs), type(norm).forward(norm, inputs), rtol=0, atol=0)


@pytest.mark.parametrize("kinds", [NORMS, GATED], ids=["norm", "mlp"])
def test_bfloat16_is_as_near_to_float64_as_transformers(kinds: frozenset[str]) -> None:
    """With a mean far from 0, which LayerNorm would take away."""
    module = modules_of("llama", kinds)[0]
    width = next(module.parameters()).shape[-1]
    numbers = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=numbers).bfloat16())
    inputs = (2 + torch.randn(4, 64, width, generator=numbers)).bfloat16()
    uneven = torch.randn(4, 64, width, generator=numbers).bfloat16()

    def all_of(dtype: torch.dtype, is_fused: bool) -> tuple[Tensor, ...]:
        own = copy.deepcopy(module).to(dtype)
        leaf, weights = inputs.to(dtype).requires_grad_(), list(own.parameters())
        forward = own if is_fused else lambda x: type(own).forward(own, x)
        if kinds is NORMS and dtype == torch.float64:  # transformers' own rounds to float32
            forward = lambda x: weights[0] * x / (x.square().mean(-1, keepdim=True) + own.variance_epsilon).sqrt()  # noqa: E731
        return values(forward, leaf, weights, uneven.to(dtype))

    exact = all_of(torch.float64, is_fused=False)
    for right, own, theirs in zip(
        exact, all_of(torch.bfloat16, is_fused=True), all_of(torch.bfloat16, is_fused=False), strict=True
    ):
        error, usual = ((found.double() - right).norm() / right.norm() for found in (own, theirs))
        assert error < 0.01
        assert error <= 1.3 * usual + 1e-4
