"""Models and tokenizers from a folder, in the dtype and mode that a job asks for."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
)

from prefrepro.errors import UserError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


def device() -> torch.device:
    """The first visible CUDA device, under torchrun the rank's own, or the CPU."""
    return (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


def load_tokenizer(path: Path | str, template: str | None = None, **how: Any) -> Any:
    """The tokenizer of a checkpoint, with a pad token (its own, or EOS as the released code does).

    `template`: role_tags takes a chat template away, chat insists on one, None leaves it. So a tokenizer says by itself
    how prompts are rendered (data/template.py), in a run's saved model too. `how`: gguf_file, for transformers.
    """
    tokenizer = AutoTokenizer.from_pretrained(path, **how)
    if tokenizer.eos_token_id is None:
        raise UserError(f"{path}: the tokenizer has no EOS token; a response could not be closed")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if template == "role_tags":
        tokenizer.chat_template = None
    elif template and not tokenizer.chat_template:
        raise UserError(f"{path}: the tokenizer has no chat template, which template: {template} wants. Set role_tags.")
    return tokenizer


def load_model(
    path: Path | str,
    dtype: str,
    output: str = "logp",
    seed: int = 0,
    quantize: str = "none",
    place: torch.device | None = None,
) -> Any:
    """A causal model, or with output="score" a classifier of one label whose new head is drawn from `seed`.

    `quantize`: nf4 holds the weights of linear layers in 4 bit (QLoRA), and `dtype` is what is computed in. `place`:
    the device, `device()` unless it is given.
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
    place = place or device()
    how: dict[str, Any] = {"config": config, "dtype": DTYPES[dtype]}
    try:
        if quantize != "none":
            return family.from_pretrained(path, **how, **_in_4_bit(quantize, dtype), device_map={"": place})
        if place.type == "cuda" and output == "logp" and find_spec("accelerate"):
            # Each rank of 13B would hold 48 GiB of the host's memory before. A new head is drawn on the CPU, though,
            # which gives the same numbers everywhere.
            return family.from_pretrained(path, **how, device_map={"": place})
        return family.from_pretrained(path, **how).to(place)
    except SafetensorError as error:
        raise UserError(
            f"{path}: its weights cannot be read as safetensors ({error}). A file is cut or changed. Next: delete the "
            "run's folder and run again; fetch again what came from the hub."
        ) from error


def _in_4_bit(kind: str, dtype: str) -> dict[str, Any]:
    """As QLoRA has it: NormalFloat, and the constants of its blocks in 8 bit themselves; the output head stays."""
    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=kind,
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=DTYPES[dtype],
        )
    }


def save_model(
    model: Any, tokenizer: Any, folder: Path, weights: dict[str, Any] | None = None, dtype: str | None = None
) -> None:
    """safetensors weights, config and tokenizer, as `from_pretrained` reads them. Raises UserError on a full disk.

    `weights`: all of them, where the model holds but a part. `dtype`: what they are rounded to; None: the model's.
    """
    try:
        if dtype:
            tied = dict(model.named_parameters(remove_duplicate=False)).keys() - dict(model.named_parameters()).keys()
            whole = (weights or model.state_dict()).items()
            weights = {name: tensor.to(DTYPES[dtype]) for name, tensor in whole if name not in tied}
        model.save_pretrained(folder, state_dict=weights)
        if dtype:
            AutoConfig.from_pretrained(folder, dtype=DTYPES[dtype]).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{folder}: the model could not be saved: {error}. Next: free the disk, run again.") from error
