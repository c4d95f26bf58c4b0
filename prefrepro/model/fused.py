"""RMSNorm and SwiGLU as single steps of autograd, in float32 or bfloat16 on a CPU: the same formulas, less kept.

transformers' modules keep every intermediate result; these keep the inputs and compute the rest again, which takes less
time than writing it down did. Other dtypes, devices and modules stay transformers' own.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu
from transformers.activations import SiLUActivation

from prefrepro.model.cpu_matmul import Linear, is_narrow, linear, suits_onednn, weight_gradient

SILU = (nn.SiLU, SiLUActivation)
NORMS = frozenset({"LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm", "Phi3RMSNorm", "GraniteRMSNorm"})
GATED = frozenset({"LlamaMLP", "MistralMLP", "Qwen2MLP", "Qwen3MLP", "Olmo2MLP", "GraniteMLP"})
"""transformers' classes with exactly these formulas; a test holds that they are."""


class _Norm(torch.autograd.Function):
    """w x / rms(x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale = torch.linalg.vecdot(x, x).div_(x.shape[-1]).add_(eps).rsqrt_().unsqueeze(-1)
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight, scale = ctx.saved_tensors
        normed = x * scale
        of_normed = grads[0] * weight
        of_weight = None
        if ctx.needs_input_grad[1]:
            of_weight = (grads[0] * normed).flatten(0, -2).sum(dim=0)
        along = torch.linalg.vecdot(of_normed, normed).div_(x.shape[-1]).unsqueeze(-1)
        return of_normed.addcmul_(normed, along, value=-1).mul_(scale), of_weight, None


class _NarrowNorm(torch.autograd.Function):
    """The same of bfloat16, with sums in float32, by kernels that make no other tensor in float32: BatchNorm's, to
    which rows are channels, and in backward LayerNorm's; to both the mean of x is given as 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        square = norm.square_().div_(x.shape[-1]).flatten()
        rows, no_mean = x.reshape(1, -1, x.shape[-1]), torch.zeros_like(square)
        normed = torch.batch_norm(rows, None, None, no_mean, square, False, 0.0, eps, False)
        ctx.save_for_backward(x, weight, (square + eps).rsqrt_().view(*x.shape[:-1], 1))
        return normed.view_as(x).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight, scale = ctx.saved_tensors
        no_mean, width = torch.zeros_like(scale), x.shape[-1]
        of_x = torch.ops.aten.native_layer_norm_backward(
            grads[0], x, (width,), no_mean, scale, weight.float(), None, (True, False, False)
        )[0]
        # LayerNorm takes the gradient's mean from it as well; RMSNorm does not.
        of_x.add_((grads[0] @ weight).unsqueeze(-1) * (scale / width).to(x.dtype))
        of_weight = None
        if ctx.needs_input_grad[1]:
            of_weight = scale.to(x.dtype).flatten() @ (grads[0] * x).flatten(0, -2)
        return of_x, of_weight, None


class _GatedDown(torch.autograd.Function):
    """(silu(gate) ⊙ up) Wᵀ of (M, K), (M, K) and (N, K)."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up, weight)
        return linear(silu(gate).mul_(up), weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        gate, up, weight = ctx.saved_tensors
        activated = silu(gate)
        of_weight = weight_gradient(grads[0], activated * up) if ctx.needs_input_grad[2] else None
        of_gated = linear(grads[0], weight.t())
        of_gate = torch.ops.aten.silu_backward(of_gated * up, gate)
        return of_gate, of_gated.mul_(activated), of_weight


def _applies(*tensors: Tensor) -> bool:
    is_wide = suits_onednn(*tensors) and torch.is_grad_enabled()
    return (is_wide or is_narrow(*tensors)) and not torch.is_autocast_enabled("cpu")


def _norm(module: Any, hidden_states: Tensor) -> Tensor:
    if not _applies(hidden_states, module.weight):
        return type(module).forward(module, hidden_states)
    norm = _NarrowNorm if is_narrow(hidden_states) else _Norm
    return norm.apply(hidden_states, module.weight, module.variance_epsilon)  # pyright: ignore[reportReturnType]


def _gated(module: Any, x: Tensor) -> Tensor:
    down = module.down_proj
    is_plain = type(down) is Linear and down.bias is None and isinstance(module.act_fn, SILU)
    if not is_plain or not _applies(x, down.weight):  # adapters are layers of their own
        return type(module).forward(module, x)
    gate, up = module.gate_proj(x), module.up_proj(x)
    rows: Any = _GatedDown.apply(gate.flatten(0, -2), up.flatten(0, -2), down.weight)
    return rows.view(*x.shape[:-1], -1)


def fuse(model: nn.Module) -> None:
    """Have the norms and gated MLPs of `model` computed so. Parameters, names and hooks stay."""
    for module in model.modules():
        name = type(module).__name__
        if name in NORMS:
            module.forward = partial(_norm, module)
        elif name in GATED:
            module.forward = partial(_gated, module)
