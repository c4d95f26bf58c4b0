"""The one training loop. It branches on a batch's shape, never on a method's name.

Order of a step: rows -> groups -> policy forward -> loss -> backward -> clip -> optimiser -> log. Where the shape is
rollout, a step first makes responses and then may update more than once on them.
Knows nothing of files of text, tokenizers, tables or Snakemake.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from methods.contract import LossOutput, Needs, RankedBatch, RolloutBatch
from prefrepro.errors import UserError
from prefrepro.model.batches import Inputs, Rows, make_batch, sequences_of, step_rows, steps_per_epoch
from prefrepro.model.engine import prepare
from prefrepro.model.examples import Tokens
from prefrepro.model.load import DTYPES
from prefrepro.model.optimizer import build_optimizer, warmup_lr
from prefrepro.model.policy import Policy
from prefrepro.model.rollout import Respond, Rollouts, RolloutSettings, rows_of_rollouts
from prefrepro.specs.runtime import Engine
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.failures import Mishaps
from prefrepro.train.preempt import leave, preempted
from prefrepro.train.ranks import Ranks, is_first
from prefrepro.train.sharded import Sharded, clip_grad_norm
from prefrepro.train.state import State

METRICS: tuple[str, ...] = (
    "step", "loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies",
    "logps/chosen", "logps/rejected", "objective/kl", "lr", "grad_norm", "tokens_per_second",
    "eval/rewards/accuracies",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Training:
    """Everything that shapes the optimisation; a run's spec holds one value for each."""

    optimizer: str
    lr: float
    warmup_steps: int
    epochs: float
    max_steps: int | None
    """Stops earlier than `epochs` would; None: never."""
    batch_size: int
    """Pairs of one step; demonstrations of SFT; responses of each side where rows are balanced; rollouts."""
    micro_batch: int
    """Sequences whose activations a rank holds at once; all ranks together one group at least. Changes memory, and
    results by rounding."""
    contrast_size: int
    """Side of RPO's contrast matrix: examples that meet each other in a loss with `gather`, whatever the micro-batch
    and the ranks. At most `batch_size`, which then is one matrix; where it does not divide it, the last is smaller."""
    max_grad_norm: float
    max_length: int
    max_prompt_length: int
    truncation_mode: str
    dtype: str
    log_every: int
    eval_every: int
    checkpoint_every: int
    threads: int
    """CPU threads of the trainer: a field of the run, because sums depend on it in the last bit."""
    rollout: RolloutSettings | None = None
    """Where the shape is rollout."""
    on_nan: str = "stop"
    """stop | skip: what becomes of an update whose loss or gradient is no number; mishaps.py."""
    compute_dtype: str | None = None
    """Of forward and backward, where it is not `dtype`, in which weights and optimiser state are held."""
    lora_rank: int = 0
    """Of adapters, which then are all that is trained (lora.py); weights beside them are held in `compute_dtype`."""
    quantize: str = "none"
    """none | nf4: how weights beside adapters are held."""

    @property
    def is_mixed(self) -> bool:
        return not self.lora_rank and self.compute_dtype not in (None, self.dtype)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished training reports."""

    steps: int
    tokens: int
    final_loss: float
    reward_accuracy: float | None
    metrics: list[dict[str, float]]
    train_s: float
    """Wall seconds in steps, over all attempts of this run"""
    skipped: list[int]
    """Steps, from 1, in which an update was left out because it gave no number"""


def total_steps(inputs: Inputs, needs: Needs, training: Training) -> int:
    """Optimiser steps of the whole run. Raises UserError where not even one batch can be filled."""
    per_epoch = steps_per_epoch(inputs.prompt_ids, needs, training.batch_size)
    if per_epoch == 0:
        found = f"{len(inputs.prompt_ids)} training rows"
        if needs.rows == "demonstrations":
            found = f"{len(set(inputs.prompt_ids))} demonstrations, one per prompt of {found},"
        raise UserError(
            f"{found} cannot fill one batch of {training.batch_size}. Lower training.batch_size or use more data."
        )
    steps = max(1, math.floor(per_epoch * training.epochs))
    return steps if training.max_steps is None else min(steps, training.max_steps)


def _gradient_step(
    rows: Rows,
    inputs: Inputs,
    needs: Needs,
    loss: Callable[..., LossOutput],
    hp: Any,
    policy: Callable[[Sequence[Tokens]], Tensor],
    parameters: Sequence[Tensor],
    training: Training,
    ranks: Ranks | None,
) -> tuple[float, dict[str, float]]:
    """Accumulate gradients of the mean loss over `rows`; returns it and the logged means.

    Sums are accumulated and divided at the end by the number of losses that count: a method says which (Swepo leaves
    out a prompt whose responses are all rated alike), and may have one loss per response or per pair.
    """
    group_size = training.contrast_size if needs.gather else 1
    # As many whole groups as one forward pass of all ranks holds, and at least one: its examples must meet each other.
    per_row = max(1, len(sequences_of(rows, inputs, needs)) // max(len(rows), 1))
    held = training.micro_batch * (ranks.size if ranks else 1)
    chunk_size = max(held // per_row // group_size, 1) * group_size
    sums: dict[str, float] = {}
    total_loss, count = 0.0, 0
    for chunk in rows.groups(chunk_size):
        groups = list(chunk.groups(group_size if needs.gather else chunk_size))
        sequences = [sequences_of(group, inputs, needs) for group in groups]
        # Log-probs of mismatched responses, which stand last, are detached anyway.
        learnt = [
            len(g.chosen) + len(g.rejected) if needs.mismatched else len(p)
            for g, p in zip(groups, sequences, strict=True)
        ]
        chunk_loss: Any = 0.0
        for group, part in zip(groups, _values(policy, sequences, learnt), strict=True):
            batch = make_batch(group, part, inputs, needs)
            out = loss(batch, hp)
            chunk_loss = chunk_loss + out.losses.sum()
            count += len(out.losses) if out.valid is None else int(out.valid.sum())
            for name, tensor in _logged(batch, out).items():
                sums[name] = sums.get(name, 0.0) + float(tensor.float().sum())
                sums[name + "#"] = sums.get(name + "#", 0.0) + len(tensor)
        chunk_loss.backward()
        total_loss += float(chunk_loss.detach())
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad /= max(count, 1)
    logged = {n: v / sums[n + "#"] for n, v in sums.items() if not n.endswith("#") and sums[n + "#"]}
    return total_loss / max(count, 1), logged


def _values(
    policy: Callable[[Sequence[Tokens]], Tensor], groups: list[list[Tokens]], learnt: list[int]
) -> list[Tensor]:
    """What the policy says of each group's sequences; with gradient of the first `learnt` of each."""
    cut = list(zip(groups, learnt, strict=True))
    found = policy([sequence for group, n in cut for sequence in group[:n]]).split(learnt)
    rest = [group[n:] for group, n in cut]
    if not any(rest):
        return list(found)
    with torch.no_grad():
        others = policy([sequence for group in rest for sequence in group]).split([len(group) for group in rest])
    return [torch.cat(both) for both in zip(found, others, strict=True)]


def _logged(batch: Any, out: LossOutput) -> dict[str, Tensor]:
    logged = {
        "rewards/chosen": out.chosen_rewards,
        "rewards/rejected": out.rejected_rewards,
    }
    if isinstance(batch, RolloutBatch):
        ratios = (batch.policy_logps.detach() - batch.ref_logps).masked_fill(~batch.mask, 0)
        return logged | {"objective/kl": ratios.sum(dim=1)}
    if isinstance(batch, RankedBatch):
        logged["logps/chosen"], logged["logps/rejected"] = batch.best_and_rest(batch.policy_logps)
    else:
        logged["logps/chosen"] = batch.policy_chosen_logps.detach()
        logged["logps/rejected"] = batch.policy_rejected_logps.detach()
    if out.chosen_rewards.shape == out.rejected_rewards.shape:
        logged["rewards/margins"] = out.chosen_rewards - out.rejected_rewards
        logged["rewards/accuracies"] = (out.chosen_rewards > out.rejected_rewards).float()
    return logged


def train(
    policy: Policy,
    loss: Callable[..., LossOutput],
    hp: Any,
    needs: Needs,
    inputs: Inputs,
    training: Training,
    seed: int,
    store: CheckpointStore,
    evaluate: Callable[[], float | None] = lambda: None,
    on_log: Callable[[list[dict[str, float]]], None] = lambda metrics: None,
    respond: Respond | None = None,
    ranks: Ranks | None = None,
    engine: Engine | None = None,
) -> Outcome:
    """Train `policy` in place, from the store's last checkpoint if it has one. `respond`: for rollouts of the policy.

    `ranks`: divide it among them; each calls this with the same arguments, and each gets the same outcome.
    Raises UserError where a loss or gradient is no number (and `on_nan` is stop) or memory runs out, naming step,
    prompts and the last good checkpoint.
    """
    rollouts = None
    modules, limits = {"model": policy.model}, {"model": training.max_grad_norm}
    if needs.shape == "rollout":
        if training.rollout is None:
            raise UserError('a method with shape="rollout" wants training.rollout: where responses come from')
        needs = rows_of_rollouts(needs, training.rollout)
        rollouts = Rollouts(policy, training.rollout, seed, respond)
        modules["value_head"], limits["value_head"] = rollouts.head, training.rollout.max_head_grad_norm
    prepare(policy.model, engine or Engine())
    if ranks is not None:
        sharded = Sharded(policy, ranks, DTYPES[training.compute_dtype] if training.compute_dtype else None)
        if rollouts is not None:
            rollouts.respond = respond and partial(sharded.whole, respond)
    steps = total_steps(inputs, needs, training)
    rows_of = step_rows(inputs.prompt_ids, needs, training.batch_size, seed)
    by_module = [[p for p in module.parameters() if p.requires_grad] for module in modules.values()]
    parameters = [parameter for part in by_module for parameter in part]
    # Divided weights and those of a value head, which every rank holds, cannot be updated in one go.
    groups = [{"params": part} for part in by_module] if ranks else parameters
    optimizer = build_optimizer(groups, {"optimizer": training.optimizer, "lr": training.lr})
    state = State(store, modules, optimizer, ranks)
    step, tokens, train_s, metrics = 0, 0, 0.0, []
    if (saved := state.load()) is not None:
        step, tokens, train_s, metrics = saved["step"], saved["tokens"], saved["train_s"], saved["metrics"]
    mishaps = Mishaps(training.on_nan, store, saved["skipped"] if saved is not None else ())

    policy.model.train()
    bar = tqdm(total=steps, initial=step, unit="step", disable=None if is_first() else True, mininterval=1.0)
    started, last_loss = time.perf_counter() - train_s, metrics[-1].get("loss", math.nan) if metrics else math.nan
    window_start, window_tokens = time.perf_counter(), 0
    while step < steps:
        rows = rows_of(step)
        lr = warmup_lr(step, training.lr, training.warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = lr
        drawn, updates, read = rollouts.draw(inputs, rows, step) if rollouts else (inputs, [rows], policy)
        prompts = [inputs.prompt_ids[row] for row in rows.chosen + rows.rejected]
        entries: list[dict[str, float]] = []
        for update in updates:
            optimizer.zero_grad(set_to_none=True)
            with mishaps.of_memory(step + 1, prompts, training.micro_batch):
                value, logged = _gradient_step(update, drawn, needs, loss, hp, read, parameters, training, ranks)
            norms = {n: clip_grad_norm(m.parameters(), limits[n]) for n, m in modules.items()}
            if not all(math.isfinite(number) for number in (value, *norms.values())):
                mishaps.no_number(step + 1, prompts, value, norms, training.lr)
                continue
            optimizer.step()
            entries.append({"loss": value, **logged, "lr": lr, "grad_norm": norms["model"]})
        means = {name: sum(entry[name] for entry in entries) / len(entries) for name in (entries[0] if entries else ())}
        last_loss, step = means.get("loss", last_loss), step + 1
        sequences = drawn.responses.sequences if drawn.responses else sequences_of(rows, inputs, needs)
        step_tokens = sum(len(s.prompt_ids) + len(s.response_ids) for s in sequences)
        tokens, window_tokens = tokens + step_tokens, window_tokens + step_tokens
        bar.update()
        evaluated = evaluate() if step == steps or (training.eval_every and step % training.eval_every == 0) else None
        if (means and (step % training.log_every == 0 or step == steps)) or evaluated is not None:
            now = time.perf_counter()
            entry = {"step": step, **means}
            entry["tokens_per_second"] = window_tokens / max(now - window_start, 1e-9)
            if evaluated is not None:
                entry["eval/rewards/accuracies"] = evaluated
            metrics.append(entry)
            window_start, window_tokens = now, 0
            bar.set_postfix(loss=f"{last_loss:.3f}")
            on_log(metrics)
        is_asked_to_go = ranks.any(preempted()) if ranks else preempted()
        if (step % training.checkpoint_every == 0 or is_asked_to_go) and step < steps:
            spent = time.perf_counter() - started
            plain = {"tokens": tokens, "train_s": spent, "metrics": metrics, "skipped": mishaps.skipped}
            state.save(step, plain)
            if is_asked_to_go:
                leave(step, steps)
    bar.close()
    mishaps.check_end(last_loss)
    accuracy = next((m["eval/rewards/accuracies"] for m in reversed(metrics) if "eval/rewards/accuracies" in m), None)
    return Outcome(steps, tokens, last_loss, accuracy, metrics, time.perf_counter() - started, mishaps.skipped)
