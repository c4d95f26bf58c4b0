"""Which rows make which step, and the batch that a loss receives.

It branches on `Needs.rows` and `Needs.shape`, never on a method's name. The order is a function of (seed, epoch)
alone, so that any step can be made again after a kill, and methods of one seed and shape see the same rows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods.contract import Needs, PairedBatch, RankedBatch, RolloutBatch, UnpairedBatch
from prefrepro.errors import UserError
from prefrepro.model.examples import Groups, Pairs, Tokens

FIXED = ("old_logps", "ref_logps", "old_values", "rewards", "mask")
"""What of a rollout step stays fixed during its updates; see RolloutBatch."""


@dataclass(frozen=True, slots=True)
class Responses:
    """B responses of one rollout step, and what of them stays fixed, token by token, (B, T) each."""

    sequences: list[Tokens]
    old_logps: Tensor
    ref_logps: Tensor
    old_values: Tensor
    rewards: Tensor
    mask: Tensor


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything a step draws from: encoded rows and what the shared DAG nodes computed once for them."""

    pairs: Pairs
    reference: Tensor | None = None
    """(rows, 2) reference log-probs, chosen then rejected; of groups (rows, K)"""
    vectors: Tensor | None = None
    """(U, d) embeddings of unique texts"""
    vector_index: Tensor | None = None
    """(rows, 2) which vector belongs to which side of a row"""
    mismatched: Pairs | None = None
    """row i: prompt i with responses to another prompt"""
    mismatched_reference: Tensor | None = None
    """(rows, 2)"""
    reference_rewards: Tensor | None = None
    """(rows, S) rewards of the reference's own responses to each row's prompt"""
    groups: Groups | None = None
    """instead of pairs, where a method ranks"""
    responses: Responses | None = None
    """of one step, where the shape is rollout; the rows of an update are its"""

    @property
    def prompt_ids(self) -> list[str]:
        """prompt_id of each row."""
        return self.pairs.prompt_ids if self.groups is None else self.groups.prompt_ids


@dataclass(frozen=True, slots=True)
class Rows:
    """Row numbers of one step: equally long for pairs, of any two lengths otherwise; groups stand in `chosen`."""

    chosen: list[int]
    rejected: list[int]
    responses: list[int] | None = None
    """Responses drawn together, all of them in the order drawn."""

    @staticmethod
    def mixed(responses: Sequence[int]) -> Rows:
        """Responses numbered 2 · row + side (1 for rejected), drawn together."""
        chosen = [number // 2 for number in responses if number % 2 == 0]
        return Rows(chosen, [number // 2 for number in responses if number % 2], list(responses))

    def __len__(self) -> int:
        return max(len(self.chosen), len(self.rejected)) if self.responses is None else len(self.responses)

    def part(self, start: int, stop: int) -> Rows:
        """Rows `start` to `stop` of each side, or of the responses drawn together."""
        if self.responses is None:
            return Rows(self.chosen[start:stop], self.rejected[start:stop])
        return Rows.mixed(self.responses[start:stop])

    def groups(self, size: int) -> Iterator[Rows]:
        """Consecutive groups: of `size` chosen and `size` rejected rows, or of `size` responses drawn together."""
        for start in range(0, len(self), size):
            yield self.part(start, start + size)


def first_of_each_prompt(prompt_ids: Sequence[str]) -> list[int]:
    """Row numbers of the first row of every unique prompt (the released loader's sft_index 0)."""
    return list({prompt: row for row, prompt in reversed(list(enumerate(prompt_ids)))}.values())[::-1]


def _universe(prompt_ids: Sequence[str], needs: Needs) -> list[int]:
    """What an epoch goes through: row numbers, or with "mixed" 2 · row + side (1 for rejected)."""
    if needs.rows == "demonstrations":
        return first_of_each_prompt(prompt_ids)
    return list(range(2 * len(prompt_ids) if needs.rows == "mixed" else len(prompt_ids)))


def steps_per_epoch(prompt_ids: Sequence[str], needs: Needs, batch_size: int) -> int:
    """Full batches in one pass; the last partial batch is dropped, as in the released loaders."""
    return len(_universe(prompt_ids, needs)) // batch_size


def step_rows(prompt_ids: Sequence[str], needs: Needs, batch_size: int, seed: int) -> Callable[[int], Rows]:
    """A function step -> Rows.

    `batch_size` counts pairs, demonstrations, groups, responses of each side ("balanced"), or of both ("mixed").
    """
    universe = _universe(prompt_ids, needs)
    per_epoch = len(universe) // batch_size
    orders: dict[tuple[int, str], list[int]] = {}

    def order(epoch: int, side: str) -> list[int]:
        if (epoch, side) not in orders:
            if len(orders) > 4:
                orders.clear()
            rows = list(universe)
            random.Random(f"{seed}/{epoch}/{side}").shuffle(rows)
            orders[epoch, side] = rows
        return orders[epoch, side]

    def rows(step: int) -> Rows:
        epoch, start = step // per_epoch, step % per_epoch * batch_size
        chosen = order(epoch, "pairs")[start : start + batch_size]
        if needs.rows in ("demonstrations", "groups"):
            return Rows(chosen, [])
        if needs.rows == "balanced":
            return Rows(chosen, order(epoch, "rejected")[start : start + batch_size])
        if needs.rows == "mixed":
            return Rows.mixed(chosen)
        return Rows(chosen, chosen)

    return rows


def sequences_of(rows: Rows, inputs: Inputs, needs: Needs) -> list[Tokens]:
    """Every sequence that a step's rows put through the policy, in the order that `make_batch` reads."""
    if inputs.responses is not None:
        return [inputs.responses.sequences[row] for row in rows.chosen]
    if inputs.groups is not None:
        return [response for row in rows.chosen for response in inputs.groups.responses[row]]
    found = [inputs.pairs.chosen[i] for i in rows.chosen] + [inputs.pairs.rejected[i] for i in rows.rejected]
    if needs.mismatched and inputs.mismatched is not None:
        found += [inputs.mismatched.chosen[i] for i in rows.chosen]
        found += [inputs.mismatched.rejected[i] for i in rows.rejected]
    return found


def make_batch(
    rows: Rows, values: Tensor, inputs: Inputs, needs: Needs
) -> PairedBatch | UnpairedBatch | RankedBatch | RolloutBatch:
    """The batch of one group of rows, of the class that `needs.shape` names; `values` are of `sequences_of` them."""
    if inputs.responses is not None:
        drawn = {name: getattr(inputs.responses, name)[rows.chosen] for name in FIXED}
        return RolloutBatch(policy_logps=values[..., 0], values=values[..., 1], **drawn)
    if inputs.groups is not None:
        return _ranked(rows, values, inputs.groups, inputs.reference)
    m, n = len(rows.chosen), len(rows.rejected)
    chosen, rejected = values[:m], values[m : m + n]
    common = {
        "policy_chosen_logps": chosen,
        "policy_rejected_logps": rejected,
        "ref_chosen_logps": _picked(inputs.reference, rows.chosen, 0, chosen),
        "ref_rejected_logps": _picked(inputs.reference, rows.rejected, 1, rejected),
        "chosen_lengths": _lengths([inputs.pairs.chosen[i] for i in rows.chosen], values),
        "rejected_lengths": _lengths([inputs.pairs.rejected[i] for i in rows.rejected], values),
    }
    if needs.shape == "paired":
        # The two sides have one prompt, each truncated with its own response; the released code embeds the rejected's.
        rewards = None if inputs.reference_rewards is None else inputs.reference_rewards[rows.chosen].to(values)
        vectors = _embeddings(inputs, rows.rejected, 1, values)
        return PairedBatch(**common, embeddings=vectors, reference_rewards=rewards)
    more: dict[str, Any] = {
        "chosen_embeddings": _embeddings(inputs, rows.chosen, 0, values),
        "rejected_embeddings": _embeddings(inputs, rows.rejected, 1, values),
    }
    if needs.mismatched:
        partners = values[m + n :].detach()
        sides = [(inputs.mismatched_reference, rows.chosen, 0), (inputs.mismatched_reference, rows.rejected, 1)]
        more["policy_mismatched_logps"] = partners
        more["ref_mismatched_logps"] = torch.cat([_picked(*side, partners[: len(side[1])]) for side in sides])
    return UnpairedBatch(**common, **more)


def _picked(reference: Tensor | None, rows: list[int], side: int, like: Tensor) -> Tensor:
    return torch.zeros_like(like).detach() if reference is None else _present(reference[rows, side]).to(like)


def _present(logps: Tensor) -> Tensor:
    """Reference log-probs of rows that a step reads. Raises UserError where one is NaN: its node did not compute it."""
    if np.isnan(logps.numpy()).any():  # they are on the CPU: torch would count as a wait for the device
        raise UserError(
            f"{int(logps.isnan().sum())} of the {logps.numel()} reference log-probs that this step reads are NaN; "
            "expected numbers. The reference was computed for a training that reads other rows, or its model gives no "
            "number: remove the folder of the reference and run again"
        )
    return logps


def _lengths(sequences: list[Tokens], like: Tensor) -> Tensor:
    return torch.tensor([len(sequence.response_ids) for sequence in sequences], device=like.device)


def _embeddings(inputs: Inputs, rows: list[int], side: int, like: Tensor) -> Tensor | None:
    if inputs.vectors is None or inputs.vector_index is None:
        return None
    return inputs.vectors[inputs.vector_index[rows, side]].to(like)


def _ranked(rows: Rows, values: Tensor, groups: Groups, reference: Tensor | None) -> RankedBatch:
    """Ragged groups, padded to the widest of the data set."""
    sizes, width = [len(groups.responses[row]) for row in rows.chosen], groups.width
    mask = torch.arange(width)[None, :] < torch.tensor(sizes)[:, None]

    def spread(flat: Tensor) -> Tensor:
        return torch.zeros(mask.shape, dtype=flat.dtype, device=flat.device).masked_scatter(mask.to(flat.device), flat)

    scores = torch.tensor([score for row in rows.chosen for score in groups.scores[row]])
    flat = [response for row in rows.chosen for response in groups.responses[row]]
    ref = torch.zeros_like(values).detach() if reference is None else _present(reference[rows.chosen][mask]).to(values)
    return RankedBatch(
        policy_logps=spread(values),
        ref_logps=spread(ref),
        scores=spread(scores.to(values)),
        mask=mask.to(values.device),
        lengths=spread(_lengths(flat, values)),
    )
