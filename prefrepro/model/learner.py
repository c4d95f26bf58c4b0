"""What one training step does. It branches on a batch's shape, never on a method's name.

Order of a step: rows -> groups -> policy forward -> loss -> backward -> clip -> optimiser. A rollout method first makes
responses and may update more than once on them (rollout.py). train/loop.py goes through the steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from methods.contract import LossOutput, Needs, RankedBatch, RolloutBatch
from prefrepro.model.batches import Inputs, Rows, make_batch, sequences_of, step_rows
from prefrepro.model.examples import Tokens
from prefrepro.model.load import DTYPES
from prefrepro.model.mixed import WideWeights
from prefrepro.model.optimizer import build_optimizer, warmup_lr
from prefrepro.model.packing import by_prompt
from prefrepro.model.policy import Policy
from prefrepro.model.training import Training, total_steps

Read = Callable[[Sequence[Tokens]], Tensor]


@dataclass(frozen=True, slots=True)
class Objective:
    """A method with its hyper-parameters."""

    loss: Callable[..., LossOutput]
    hp: Any
    needs: Needs


@dataclass(frozen=True, slots=True)
class Step:
    """What one step gave."""

    means: dict[str, float]
    """Logged values, averaged over the step's updates; empty where none was finite."""
    tokens: int
    failed: list[tuple[float, dict[str, float]]]
    """Loss and gradient norms of each update that was left out, because one of them was no finite number."""


class Learner:
    """A policy that is trained in place, its optimiser, and the rows of each step."""

    def __init__(self, policy: Policy, objective: Objective, inputs: Inputs, training: Training, seed: int) -> None:
        """`seed`: of the order of rows. Raises UserError where the rows do not fill one batch."""
        self.policy, self.objective, self.inputs, self.training = policy, objective, inputs, training
        self.steps = total_steps(inputs, objective.needs, training)
        self.rows_of = step_rows(inputs.prompt_ids, objective.needs, training.batch_size, seed)
        self.modules: dict[str, nn.Module] = {"model": policy.model}
        self.max_norms = {"model": training.max_grad_norm}
        self.frozen: list[Policy] = []
        self.n_ranks = 1
        self.wide: WideWeights | None = None

    def start(self, n_ranks: int, share: Callable[..., Any] | None) -> None:
        """Build the optimiser, once weights stand where they stay.

        `share`, where they are divided among ranks: does work with all of them at hand, each rank some (respond.py).
        """
        if self.training.is_mixed and not share:
            self.wide = WideWeights(self.policy.model, DTYPES[str(self.training.compute_dtype)])
            self.modules["model"] = self.wide.module
        by_module = [[p for p in module.parameters() if p.requires_grad] for module in self.modules.values()]
        self.n_ranks, self.parameters = n_ranks, [parameter for part in by_module for parameter in part]
        # Divided weights and those of a value head, which every rank holds, cannot be updated in one go.
        groups = [{"params": part} for part in by_module] if share else self.parameters
        self.optimizer = build_optimizer(groups, {"optimizer": self.training.optimizer, "lr": self.training.lr})
        if self.wide:
            self.wide.follow(self.optimizer)

    def finish(self) -> None:
        """After the last step: the policy's weights are as wide as they were before `start`, FSDP's left alone."""
        if self.wide:
            self.wide.give_back()
            self.wide = None

    def draw(self, rows: Rows, number: int) -> tuple[Inputs, list[Rows], Read]:
        """What step `number` draws from, the rows of each of its updates, and what to put them through."""
        return self.inputs, [rows], self.policy

    def step(self, number: int) -> Step:
        """Do step `number`, counted from 0."""
        rows, means, failed = self.rows_of(number), [], []
        lr = warmup_lr(number, self.training.lr, self.training.warmup_steps, self.training.schedule, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)  # drawing may sample, and wants their memory
        inputs, updates, read = self.draw(rows, number)
        for update in updates:
            self.optimizer.zero_grad(set_to_none=True)
            loss, logged = gradient_step(
                update, inputs, self.objective, read, self.parameters, self.training, self.n_ranks
            )
            found = {n: clip_grad_norm(m.parameters(), self.max_norms[n]) for n, m in self.modules.items()}
            loss, norms, logged = read_numbers(loss, found, logged)
            if not all(math.isfinite(value) for value in (loss, *norms.values())):
                failed.append((loss, norms))
                if self.training.on_nan == "stop":
                    break
                continue
            self.optimizer.step()
            means.append({"loss": loss, **logged, "lr": lr, "grad_norm": norms["model"]})
        mean = {name: sum(update[name] for update in means) / len(means) for name in (means[0] if means else ())}
        drawn = inputs.responses
        sequences = drawn.sequences if drawn else sequences_of(rows, inputs, self.objective.needs)
        return Step(mean, sum(len(s.prompt_ids) + len(s.response_ids) for s in sequences), failed)

    def volume(self, steps: int) -> dict[str, Any]:
        """What a run of so many steps saw: rows of the data, examples, what these are (`Needs.rows`), and updates."""
        rollout = self.training.rollout
        updates = steps * (rollout.ppo_epochs * rollout.minibatches if rollout else 1)
        examples = steps * self.training.batch_size
        return {
            "rows": len(self.inputs.prompt_ids),
            "examples": examples,
            "of": self.objective.needs.rows,
            "updates": updates,
        }

    def prompts(self, number: int) -> list[str]:
        """prompt_ids of a step's rows."""
        rows = self.rows_of(number)
        return [self.inputs.prompt_ids[row] for row in rows.chosen + rows.rejected]


def gradient_step(
    rows: Rows, inputs: Inputs, objective: Objective, read: Read, parameters: Sequence[Tensor], training: Training,
    n_ranks: int,
) -> tuple[Tensor, dict[str, Tensor]]:  # fmt: skip
    """Accumulate gradients of the mean loss over `rows`; returns it and the logged means, left on the device.

    Sums are accumulated and divided at the end by the number of losses that count: a method says which (Swepo leaves
    out a prompt whose responses are all rated alike), and may have one loss per response or per pair.
    """
    needs = objective.needs
    split = partial(fitting, training=training, n_ranks=n_ranks)
    sums: dict[str, Tensor] = {}
    sizes: dict[str, int] = {}
    total_loss: Any = 0.0
    count: Any = 0
    for chunk in _chunks(rows, inputs, needs, training.contrast_size if needs.gather else 1, split):
        groups = list(chunk.groups(training.contrast_size)) if needs.gather else [chunk]
        sequences = [sequences_of(group, inputs, needs) for group in groups]
        # Log-probs of mismatched responses, which stand last, are detached anyway.
        n_with_grad = [
            len(g.chosen) + len(g.rejected) if needs.mismatched else len(p)
            for g, p in zip(groups, sequences, strict=True)
        ]
        chunk_loss: Any = 0.0
        fits = len(split([sequence for part in sequences for sequence in part])) == 1
        if fits:
            found, read_again = _values(read, sequences, n_with_grad), None
        else:  # one group, or one row, of more sequences
            values, read_again = _in_parts(read, sequences[0], n_with_grad[0], split)
            found = [values]
        for group, part in zip(groups, found, strict=True):
            batch = make_batch(group, part, inputs, needs)
            out = objective.loss(batch, objective.hp)
            chunk_loss = chunk_loss + out.losses.sum()
            count = count + (len(out.losses) if out.valid is None else out.valid.sum())
            for name, tensor in _logged(batch, out).items():
                sums[name] = sums.get(name, 0.0) + tensor.float().sum().double()
                sizes[name] = sizes.get(name, 0) + len(tensor)
        chunk_loss.backward()
        if read_again is not None:
            read_again()
        total_loss = total_loss + chunk_loss.detach().double()
    n_losses = max(int(count), 1)
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad /= n_losses
    return total_loss / n_losses, {name: total / sizes[name] for name, total in sums.items() if sizes[name]}


def read_numbers(
    loss: Tensor, norms: dict[str, Tensor], logged: dict[str, Tensor]
) -> tuple[float, dict[str, float], dict[str, float]]:
    """The same as plain numbers, read at once: each read would wait for the device."""
    first, *others = torch.stack([loss, *(n.to(loss) for n in norms.values()), *logged.values()]).tolist()
    of_norms = dict(zip(norms, others, strict=False))
    return first, of_norms, dict(zip(logged, others[len(norms) :], strict=True))


def fitting(sequences: Sequence[Tokens], training: Training, n_ranks: int) -> list[list[int]]:
    """Numbers of the sequences that all ranks together hold at a time: as many as the training allows, and at least
    those of one prompt, which is encoded once for them."""
    tokens = training.micro_batch_tokens
    most = (tokens or training.micro_batch) * n_ranks

    def size(numbers: Sequence[int]) -> int:
        return sum(len(sequences[n].prompt_ids) + len(sequences[n].response_ids) if tokens else 1 for n in numbers)

    every = list(range(len(sequences)))
    if size(every) <= most:
        return [every]
    parts, taken = list[list[int]](), 0
    for numbers in by_prompt(sequences):
        if not parts or taken + size(numbers) > most:
            parts.append([])
            taken = 0
        parts[-1] += numbers
        taken += size(numbers)
    return parts


Split = Callable[[Sequence[Tokens]], list[list[int]]]


def read_in_parts(read: Read, sequences: Sequence[Tokens], parts: list[list[int]]) -> Tensor:
    """`read(sequences)`, part by part."""
    if len(parts) == 1:
        return read(sequences)
    found = torch.cat([read([sequences[number] for number in part]) for part in parts])
    order = torch.tensor([number for part in parts for number in part], device=found.device)
    return found[order.argsort()]


def _chunks(rows: Rows, inputs: Inputs, needs: Needs, group_size: int, split: Split) -> Iterator[Rows]:
    """As many whole groups as fit at once, and at least one: its examples must meet each other."""
    start, held = 0, list[Tokens]()
    for number, group in enumerate(rows.groups(group_size)):
        more = sequences_of(group, inputs, needs)
        if held and len(split([*held, *more])) > 1:
            yield rows.part(start, number * group_size)
            start, held = number * group_size, []
        held += more
    yield rows.part(start, len(rows))


def _in_parts(read: Read, sequences: list[Tokens], n_with_grad: int, split: Split) -> tuple[Tensor, Callable[[], None]]:
    """What the policy says of sequences that do not fit at once, and how, once a loss of it has gone backward, the
    gradient of the first `n_with_grad` reaches the weights: each part is read again.
    """
    own, others = sequences[:n_with_grad], sequences[n_with_grad:]
    parts = split(own)
    with torch.no_grad():
        values = read_in_parts(read, own, parts)
        if others:
            values = torch.cat([values, read_in_parts(read, others, split(others))])
    values.requires_grad_()

    def read_again() -> None:
        assert values.grad is not None
        for part in parts:
            read([own[number] for number in part]).backward(values.grad[part])

    return values, read_again


def _values(read: Read, groups: list[list[Tokens]], n_with_grad: list[int]) -> list[Tensor]:
    """What the policy says of each group's sequences; with gradient of the first `n_with_grad` of each."""
    cut = list(zip(groups, n_with_grad, strict=True))
    found = read([sequence for group, n in cut for sequence in group[:n]]).split(n_with_grad)
    rest = [group[n:] for group, n in cut]
    if not any(rest):
        return list(found)
    with torch.no_grad():
        others = read([sequence for group in rest for sequence in group]).split([len(group) for group in rest])
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


def clip_grad_norm(parameters: Iterable[Tensor], limit: float) -> Tensor:
    """Scale gradients to a norm of at most `limit`; returns the norm over all ranks before, left on the device."""
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
