"""Products by oneDNN equal torch's, with their gradients, and leave a model what it was."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from prefrepro.model.cpu_matmul import HAS_ONEDNN, Linear, linear, use_onednn, weight_gradient


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("m", "n", "k"), [(5, 7, 3), (5, 3, 7), (1, 1, 1), (0, 4, 3)])
def test_products_are_those_of_torch(dtype: torch.dtype, m: int, n: int, k: int) -> None:
    numbers = torch.Generator().manual_seed(m * n + k)
    a, b, grad = (torch.randn(*s, generator=numbers).to(dtype) for s in ((m, k), (n, k), (m, n)))
    torch.testing.assert_close(linear(a, b), a @ b.t())
    torch.testing.assert_close(linear(grad, b.t()), grad @ b)
    torch.testing.assert_close(weight_gradient(grad, a), grad.t() @ a)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 4, 6)])
def test_a_linear_layer_and_its_gradients(dtype: torch.dtype, bias: bool, shape: tuple[int, ...]) -> None:
    linear = nn.Linear(6, 9, bias=bias, dtype=dtype)
    layer = nn.Sequential(linear)
    use_onednn(layer)
    assert type(linear) is Linear
    inputs = torch.randn(*shape, dtype=dtype, requires_grad=True)
    leaves = [inputs, *layer.parameters()]
    expected = F.linear(inputs, linear.weight, linear.bias)
    found = layer(inputs)
    torch.testing.assert_close(found, expected)
    uneven = torch.randn_like(found)
    for one, other in zip(*(torch.autograd.grad((o * uneven).sum(), leaves) for o in (found, expected)), strict=True):
        torch.testing.assert_close(one, other)


def test_frozen_weights_and_copies() -> None:
    linear = nn.Linear(6, 9)
    layer = nn.Sequential(linear)
    before = layer.state_dict()
    use_onednn(layer)
    twin = copy.deepcopy(layer).requires_grad_(False)
    with torch.no_grad():
        linear.weight.zero_()
    inputs = torch.randn(3, 6, requires_grad=True)
    twin(inputs).sum().backward()
    assert inputs.grad is not None and inputs.grad.any(), "a copy has its own weights"
    assert list(layer.state_dict()) == list(before)


def test_this_build_of_torch_has_it() -> None:
    """The pinned wheel: else the float32 cases above try nothing."""
    if torch.__version__.startswith("2.13"):
        assert HAS_ONEDNN
