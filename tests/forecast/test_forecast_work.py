"""Planned sequences against the trainer's own: as many steps, and as many sequences in each."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace

import pytest

from prefrepro.inspect.forecast.sizes import Size
from prefrepro.inspect.forecast.work import (
    device_seconds,
    embedding_work,
    reference_reward_work,
    reference_work,
    training_work,
)
from prefrepro.model.batches import step_rows, steps_per_epoch
from prefrepro.model.rollout import rows_of_rollouts
from prefrepro.model.training import RolloutSettings
from prefrepro.plan.build import make_plan
from prefrepro.plan.nodes import Node

ROWS, PAIRS_OF_GROUP = 250, {"best_vs_each": 3, "all_pairs": 6}
PLANS = {reading: make_plan({"reading": reading}) for reading in ("paper", "code")}


SIZE = Size(
    name="made-up",
    rows={"train": ROWS, "eval": 40, "pretrain": ROWS, "prompts": 32},
    unique_share=0.5,
    responses=2,
    prompt_tokens=20.0,
    response_tokens=30.0,
    answer_tokens=None,
    turns=1,
    is_built=True,
    source="",
)


def trainings() -> list[tuple[str, Node]]:
    """One run of every method, in both readings, and SFT."""
    found = {}
    for reading, plan in PLANS.items():
        for node in plan.of_kind("run", "sft"):
            found.setdefault((reading, node.spec["method"], node.spec["pairs"]), node)
    return [(f"{reading}-{method}-{pairs}", node) for (reading, method, pairs), node in found.items()]


@pytest.mark.parametrize("node", [pytest.param(node, id=name) for name, node in trainings()])
def test_as_many_sequences_as_the_trainer_draws(node: Node) -> None:
    spec, training = node.spec, node.spec["training"]
    needs = importlib.import_module(f"methods.{spec['method']}").NEEDS
    if training.get("rows"):
        needs = replace(needs, rows=training["rows"])
    if training.get("rollout"):
        needs = rows_of_rollouts(needs, RolloutSettings(**training["rollout"]))
    factor = PAIRS_OF_GROUP.get(spec["pairs"], 1)
    prompt_ids = [str(row // 2) for row in range(ROWS) for _ in range(factor)]
    batch, responses = training["batch_size"], 4 if needs.rows == "groups" or factor > 1 else 2
    rows = step_rows(prompt_ids, needs, batch, 0)(0)
    per_step = (len(rows.chosen) * (4 if needs.rows == "groups" else 1)) + len(rows.rejected)
    per_epoch = steps_per_epoch(prompt_ids, needs, batch)
    steps = min(max(math.floor(per_epoch * training["epochs"]), 1), training["max_steps"] or 10**9)
    expected = steps * per_step * (2 if needs.mismatched else 1)
    if needs.rows == "demonstrations" and factor == 1:
        assert per_epoch == 125 // batch, "half of the rows repeat a prompt"
    assert training_work(node, replace(SIZE, responses=responses)).sequences == expected


def test_what_is_not_known_stays_unknown() -> None:
    (node,) = [n for n in PLANS["paper"].of_kind("run") if n.id.startswith("dpo_mistral-7b_hh_")][:1]
    assert training_work(node, replace(SIZE, rows={})).sequences is math.nan
    no_lengths = training_work(node, replace(SIZE, prompt_tokens=math.nan))
    assert no_lengths.sequences
    assert math.isnan(no_lengths.tokens)
    assert math.isnan(device_seconds(no_lengths, 10.0, 10.0, None))
    known = training_work(node, SIZE)
    assert math.isnan(device_seconds(known, None, 10.0, None))
    assert known.scored_tokens == 2 * 40 * 50
    assert device_seconds(known, 10.0, 20.0, None) == pytest.approx((known.tokens or 0) / 10 + 4000 / 20)


def test_rollouts_of_a_policy_are_sampled_scored_and_passed_more_than_once() -> None:
    (node,) = {n.id: n for n in PLANS["paper"].of_kind("run") if n.id.startswith("ppo_mistral-7b_hh_")}.values()
    rollout, work = node.spec["training"]["rollout"], training_work(node, SIZE)
    assert work.sampled_tokens == (work.sequences or 0) * rollout["max_new_tokens"]
    assert work.passes == rollout["ppo_epochs"] > 1
    assert work.tokens == (work.sequences or 0) * (20 + rollout["max_new_tokens"])
    assert (work.scored_tokens or 0) > 3 * (work.tokens or 0)


def test_responses_of_the_reference_are_sampled_and_scored() -> None:
    (node,) = PLANS["paper"].of_kind("reference_rewards")
    work, n = reference_reward_work(node, SIZE), ROWS // 2 * node.spec["samples"]
    assert work.sequences == n
    assert work.sampled_tokens == n * node.spec["max_new_tokens"]
    assert work.tokens == n * (20 + node.spec["max_new_tokens"])
    assert reference_reward_work(node, replace(SIZE, answer_tokens=7.0)).sampled_tokens == n * 7


def test_references_and_embeddings_read_every_text_once() -> None:
    plan = PLANS["paper"]
    parts = {tuple(node.spec["parts"]): reference_work(node, SIZE).sequences for node in plan.of_kind("reference")}
    assert parts == {("train", "eval"): 2 * (ROWS + 40), ("eval",): 2 * 40, ("mismatched",): 2 * ROWS}
    node = plan.of_kind("reference")[0]
    for rows, each in (("pairs", 2), ("balanced", 2), ("mixed", 1), ("groups", SIZE.responses)):
        read = {"rows": rows, "batch_size": 3, "max_steps": 5}
        some = replace(node, spec=node.spec | {"parts": ["train"], "read": read})
        assert reference_work(some, SIZE).sequences == min(15 * each, 2 * ROWS)
    texts = {node.spec["text"]: embedding_work(node, SIZE).sequences for node in plan.of_kind("embeddings")}
    assert texts == {"prompt": ROWS // 2, "prompt+response": 2 * ROWS}
