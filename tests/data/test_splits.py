"""Splits by prompt, and the order of sampled prompts, which is that of the released data loader."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefrepro.data.splits import eval_prompt_order, split_of
from prefrepro.errors import UserError

PARTS = {"train": 0.7, "eval": 0.15, "judge": 0.15}


@given(st.text(max_size=20), st.text(max_size=5), st.permutations(list(PARTS)))
def test_a_prompt_is_in_one_part_whatever_the_order_of_the_parts(prompt_id: str, salt: str, names: list[str]) -> None:
    part = split_of(prompt_id, PARTS, salt)
    assert part in PARTS
    assert split_of(prompt_id, {name: PARTS[name] for name in names}, salt) == part


@given(st.lists(st.integers(0, 100), min_size=1, max_size=6).filter(any), st.integers())
def test_an_empty_part_gets_nothing(weights: list[int], number: int) -> None:
    parts = {f"part{index}": weight / sum(weights) for index, weight in enumerate(weights)}
    assert parts[split_of(str(number), parts, "salt")] > 0


def test_parts_have_their_share_and_salts_differ() -> None:
    ids = [str(number) for number in range(4000)]
    split = [split_of(name, PARTS, "one") for name in ids]
    counts = Counter(split)
    for name, share in PARTS.items():
        assert abs(counts[name] / 4000 - share) < 0.03  # four standard errors of 0.7 at n = 4,000
    other = [split_of(name, PARTS, "two") for name in ids]
    agreement = sum(a == b for a, b in zip(split, other, strict=True)) / 4000
    assert abs(agreement - sum(share**2 for share in PARTS.values())) < 0.04


def golden_cases(config: pytest.Config, op: str) -> list[dict[str, Any]]:
    path = Path(str(config.getoption("--golden")))
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        cases = [case for case in json.load(file)["cases"] if case["op"] == op]
    if not cases:
        pytest.skip(f"{path} holds no case of {op}")
    return cases


def test_eval_prompt_order_is_the_released_one(pytestconfig: pytest.Config) -> None:
    for case in golden_cases(pytestconfig, "eval_prompt_order"):
        asked = case["params"]
        order = eval_prompt_order(asked["n_unique_prompts"], asked["n_samples"], asked["batch_size"], asked["seed"])
        assert order == case["outputs"]["prompt_indices"], case["id"]


def test_one_pass_leaves_out_the_last_partial_batch() -> None:
    order = eval_prompt_order(805, None, 32)
    assert len(order) == len(set(order)) == 800  # docs/judging.md#rpo-on-alpacaeval


def test_samples_are_rounded_up_to_full_batches_and_come_again_after_a_pass() -> None:
    assert len(eval_prompt_order(96, 40, 32)) == 64
    order = eval_prompt_order(40, 64, 32)
    assert len(order) == 64
    assert len(set(order[:32])) == len(set(order[32:])) == 32


def test_orders_that_serve_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="3 prompts do not fill a batch of 4"):
        eval_prompt_order(3, 8, 4)
    with pytest.raises(UserError, match="do not fill a batch of 0; expected a batch of 1 to 3"):
        eval_prompt_order(3, 8, 0)
