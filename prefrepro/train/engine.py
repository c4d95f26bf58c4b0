"""How a training uses its device: what is kept and what is computed again, plain or compiled code."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface
from transformers.modeling_layers import GradientCheckpointingLayer

from prefrepro.model.attention import NAME, attention
from prefrepro.specs.runtime import Engine


def prepare(model: Any, engine: Engine) -> None:
    """Change `model` in place; before it is divided among ranks."""
    if engine.activation_checkpointing:
        # transformers 5.17 has the second name alone.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    if engine.compile:
        # Its loop over the blocks of a row would be another graph for each batch.
        AttentionInterface.register(NAME, torch.compiler.disable(attention))
        for layer in layers_of(model):
            layer.compile(dynamic=True)


def layers_of(model: Any) -> list[Any]:
    """The blocks that a transformers model repeats, each of which can be gathered, recomputed or compiled by itself."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
