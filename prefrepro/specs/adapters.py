"""Low-rank adapters as a setting of a training: what it may be, and how a table names it; model/lora.py trains them.

Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefrepro.errors import UserError

DEFAULTS = {"lora_rank": 0, "quantize": "none"}
"""Every parameter is trained. These values are no part of a run's identity, written or left out."""


def settled(training: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`training` without defaults. Raises UserError where weights in 4 bit would be trained themselves."""
    found = {key: value for key, value in training.items() if key not in DEFAULTS or value != DEFAULTS[key]}
    if "quantize" in found and "lora_rank" not in found:
        raise UserError(
            f"{where}: quantize is {found['quantize']} and lora_rank 0, but weights in 4 bit cannot be trained. Set "
            "lora_rank to 1 or more where quantize stands, or quantize: none"
        )
    return found


def without(training: Mapping[str, Any]) -> dict[str, Any]:
    """`training` of every parameter, whatever was set."""
    return {key: value for key, value in training.items() if key not in DEFAULTS}


def of_training(training: Mapping[str, Any]) -> str:
    """«LoRA of rank 16 over weights in 4 bit (nf4)»; empty where every parameter is trained."""
    if not training.get("lora_rank"):
        return ""
    over = f" over weights in 4 bit ({training['quantize']})" if "quantize" in training else ""
    return f"LoRA of rank {training['lora_rank']}{over}"
