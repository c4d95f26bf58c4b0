"""The project's own ways to train, as candidates: the default path, its padded reference, and the plain loop.

A candidate is one function of (workload, model folder, clock); it ticks after every step. bench/peers.py has others'.
"""

from __future__ import annotations

import dataclasses
import importlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.clock import Clock
from bench.full_logps import IGNORED, sequence_logps
from bench.workload import BATCH, BETA, CLIP, LR, NEEDS, PAD, SEED, SWEPO_BETA, THREADS, Workload
from prefrepro.model.batches import Inputs, Rows, make_batch, sequences_of
from prefrepro.model.examples import Tokens
from prefrepro.model.learner import Learner, Objective
from prefrepro.model.load import load_model
from prefrepro.model.optimizer import build_optimizer
from prefrepro.model.packing import pad
from prefrepro.model.policy import Layout, Policy
from prefrepro.model.training import Training
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import train

METHODS = {2: ("dpo", BETA), 4: ("swepo", SWEPO_BETA)}


def method_of(k: int) -> tuple[Any, Any]:
    """Module and hyper-parameters of the loss that rows of k responses are trained with."""
    name, beta = METHODS[k]
    module = importlib.import_module(f"methods.{name}")
    return module, module.Hparams(beta=beta)


def training(workload: Workload, compute_dtype: str | None = None) -> Training:
    """One optimiser step is one forward pass, as TRL's, unless the size bounds its tokens."""
    return Training(
        optimizer="rmsprop",
        lr=LR,
        warmup_steps=0,
        epochs=1.0,
        max_steps=workload.steps,
        batch_size=BATCH,
        micro_batch=BATCH * workload.k,
        micro_batch_tokens=workload.size.micro_batch_tokens,
        contrast_size=BATCH,
        max_grad_norm=CLIP,
        max_length=1024,
        max_prompt_length=512,
        truncation_mode="keep_end",
        cut_prompts="with_response",
        dtype="float32",
        compute_dtype=compute_dtype,
        log_every=1,
        eval_every=0,
        checkpoint_every=workload.steps + 1,
        threads=THREADS,
    )


def with_reference(inputs: Inputs, policy: Policy, batch_size: int) -> Inputs:
    """What the shared node gives a run: log-probs of every response under the model as it starts."""
    if inputs.groups is None:
        return dataclasses.replace(inputs, reference=policy.score_pairs(inputs.pairs, batch_size))
    flat = policy.score_all(inputs.groups.flat, batch_size)
    return dataclasses.replace(inputs, reference=as_rows(flat, inputs.groups.width))


def as_rows(flat: Tensor, k: int) -> Tensor:
    """(rows, k) from the order of `sequences_of`: of pairs all chosen come first, of groups each row is together."""
    return flat.view(2, -1).T if k == 2 else flat.view(-1, k)


def _trained(workload: Workload, folder: Path, clock: Clock, layout: Layout, compute_dtype: str | None = None) -> None:
    policy = Policy(load_model(folder, "float32"), PAD, layout=layout)
    reference = Policy(load_model(folder, compute_dtype), PAD, layout=layout) if compute_dtype else policy
    inputs = with_reference(workload.inputs(workload.rows()), reference, BATCH * workload.k)
    del reference
    method, hp = method_of(workload.k)
    with tempfile.TemporaryDirectory() as checkpoints:
        learner = Learner(
            policy, Objective(method.loss, hp, NEEDS[workload.k]), inputs, training(workload, compute_dtype), SEED
        )
        store = CheckpointStore(Path(checkpoints))
        train(learner, store, on_log=lambda metrics: clock.tick(metrics[-1]["loss"]))


def ours(workload: Workload, folder: Path, clock: Clock) -> None:
    """The default path: reference from disk, every unique token once."""
    _trained(workload, folder, clock, "shared")


def ours_bf16(workload: Workload, folder: Path, clock: Clock) -> None:
    """The default path in bfloat16, reference and policy, over float32 weights."""
    _trained(workload, folder, clock, "shared", "bfloat16")


def ours_packed(workload: Workload, folder: Path, clock: Clock) -> None:
    """The same without sharing the prompt."""
    _trained(workload, folder, clock, "packed")


def ours_padded(workload: Workload, folder: Path, clock: Clock) -> None:
    """The same trainer on padded batches; reference from disk, logits at response positions only."""
    _trained(workload, folder, clock, "padded")


def padded_live(workload: Workload, folder: Path, clock: Clock) -> None:
    """The plain loop that released repositories have: padded to the longest, all logits, the reference model beside."""
    inputs, order = workload.inputs(workload.rows()), workload.step_rows()
    models = load_model(folder, "float32"), load_model(folder, "float32").eval()
    plain_loop(*models, *method_of(workload.k), inputs, order, LR, clock.tick)


def plain_loop(
    model: Any,
    reference: Any,
    method: Any,
    hp: Any,
    inputs: Inputs,
    order: Sequence[Rows],
    lr: float,
    tick: Callable[[float], None],
) -> None:
    """Train `model` on pairs or groups, one forward pass a step; `tick` is told each step's loss."""
    k = 2 if inputs.groups is None else inputs.groups.width
    parameters = list(model.parameters())
    optimizer = build_optimizer(parameters, {"optimizer": "rmsprop", "lr": lr})
    table = torch.zeros(len(inputs.prompt_ids), k)
    for rows in order:
        sequences = sequences_of(rows, inputs, method.NEEDS)
        with torch.no_grad():
            table[rows.chosen] = as_rows(full_logits_logps(reference, sequences), k).cpu()
        values = full_logits_logps(model, sequences)
        batch = make_batch(rows, values, dataclasses.replace(inputs, reference=table), method.NEEDS)
        out = method.loss(batch, hp)
        loss = out.losses.mean() if out.valid is None else out.losses.sum() / out.valid.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        tick(float(loss.detach()))


def full_logits_logps(model: Any, sequences: list[Tokens]) -> Tensor:
    """(S,) in nats, of one padded batch and the logits of all its positions."""
    laid = pad(sequences, PAD).to(model.device)
    labels = torch.full_like(laid.input_ids, IGNORED)
    labels.view(-1)[laid.logit_positions + 1] = laid.targets
    logits = model(input_ids=laid.input_ids, attention_mask=laid.attention_mask, use_cache=False).logits
    return sequence_logps(logits, labels)[0]
