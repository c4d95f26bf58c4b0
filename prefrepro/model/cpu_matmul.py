"""Matrix products in float32 on a CPU, by oneDNN in place of MKL: the same sums, in another order.

MKL keeps to AVX2 on processors that are not Intel's; oneDNN does not (2.2 times as fast on an EPYC with AVX-512).
torch's own switch, torch.backends.mkldnn, reaches it for reduced precision only. Everything else goes torch's way.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def suits_onednn(*tensors: Tensor) -> bool:
    """Whether these are what oneDNN is wanted for: numbers in float32 on a CPU."""
    return HAS_ONEDNN and all(t.dtype == torch.float32 and t.device.type == "cpu" and t.numel() for t in tensors)


def is_narrow(*tensors: Tensor) -> bool:
    """Whether these are numbers in bfloat16 on a CPU, which torch multiplies by oneDNN itself."""
    return all(t.dtype == torch.bfloat16 and t.device.type == "cpu" and t.numel() for t in tensors)


def linear(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a bᵀ + bias of (M, K), (N, K) and (N,), without gradient."""
    if not suits_onednn(a, b):
        return F.linear(a, b, bias)
    return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")


def weight_gradient(grad: Tensor, inputs: Tensor) -> Tensor:
    """gradᵀ inputs, (N, K), of (M, N) and (M, K): the wider of both is best the right-hand one."""
    if is_narrow(grad, inputs):
        return grad.t() @ inputs
    if grad.shape[1] > inputs.shape[1]:
        return linear(inputs.t(), grad.t()).t()
    return linear(grad.t(), inputs.t())


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return linear(inputs, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        inputs, weight = ctx.saved_tensors
        wants_inputs, wants_weight = ctx.needs_input_grad
        of_inputs = linear(grads[0], weight.t()) if wants_inputs else None
        return of_inputs, weight_gradient(grads[0], inputs) if wants_weight else None


class Linear(nn.Linear):
    """torch's, computed by `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        if not suits_onednn(input, self.weight) or torch.is_autocast_enabled("cpu"):
            return F.linear(input, self.weight, self.bias)
        rows = input.reshape(-1, input.shape[-1])
        if not torch.is_grad_enabled():
            return linear(rows, self.weight, self.bias).view(*input.shape[:-1], -1)
        found: Any = _Linear.apply(rows, self.weight)
        found = found.view(*input.shape[:-1], -1)
        return found if self.bias is None else found + self.bias


def use_onednn(model: nn.Module) -> None:
    """Have every linear layer of `model` computed so. Parameters, names and hooks stay."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear
