"""Low-rank adapters beside a model's frozen linear layers (LoRA, arXiv:2106.09685; QLoRA, arXiv:2305.14314), by peft.

The model itself stays the one that policy.py and generation know.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prefrepro.model.tensors import save_tensors

ALPHA_PER_RANK = 2
"""An adapter's product counts twice at any rank, so that a learning rate found at one serves at another; peft's own
alpha of 8 would make it count less, the higher the rank."""
NAME = "default"
"""peft's, of the only adapter."""


class Adapters:
    """In place, around every linear layer of `model` but its output head. They begin as nothing: B is 0.

    A new head of a classifier is random, so it is trained itself.
    """

    def __init__(self, model: Any, rank: int, dtype: torch.dtype, seed: int, output: str = "logp") -> None:
        """`dtype`: of what is trained, whatever the frozen weights are in. A is drawn from `seed` alone."""
        from peft import LoraConfig, TaskType, get_peft_model

        task = TaskType.SEQ_CLS if output == "score" else TaskType.CAUSAL_LM
        alpha = ALPHA_PER_RANK * rank
        config = LoraConfig(task, r=rank, lora_alpha=alpha, lora_dropout=0.0, bias="none", target_modules="all-linear")
        torch.manual_seed(seed)
        self.model = model
        self.peft_model: Any = get_peft_model(model, config, autocast_adapter_dtype=False)
        for parameter in self.trained():
            parameter.data = parameter.data.to(dtype)

    def trained(self) -> list[nn.Parameter]:
        """The parameters that are trained."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def facts(self) -> dict[str, int]:
        """rank, alpha, and how many parameters are trained, of how many with the frozen ones."""
        trained, every = self.peft_model.get_nb_trainable_parameters()
        config = self.peft_model.peft_config[NAME]
        return {"rank": config.r, "alpha": config.lora_alpha, "trained_parameters": trained, "parameters": every}

    def save(self, folder: Path, base: str) -> None:
        """adapter_model.safetensors and adapter_config.json, as peft reads them; `base` names what they belong to."""
        from peft import get_peft_model_state_dict

        tensors = get_peft_model_state_dict(self.peft_model)
        folder.mkdir(parents=True, exist_ok=True)
        save_tensors(
            {name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "adapter_model.safetensors"
        )
        config = self.peft_model.peft_config[NAME]
        config.base_model_name_or_path, config.inference_mode = base, True
        config.target_modules = "all-linear"  # not the set of all their names, whose order changes
        config.modules_to_save = sorted(config.modules_to_save or ()) or None
        config.save_pretrained(str(folder))

    @torch.no_grad()
    def merged(self, start: Callable[[], Any]) -> Any:
        """`start()`, the model as it was before, with what was trained added to the weights it was trained over.

        Weights in 4 bit are what they stand for in its dtype: without their rounding the adapters would fit less.
        """
        from peft.tuners.lora import LoraLayer
        from peft.utils import ModulesToSaveWrapper
        from peft.utils.integrations import dequantize_module_weight

        model = start()
        for name, module in self.model.named_modules():
            if isinstance(module, LoraLayer):
                layer: Any = module
                weight: Any = model.get_submodule(name).weight
                weight.copy_(dequantize_module_weight(layer.get_base_layer()))
                weight.add_(layer.get_delta_weight(NAME).to(weight))
            elif isinstance(module, ModulesToSaveWrapper):
                model.get_submodule(name).load_state_dict(module.modules_to_save[NAME].state_dict())
        return model
