"""Trainings on single completions with a label: M good and N bad ones, M ≠ N, of prompts that need not be the same.

A row of such data is a group of one completion, whose score is its label: so reference log-probs are computed as those
of groups. Here they become the two sides of an UnpairedBatch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from methods.contract import Needs
from prefrepro.data.truncate import limits_of
from prefrepro.errors import UserError
from prefrepro.model.align import Start
from prefrepro.model.batches import Inputs, Rows, first_of_each_prompt
from prefrepro.model.examples import Groups, Pairs, RowFile, encode_groups
from prefrepro.model.learner import Learner
from prefrepro.model.tensors import load_tensors
from prefrepro.model.token_file import Lazy
from prefrepro.model.training import capped_steps

Sides = tuple[list[int], list[int]]
"""Rows of the data with a good completion, and those with a bad one"""


class UnpairedLearner(Learner):
    """A training whose sides are drawn apart, or together as they fall out."""

    def __init__(self, start: Start, inputs: Inputs, ids: tuple[list[str], list[str]]) -> None:
        """`ids`: prompt_id of each good and of each bad completion. Raises UserError where they do not fill a batch."""
        super().__init__(start.policy, start.objective, inputs, start.training, start.seed)
        self._ids, needs, size = ids, start.objective.needs, start.training.batch_size
        orders = _orders(ids, needs)
        if (per_epoch := min(map(len, orders)) // size) == 0:
            raise UserError(
                f"{len(ids[0])} completions labelled good and {len(ids[1])} labelled bad cannot fill one batch of "
                f"{size} ({needs.rows}). Lower training.batch_size or use more data"
            )
        self.steps = capped_steps(per_epoch, start.training.epochs, start.training.max_steps)

        def rows_of(step: int) -> Rows:
            epoch, first = step // per_epoch, step % per_epoch * size
            drawn = []
            for side, universe in enumerate(orders):
                order = list(universe)
                random.Random(f"{start.seed}/{epoch}/{('pairs', 'rejected')[side]}").shuffle(order)
                drawn.append(order[first : first + size])
            if needs.rows == "mixed":
                return Rows.mixed(drawn[0])
            return Rows(drawn[0], drawn[1] if needs.rows == "balanced" else [])

        self.rows_of = rows_of

    def prompts(self, number: int) -> list[str]:
        """prompt_ids of a step's rows."""
        rows = self.rows_of(number)
        return [self._ids[0][row] for row in rows.chosen] + [self._ids[1][row] for row in rows.rejected]


def _orders(ids: tuple[list[str], list[str]], needs: Needs) -> list[Sequence[int]]:
    """What an epoch goes through: both sides apart, both together as 2 · row + side, or the demonstrations."""
    if needs.rows == "demonstrations":
        return [first_of_each_prompt(ids[0])]
    if needs.rows == "mixed":
        return [[2 * row + side for side in (0, 1) for row in range(len(ids[side]))]]
    return [range(len(ids[0])), range(len(ids[1]))]


def unpaired_learner(start: Start, spec: dict[str, Any], inputs: dict[str, Path], tokenizer: Any) -> Learner:
    """The training of `start` on the rows of a data set of single completions.

    `inputs`: data and, where the method needs them, reference, other (the same prompts with completions of others) and
    reference_other.
    """
    limits, needs = limits_of(spec["training"]), start.objective.needs
    groups = encode_groups(RowFile(inputs["data"] / f"{spec['part']}.jsonl"), tokenizer, limits)
    good = [row for row, scores in enumerate(groups.scores) if scores[0] > 0]
    bad = [row for row, scores in enumerate(groups.scores) if scores[0] <= 0]
    sides = (good, bad)
    reference = _reference(inputs, "reference", sides) if needs.reference else None
    others, other_reference = None, None
    if needs.mismatched:
        others = _pairs(encode_groups(RowFile(inputs["other"] / f"{spec['part']}.jsonl"), tokenizer, limits), sides)
        other_reference = _reference(inputs, "reference_other", sides)
    pairs = _pairs(groups, sides)
    drawn = Inputs(pairs, reference, mismatched=others, mismatched_reference=other_reference)
    ids = tuple([groups.prompt_ids[row] for row in side] for side in sides)
    return UnpairedLearner(start, drawn, (ids[0], ids[1]))


def _pairs(groups: Groups, sides: Sides) -> Pairs:
    """The two sides, each as long as it is; `prompt_ids` are of both."""
    good, bad = (Lazy(len(side), lambda i, side=side: groups.responses[side[i]][0]) for side in sides)
    return Pairs(good, bad, [groups.prompt_ids[row] for side in sides for row in side], groups.counts)


def _reference(inputs: dict[str, Path], role: str, sides: Sides) -> Tensor:
    """(longer side, 2) reference log-probs in nats; NaN below the end of the shorter one."""
    logps = load_tensors(inputs[role] / "reference.safetensors")["train"]
    found = torch.full((max(map(len, sides)), 2), torch.nan)
    for column, side in enumerate(sides):
        found[: len(side), column] = logps[side, 0]
    return found
