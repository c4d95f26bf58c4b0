"""How far a policy has moved: the KL along its own samples against all responses enumerated, and what a node writes."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from test_preference import checkpoint, write
from train_helpers import world_rows
from transformers import LlamaConfig, LlamaForCausalLM

from prefrepro.csv_schema.schema import read_csv
from prefrepro.errors import UserError
from prefrepro.model import distance
from prefrepro.model.distance import divergences
from prefrepro.model.examples import Tokens
from prefrepro.model.policy import Layout, Policy
from prefrepro.train import shared

SPEC: dict[str, Any] = {
    "max_length": 96, "max_prompt_length": 48, "truncation_mode": "keep_end", "cut_prompts": "always",
    "micro_batch": 4, "threads": 1, "dtype": "float32", "part": "eval", "pairs": 6, "prompts": 5, "max_new_tokens": 4,
    "init": "", "seed": 1, "is_world": True,
}  # fmt: skip
SIZE, LENGTH, PROMPT = 7, 2, [1, 2, 3, 4, 5, 6, 0, 1, 2]


def pair_of_policies(layout: Layout = "shared") -> list[Policy]:
    """Two of seven tokens, so that all their responses of two tokens can be gone through."""
    config = LlamaConfig(
        vocab_size=SIZE, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        initializer_range=0.3,
    )  # fmt: skip
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        found.append(Policy(LlamaForCausalLM(config).double().eval(), 0, layout=layout))
    return found


@pytest.mark.parametrize("layout", ["shared", "padded"])
def test_both_estimates_have_the_kl_of_all_responses_as_their_mean(layout: Layout) -> None:
    """Σ_y π(y) log π(y)/q(y) over all 49 responses of two tokens is Σ_y π(y) · estimate(y), of either estimate."""
    policy, reference = pair_of_policies(layout)
    every = [Tokens(PROMPT, list(response)) for response in itertools.product(range(SIZE), repeat=LENGTH)]
    with torch.no_grad():
        own, other = policy(every), reference(every)
    assert float(own.exp().sum()) == pytest.approx(1, abs=1e-9)
    exact = float((own.exp() * (own - other)).sum())
    kl, ratio = divergences(policy, reference, every, 5)
    assert float((own.exp() * kl).sum()) == pytest.approx(exact, rel=1e-4)
    torch.testing.assert_close(ratio.double(), own - other, rtol=1e-4, atol=1e-5)
    assert float(kl.min()) >= 0 > float(ratio.min())


def test_a_policy_stands_at_no_distance_from_itself() -> None:
    policy, _ = pair_of_policies()
    kl, ratio = divergences(policy, policy, [Tokens(PROMPT, [1, 2, 3])] * 3, 2)
    assert torch.equal(kl, torch.zeros(3)) and torch.equal(ratio, torch.zeros(3))


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    """A run that kept one model on its way: a little from where it started, and further at its end."""
    rows = world_rows(12, seed=9)
    checkpoint(tmp_path / "run", shift=0.2)
    checkpoint(tmp_path / "half", shift=0.05)
    (tmp_path / "run/snapshots").mkdir()
    (tmp_path / "half/model").rename(tmp_path / "run/snapshots/step-000004")
    (tmp_path / "run/run.json").write_text(json.dumps({"row": {"steps": 8}}), encoding="utf-8")
    return {
        "data": write(tmp_path / "data", rows),
        "init": checkpoint(tmp_path / "init"),
        "run": tmp_path / "run",
    }


def test_a_node_has_a_row_for_the_reference_each_snapshot_and_the_end(inputs: dict[str, Path], tmp_path: Path) -> None:
    shared.distance(SPEC, inputs, tmp_path / "out")
    shared.distance(SPEC, inputs, tmp_path / "again")
    csvs = [(tmp_path / name / "distance.csv") for name in ("out", "again")]
    assert csvs[0].read_bytes() == csvs[1].read_bytes()
    frame = read_csv(csvs[0], "distance")
    assert list(frame["step"]) == [0, 4, 8]
    assert list(frame["pairs"]) == [6] * 3 and list(frame["prompts"]) == [5] * 3
    kl = list(frame["kl"])
    assert kl[0] == 0 < kl[1] < kl[2]
    assert next(iter(frame["accuracy"])) == 0.5 and not any(math.isnan(one) for one in frame["reward"])
    assert (frame["tokens"][1:] <= 5 * SPEC["max_new_tokens"]).all()


def test_outside_the_embedded_world_no_reward_is_known(inputs: dict[str, Path], tmp_path: Path) -> None:
    rows = distance.distances(SPEC | {"is_world": False}, inputs)
    assert [row["reward"] for row in rows] == [None] * 3


def test_a_part_without_pairs_is_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    write(tmp_path / "data", [], "dev")
    with pytest.raises(UserError, match="part dev holds no labelled pair, expected at least one"):
        distance.distances(SPEC | {"part": "dev"}, inputs)
