"""Rows that teach little or nothing, through the whole loop: a documented rule each, never a NaN loss."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from train_helpers import inputs_for, make_policy, method_of, run_method, weights

from methods.contract import RankedBatch
from prefrepro.model.batches import Inputs, step_rows
from prefrepro.train.checkpoint import CheckpointStore

RANKED = ("swepo", "infonca", "nca")


def ragged(sizes: list[int]) -> Inputs:
    """Groups of the given numbers of responses, in turn; the reference is NaN where there is none, as in its file."""
    inputs = inputs_for(method_of("swepo").NEEDS)
    assert inputs.groups is not None
    assert inputs.reference is not None
    kept = [sizes[row % len(sizes)] for row in range(len(inputs.groups.responses))]
    groups = dataclasses.replace(
        inputs.groups,
        responses=[group[:n] for group, n in zip(inputs.groups.responses, kept, strict=True)],
        scores=[scores[:n] for scores, n in zip(inputs.groups.scores, kept, strict=True)],
    )
    beyond = torch.arange(inputs.reference.shape[1]) >= torch.tensor(kept)[:, None]
    return dataclasses.replace(inputs, groups=groups, reference=inputs.reference.masked_fill(beyond, math.nan))


@pytest.mark.parametrize("name", RANKED)
def test_numbers_of_responses_may_differ_and_be_one(name: str, store: CheckpointStore) -> None:
    """The logged loss is that of the rows put together by hand; a swepo row of one response is left out of its mean."""
    method, inputs = method_of(name), ragged([4, 1, 3, 2])
    groups, reference = inputs.groups, inputs.reference
    assert groups is not None
    assert reference is not None
    policy = make_policy()
    losses = []
    for row in step_rows(inputs.prompt_ids, method.NEEDS, 8, 7)(0).chosen:
        n = len(groups.responses[row])
        with torch.no_grad():
            logps, ref = policy(groups.responses[row])[None], reference[row, None, :n].double()
        scores = torch.tensor([groups.scores[row]], dtype=torch.float64)
        batch = RankedBatch(logps, ref, scores, torch.ones(1, n, dtype=torch.bool), torch.ones(1, n))
        output = method.loss(batch, method.Hparams(beta=0.1))
        if output.valid is None or bool(output.valid):
            losses.append(float(output.losses))
        else:
            assert n == 1 or len(set(groups.scores[row])) == 1
    outcome = run_method(policy, name, store, inputs, max_steps=2, beta=0.1)
    assert outcome.metrics[0]["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-9)
    assert all(math.isfinite(value) for entry in outcome.metrics for value in entry.values())


def test_a_batch_whose_scores_are_all_equal_moves_nothing(store: CheckpointStore) -> None:
    inputs = inputs_for(method_of("swepo").NEEDS)
    assert inputs.groups is not None
    level = dataclasses.replace(inputs.groups, scores=[[7.3] * 4 for _ in inputs.groups.scores])
    policy = make_policy()
    before = weights(policy)
    outcome = run_method(policy, "swepo", store, dataclasses.replace(inputs, groups=level), max_steps=2)
    assert [(entry["loss"], entry["grad_norm"]) for entry in outcome.metrics] == [(0, 0), (0, 0)]
    torch.testing.assert_close(weights(policy), before, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["kto", "kto_zero", "bco"])
def test_a_batch_of_one_response_has_an_empty_side(name: str, store: CheckpointStore) -> None:
    """Drawn one at a time, so that every batch is all chosen or all rejected: the side that is there is learnt from."""
    needs = method_of(name).NEEDS
    inputs = inputs_for(needs)
    rows_of = step_rows(inputs.prompt_ids, needs, 1, 7)
    sizes = {(len(rows_of(step).chosen), len(rows_of(step).rejected)) for step in range(6)}
    assert sizes == {(0, 1), (1, 0)}
    changes = {"max_steps": 6, "batch_size": 1, "contrast_size": 1, "beta": 1e-3}  # of larger β a sigmoid is flat here
    metrics = run_method(make_policy(), name, store, inputs, **changes).metrics
    assert all(math.isfinite(entry["loss"]) and entry["grad_norm"] > 0 for entry in metrics)
    assert {"rewards/chosen" in entry for entry in metrics} == {True, False}
