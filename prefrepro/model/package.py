"""Model and tokenizer of a file of weights that a package carries: safetensors, or a GGUF dequantised to float32."""

from __future__ import annotations

import importlib
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from prefrepro.data.package import INSTALL
from prefrepro.errors import UserError
from prefrepro.model.load import load_tokenizer, save_model

OF_THE_FILE = ("quantization_config", "_name_or_path", "_model_name_or_path")
"""Entries of a config that say what its weights were: with the first, transformers refuses to save them dequantised."""


def unpacked(file: Path, template: str, folder: Path) -> dict[str, Any]:
    """Save the model of `file` to `folder` in float32, with a tokenizer that renders by `template`; facts about it.

    Raises UserError for a GGUF that transformers does not read.
    """
    how, facts = {}, {}
    if file.suffix == ".gguf":
        how, facts = {"gguf_file": file.name}, {"tensors": _tensor_types(file)}
    try:
        tokenizer = load_tokenizer(file.parent, template, **how)
        read: Any = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **how)
    except (ValueError, KeyError, NotImplementedError) as error:
        raise UserError(f"{file} cannot be read: {error}. {_supported(file)}") from error
    config = type(read.config).from_dict({k: v for k, v in read.config.to_dict().items() if k not in OF_THE_FILE})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    save_model(model, tokenizer, folder)
    return facts | {"parameters": model.num_parameters(), "eos_token": tokenizer.eos_token}


def _tensor_types(file: Path) -> dict[str, int]:
    """How many tensors of a GGUF are stored in which type, such as Q4_1. Raises UserError where it cannot be read."""
    if find_spec("gguf") is None:
        raise UserError(f"{file} is a GGUF, which wants the package gguf, and that is not installed. Next: {INSTALL}")
    try:
        return dict(Counter(tensor.tensor_type.name for tensor in _reader(file).tensors))
    except (ValueError, IndexError, KeyError) as error:
        raise UserError(f"{file} is no readable GGUF ({error}). Expected a whole file of GGUF 2 or 3.") from error


def _reader(file: Path) -> Any:
    return importlib.import_module("gguf").GGUFReader(file)


def _supported(file: Path) -> str:
    """The architecture that a GGUF names, and those that can be read; of other files what was expected."""
    if file.suffix != ".gguf":
        return "Expected config.json, tokenizer and *.safetensors beside it."
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    field = _reader(file).fields.get("general.architecture")
    found = field.contents() if field else "not named"
    known = ", ".join(sorted(GGUF_SUPPORTED_ARCHITECTURES))
    return f"Architecture: {found}. A causal model of one of these is read: {known}. Name another file in config/models"
