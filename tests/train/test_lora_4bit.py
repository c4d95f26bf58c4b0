"""Adapters over weights in 4 bit. Runs where bitsandbytes is installed, on CUDA or by its CPU kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from train_helpers import make_inputs, model_config, short_training, tokenizer

from prefrepro.model.load import load_model, save_model
from prefrepro.model.lora import Adapters
from prefrepro.model.policy import Policy
from prefrepro.model.pretrain import build_model
from prefrepro.train.checkpoint import CheckpointStore

bitsandbytes = pytest.importorskip("bitsandbytes", reason="pip install -e '.[qlora]'")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = model_config(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4)
    folder = tmp_path_factory.mktemp("base")
    save_model(build_model(config, tokenizer(), 0), tokenizer(), folder)
    return folder


@pytest.fixture(autouse=True)
def _one_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off CUDA bitsandbytes may lay weights out anew when they are first read, and then cannot dequantise them."""
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False, raising=False)


def adapted(checkpoint: Path) -> tuple[Policy, Adapters]:
    model: Any = load_model(checkpoint, "float32", quantize="nf4")
    assert type(model.model.layers[0].mlp.up_proj) is bitsandbytes.nn.Linear4bit
    assert type(model.lm_head) is torch.nn.Linear
    adapters = Adapters(model, 4, torch.float32, seed=3)
    return Policy(model, tokenizer().pad_token_id), adapters


def test_what_was_learnt_over_rounded_weights_is_what_is_merged(checkpoint: Path, tmp_path: Path) -> None:
    policy, adapters = adapted(checkpoint)
    outcome = short_training(policy, CheckpointStore(tmp_path), None)
    losses = [entry["loss"] for entry in outcome.metrics]
    assert sum(losses[-3:]) < sum(losses[:3])
    merged = adapters.merged(lambda: load_model(checkpoint, "float32"))
    sequences = make_inputs(4).pairs.chosen
    with torch.no_grad():
        torch.testing.assert_close(Policy(merged, 0)(sequences), policy(sequences), rtol=1e-5, atol=1e-3)
        rounded = policy(sequences) - Policy(load_model(checkpoint, "float32"), 0)(sequences)
    assert rounded.abs().max() > 1


def test_an_interrupted_training_ends_as_an_unbroken_one(checkpoint: Path, tmp_path: Path) -> None:
    whole, expected = adapted(checkpoint)
    short_training(whole, CheckpointStore(tmp_path / "whole"), None)
    with pytest.raises(KeyboardInterrupt):
        short_training(adapted(checkpoint)[0], CheckpointStore(tmp_path / "cut"), 4)
    again, found = adapted(checkpoint)
    short_training(again, CheckpointStore(tmp_path / "cut"), None)
    torch.testing.assert_close(found.trained(), expected.trained(), rtol=0, atol=0)
