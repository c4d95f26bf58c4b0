"""What SFT, a reward model and an alignment method start from: model, tokenizer, rows, settings.

With learner.py it is all that moves a number of such a training; rollout methods need rollout.py as well.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from prefrepro.model.batches import Inputs
from prefrepro.model.inputs import training_inputs
from prefrepro.model.learner import Learner, Objective
from prefrepro.model.load import DTYPES, load_model
from prefrepro.model.lora import Adapters
from prefrepro.model.policy import Policy
from prefrepro.model.seeds import seed_for
from prefrepro.model.training import Training, needs_in, training_of


@dataclass(frozen=True, slots=True)
class Start:
    """A training before its first step."""

    policy: Policy
    tokenizer: Any
    objective: Objective
    inputs: Inputs
    held_out: Inputs | None
    training: Training
    seed: int
    """Seed of the order of rows."""
    adapters: Adapters | None
    load: Callable[..., Any]
    """Loads the model as it was before."""

    def learner(self) -> Learner:
        """The training of a method that learns from given responses."""
        return Learner(self.policy, self.objective, self.inputs, self.training, self.seed)

    def saved_model(self) -> Any:
        """The trained model as it is saved: adapters are merged into the weights they were trained over."""
        if self.adapters is None:
            return self.policy.model
        return self.adapters.merged(partial(self.load, place=torch.device("cpu")))


def start(spec: dict[str, Any], inputs: dict[str, Path], init: Path, tokenizer: Any) -> Start:
    """A training of every parameter of the checkpoint `init`, or of adapters beside them."""
    training = training_of(spec["training"])
    torch.set_num_threads(training.threads)
    method = importlib.import_module(f"methods.{spec['method']}")
    output, adapters = method.NEEDS.output, None
    needs = needs_in(training, method.NEEDS)
    data, held_out = training_inputs(spec, inputs, needs, tokenizer)  # before a device waits with the model
    load = partial(load_model, init, dtype=training.dtype, output=output, seed=seed_for(spec["seed"], "head"))
    if training.lora_rank:
        model = load(dtype=training.compute_dtype or training.dtype, quantize=training.quantize)
        seed = seed_for(spec["seed"], "adapters")
        adapters = Adapters(model, training.lora_rank, DTYPES[training.dtype], seed, output)
    else:
        model = load()
    objective = Objective(method.loss, method.Hparams(**spec["hparams"]), needs)
    policy = Policy(model, tokenizer.pad_token_id, output, logp_dtype=training.logp_dtype)
    order = seed_for(spec["seed"], "order")
    return Start(policy, tokenizer, objective, data, held_out, training, order, adapters, load)
