"""Models and tokenizers from disk or hub, in the dtype and mode that a job asks for.

Knows nothing of training. transformers is imported here and in base.py alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from prefrepro.errors import UserError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


def device() -> torch.device:
    """The first visible CUDA device, or the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def checkpoint_of(inputs: Mapping[str, Path], role: str, hub: str) -> Path | str:
    """Where a model is: in the folder of the run that plays `role`, or else under its hub id or path."""
    return inputs[role] / "model" if role in inputs else hub


def load_tokenizer(path: Path | str) -> Any:
    """The tokenizer of a checkpoint, with a pad token (its own, or EOS as the released code does)."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    if tokenizer.eos_token_id is None:
        raise UserError(f"{path}: the tokenizer has no EOS token; a response could not be closed")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(path: Path | str, dtype: str, output: str = "logp", seed: int = 0) -> Any:
    """A causal model, or with output="score" a classifier of one label whose new head is drawn from `seed`.

    Dropout is 0 everywhere (released code: utils.py:228-232), so that a resumed run needs no random state.
    """
    torch.manual_seed(seed)
    config = AutoConfig.from_pretrained(path)
    for name, value in config.to_dict().items():
        if ("dropout" in name or name.endswith("pdrop")) and isinstance(value, float):
            setattr(config, name, 0.0)
    if output == "score":
        config.num_labels = 1
    family: Any = AutoModelForSequenceClassification if output == "score" else AutoModelForCausalLM
    return family.from_pretrained(path, config=config, dtype=DTYPES[dtype]).to(device())


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """safetensors weights, config and tokenizer, as `from_pretrained` reads them."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
