"""One CPU thread, because sums depend on the number of them; a checkpoint store, and a data node on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from prefrepro.data.build import build
from prefrepro.train.checkpoint import CheckpointStore


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints" / "run")


@pytest.fixture(scope="session")
def data_node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small dialogue data set: 64 texts, 32 training and 12 evaluation pairs."""
    folder = tmp_path_factory.mktemp("results") / "data" / "world"
    source: dict[str, Any] = {
        "kind": "world", "task": "dialogue", "form": "pairs", "seed": 3, "temperature": 1.0,
        "rows": {"pretrain": 64, "train": 32, "eval": 12, "judge": 0}, "parts": {"train": 0.8, "eval": 0.2},
        "n_prompts": 4, "prompt_batch": 4, "order_seed": 1, "reading": "paper",
    }  # fmt: skip
    build({"source": source}, {}, folder)
    return folder
