"""Tiny worlds for the trainer's tests: rows, a tokenizer learnt from them, models of a few thousand weights.

As a command, `python train_helpers.py STORE`: the training of `short_training`, until it kills itself.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import os
import signal
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from methods.contract import Needs
from prefrepro.data.template import prompt_id, render_prompt
from prefrepro.data.truncate import Limits
from prefrepro.data.world import generate
from prefrepro.model.batches import Inputs
from prefrepro.model.examples import encode_groups, encode_pairs, mismatched
from prefrepro.model.learner import Learner, Objective
from prefrepro.model.policy import Layout, Policy
from prefrepro.model.pretrain import build_model, build_tokenizer
from prefrepro.model.respond import Respond
from prefrepro.model.rollout import RolloutLearner
from prefrepro.model.training import RolloutSettings, Training
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import Outcome, train

LIMITS = Limits(max_length=96, max_prompt_length=48, truncation_mode="keep_end")
OF_DATA = RolloutSettings(responses="data", ppo_epochs=1, minibatches=1, max_head_grad_norm=0.1, max_new_tokens=None)
WIDE_INIT = 0.3
"""Standard deviation of the weights: with the usual 0.02 a model this small says much the same of any text."""


def settings(**changes: Any) -> dict[str, Any]:
    """The `training` section of a run's spec."""
    values = {
        "optimizer": "rmsprop", "lr": 1e-3, "warmup_steps": 2, "epochs": 1.0, "max_steps": 4, "batch_size": 8,
        "micro_batch": 8, "contrast_size": 4, "max_grad_norm": 10.0, **dataclasses.asdict(LIMITS),
        "dtype": "float32", "log_every": 1, "eval_every": 0, "checkpoint_every": 100, "threads": 1,
    }  # fmt: skip
    return values | changes


def model_config(model_type: str = "llama", **changes: Any) -> dict[str, Any]:
    """What config/models holds for a model that is built here."""
    values = {
        "model_type": model_type, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "intermediate_size": 32, "max_position_embeddings": 128,
        "tie_word_embeddings": True, "initializer_range": WIDE_INIT,
    }  # fmt: skip
    return values | changes


def world_rows(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows as they stand in train.jsonl."""
    pairs = itertools.islice(generate.preference_pairs("dialogue", seed), n)
    return [{"prompt_id": prompt_id(pair["prompt"]), **pair} for pair in pairs]


@cache
def tokenizer() -> Any:
    texts = [render_prompt(row["prompt"]) + row["chosen"] for row in world_rows(100)]
    return build_tokenizer(texts, 400, LIMITS.max_length)


def make_policy(
    model_type: str = "llama",
    dtype: torch.dtype = torch.float64,
    layout: Layout = "shared",
    output: str = "logp",
    **changes: Any,
) -> Policy:
    """A policy whose weights depend on its config alone."""
    model = build_model(model_config(model_type, **changes), tokenizer(), seed=0)
    if output == "score":
        torch.manual_seed(0)
        model.config.num_labels = 1
        model = AutoModelForSequenceClassification.from_config(model.config)
    return Policy(model.to(dtype), tokenizer().pad_token_id, output, layout)


def compute_norms_in(dtype: torch.dtype, model: Any) -> None:
    """Not in float32, as transformers' always do, whose rounding would hide what a test looks for."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child).__name__.endswith("RMSNorm"):
                norm = torch.nn.RMSNorm(child.weight.shape[0], child.variance_epsilon, dtype=dtype)
                norm.load_state_dict(child.state_dict())
                setattr(module, name, norm)


def method_of(name: str) -> ModuleType:
    return importlib.import_module(f"methods.{name}")


def make_inputs(n: int = 24, *, with_reference: bool = True, with_vectors: bool = True) -> Inputs:
    """Encoded world pairs; reference log-probs and prompt vectors are random numbers of their usual size."""
    pairs = encode_pairs(world_rows(n), tokenizer(), LIMITS)
    numbers = torch.Generator().manual_seed(5)
    reference = -60 + 5 * torch.randn(n, 2, generator=numbers)
    vectors = torch.randn(n, 6, generator=numbers)
    index = torch.arange(n)[:, None].expand(n, 2)
    return Inputs(
        pairs,
        reference if with_reference else None,
        vectors if with_vectors else None,
        index if with_vectors else None,
    )


def inputs_for(needs: Needs, n: int = 24) -> Inputs:
    """What a method with these needs trains on: pairs, or groups of four scored responses."""
    if needs.rows == "groups":
        rows = list(itertools.islice(generate.ranked_groups("dialogue", 0), n))
        groups = encode_groups([{"prompt_id": prompt_id(row["prompt"]), **row} for row in rows], tokenizer(), LIMITS)
        reference = -60 + 5 * torch.randn(n, groups.width, generator=torch.Generator().manual_seed(5))
        return Inputs(encode_pairs([], tokenizer(), LIMITS), reference, groups=groups)
    inputs = make_inputs(n, with_reference=needs.reference, with_vectors=needs.embeddings is not None)
    if needs.reference_rewards:
        rewards = torch.randn(n, 3, generator=torch.Generator().manual_seed(8))
        inputs = dataclasses.replace(inputs, reference_rewards=rewards)
    if not needs.mismatched:
        return inputs
    partners = encode_pairs(mismatched(world_rows(n)), tokenizer(), LIMITS)
    reference = -90 + 5 * torch.randn(n, 2, generator=torch.Generator().manual_seed(6))
    return dataclasses.replace(inputs, mismatched=partners, mismatched_reference=reference)


def weights(policy: Policy) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}


def learner_of(
    policy: Policy, method: Any, training: Training, inputs: Inputs | None = None, hp: Any = None,
    respond: Respond | None = None, **changes: Any,
) -> Learner:  # fmt: skip
    """A training of `policy` with a method's defaults; `changes`: its loss or its needs."""
    objective = Objective(method.loss, method.Hparams() if hp is None else hp, method.NEEDS)
    objective = dataclasses.replace(objective, **changes)
    inputs = inputs_for(method.NEEDS) if inputs is None else inputs
    if method.NEEDS.shape == "rollout":
        return RolloutLearner(policy, objective, inputs, training, 7, respond)
    return Learner(policy, objective, inputs, training, 7)


def run_method(
    policy: Policy, name: str, store: CheckpointStore, inputs: Inputs | None = None, **changes: Any
) -> Outcome:
    """Train `policy` in place with a method's defaults; keys of `changes` that are no hyper-parameter are settings."""
    method = method_of(name)
    fields = {field.name for field in dataclasses.fields(method.Hparams)}
    hparams = method.Hparams(**{key: value for key, value in changes.items() if key in fields})
    training = Training(**settings(**{key: value for key, value in changes.items() if key not in fields}))
    return train(learner_of(policy, method, training, inputs, hparams), store)


def short_training(policy: Policy, store: CheckpointStore, stop_at: int | None, optimizer: str = "rmsprop") -> Outcome:
    """Nine steps over three epochs, a checkpoint every second step; raises KeyboardInterrupt after `stop_at`."""
    method = method_of("dpo")
    changes = {"max_steps": None, "epochs": 3.0, "checkpoint_every": 2, "optimizer": optimizer}

    def on_log(metrics: list[dict[str, float]]) -> None:
        if metrics[-1]["step"] == stop_at:
            raise KeyboardInterrupt

    training = Training(**settings(**changes))
    return train(learner_of(policy, method, training, make_inputs()), store, on_log=on_log)


if __name__ == "__main__":
    torch.set_num_threads(1)
    try:
        short_training(make_policy(dtype=torch.float32), CheckpointStore(Path(sys.argv[1])), stop_at=7)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGKILL)
