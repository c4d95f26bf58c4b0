"""Weights in float32, computed in bfloat16 by one process: what is trained, kept, resumed and saved, and how near it
is to float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from rank_jobs import trained
from torch import Tensor
from train_helpers import OF_DATA, learner_of, make_policy, method_of, settings, weights

from prefrepro.model import attention, cpu_attention
from prefrepro.model.attention import Blocks
from prefrepro.model.mixed import WideWeights
from prefrepro.model.packing import Block
from prefrepro.model.policy import Policy
from prefrepro.model.training import training_of
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import Outcome, train
from prefrepro.train.ranks import joined

SHAPE: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 32, "num_hidden_layers": 2}
MIXED: dict[str, Any] = {"compute_dtype": "bfloat16", "model_dtype": torch.float32}


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def mixed_run(store: CheckpointStore, name: str = "rpo_paired", **changes: Any) -> tuple[Policy, Outcome]:
    policy = make_policy(dtype=torch.float32, **SHAPE)
    training = training_of(settings(max_steps=6, **{"compute_dtype": "bfloat16"} | changes))
    return policy, train(learner_of(policy, method_of(name), training), store)


def test_near_float32_and_saved_in_float32(store: CheckpointStore) -> None:
    policy, narrow = mixed_run(store)
    wide_policy, wide = mixed_run(CheckpointStore(store.folder / "wide"), compute_dtype=None)
    assert policy.model.dtype == torch.float32
    assert any(len(set(w.flatten().tolist()) - set(w.bfloat16().flatten().tolist())) for w in weights(policy).values())
    for one, other in zip(narrow.metrics, wide.metrics, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=0.02)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=0.1)
    assert narrow.metrics[0]["loss"] != wide.metrics[0]["loss"]
    assert list(policy.model.state_dict()) == list(wide_policy.model.state_dict())


@pytest.mark.parametrize("name", ["rpo_paired", "swepo", "bradley_terry", "ppo"])
def test_as_fsdp_computes_it(name: str, tmp_path: Path) -> None:
    """The same training by FSDP on one rank: it packs sequences in another order, so roundings differ."""
    more: dict[str, Any] = {"rollout": OF_DATA, "max_grad_norm": 0.5} if name == "ppo" else {}
    with joined(is_wanted=True) as ranks:
        trained(ranks, tmp_path / "fsdp", name, **MIXED, **more)
    trained(None, tmp_path / "own", name, **MIXED, **more)
    fsdp, own = (torch.load(tmp_path / f"{way}/outcome.pt", weights_only=True) for way in ("fsdp", "own"))
    before_they_part = slice(3)
    both = (done["outcome"]["metrics"][before_they_part] for done in (fsdp, own))
    for one, other in zip(*both, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=5e-3, abs=5e-3)
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=0.1)
    assert fsdp["weights"].keys() == own["weights"].keys()
    assert {weight.dtype for weight in own["weights"].values()} == {torch.float32}


def test_resumes_to_the_same_bits(tmp_path: Path) -> None:
    trained(None, tmp_path / "whole", **MIXED)
    trained(None, tmp_path / "part", stop_at=5, **MIXED)
    trained(None, tmp_path / "part", **MIXED)
    whole, part = (torch.load(tmp_path / f"{way}/outcome.pt", weights_only=True) for way in ("whole", "part"))
    for key, weight in whole["weights"].items():
        assert weight.dtype == torch.float32
        torch.testing.assert_close(part["weights"][key], weight, rtol=0, atol=0)


def test_small_updates_are_not_lost() -> None:
    """A step far below bfloat16's: the wide weight moves, and in the end the narrow one with it."""
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0)
    wide = WideWeights(model, torch.bfloat16)
    optimizer = torch.optim.SGD(wide.module.parameters(), lr=5e-4)
    wide.follow(optimizer)
    seen: list[Tensor] = []
    for _ in range(8):
        for _ in range(2):  # two micro-batches
            model(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
        assert model.weight.grad is None
        optimizer.step()
        optimizer.zero_grad()
        seen.append(model.weight.detach().clone())
    assert seen[0] == 1 and seen[-1] < 1
    wide.give_back()
    assert model.weight.dtype == torch.float32
    assert model.weight.item() == pytest.approx(1 - 8 * 1e-3)


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "made-again"])
@pytest.mark.parametrize("one_call", [0, 128], ids=["each-response", "one-call"])
@pytest.mark.parametrize("window", [100, 5])
def test_attention_is_that_of_float64(
    is_kept: bool, one_call: int, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values and gradients of two prompts with their responses and a plain sequence; six heads, two groups of keys."""
    monkeypatch.setattr(cpu_attention, "KEPT_NUMBERS", 2**22 if is_kept else 0)
    monkeypatch.setattr(attention, "ONE_CALL", one_call)
    row = Block(7, (4, 6)), Block(9, ()), Block(8, (3, 1, 5))
    blocks, numbers = Blocks(row, torch.device("cpu")), torch.Generator().manual_seed(5)
    q, k, v, slope = (
        torch.randn(1, heads, sum(map(len, row)), 8, generator=numbers).bfloat16() for heads in (6, 2, 2, 6)
    )

    def found(dtype: torch.dtype) -> list[Tensor]:
        leaves = [tensor.to(dtype).requires_grad_() for tensor in (q, k, v)]
        out = attention.attention(torch.nn.Module(), *leaves, None, sliding_window=window, blocks=blocks)[0]  # pyright: ignore
        return [out, *torch.autograd.grad(out, leaves, slope.to(dtype).transpose(1, 2))]

    for one, other in zip(found(torch.bfloat16), found(torch.float64), strict=True):
        assert one.dtype == torch.bfloat16
        assert (one.double() - other).norm() / other.norm() < 0.01


def test_ties_and_frozen_weights_stay() -> None:
    model = make_policy(dtype=torch.float32, **SHAPE).model
    model.model.norm.weight.requires_grad_(False)
    wide = WideWeights(model, torch.bfloat16)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert wide.module.lm_head.weight is wide.module.model.embed_tokens.weight  # pyright: ignore
    assert not wide.module.model.norm.weight.requires_grad  # pyright: ignore
    assert model.model.rotary_emb.inv_freq.dtype == torch.float32, "angles of late positions want it"
