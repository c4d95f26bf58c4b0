"""The contrasts of a batch: weights as the formula has them, the step's own rows, files that do not change."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from methods import dpo, rpo_paired, rpo_uniform, rpo_unpaired
from prefrepro.model.tensors import save_tensors
from prefrepro.plan.build import make_plan
from prefrepro.studies.contrast import plot
from prefrepro.studies.contrast.batch import first_batch, weights_of
from prefrepro.studies.contrast.panels import EMBEDDERS, METHODS, needed, panels

SIDES = [torch.tensor([[1.0, 0.0], [0.6, 0.8]]).double(), torch.tensor([[2.0, 0.0], [0.0, 1.0]]).double()]


def test_dpo_meets_its_own_pair_only_and_uniform_every_one_alike() -> None:
    assert torch.equal(weights_of(dpo, {"beta": 0.1}, 2, 2, [None, None]), torch.eye(2).double())
    assert torch.allclose(weights_of(rpo_uniform, {}, 2, 2, [None, None]), torch.full((2, 2), 0.5).double())


@pytest.mark.parametrize(("method", "cosines"), [(rpo_unpaired, [[1, 0], [0.6, 0.8]]), (rpo_paired, [[1, 0], [0, 1]])])
def test_weights_are_those_of_eq_10_and_11(method: object, cosines: list[list[float]]) -> None:
    """exp(−(1 − cos)/τ) over its row's sum, whatever β is."""
    expected = torch.softmax(-(1 - torch.tensor(cosines).double()) / 0.25, dim=1)
    found = weights_of(method, {"beta": 0.3, "tau": 0.25}, 2, 2, SIDES)
    torch.testing.assert_close(found, expected)


def test_the_batch_is_the_runs_first_and_is_drawn_alike_each_time(tmp_path: Path) -> None:
    plan = make_plan()
    panel = panels(plan, METHODS)[1]
    rows = [
        {"prompt_id": f"{i:02x}" * 32, "prompt": [{"role": "user", "content": f"Prompt {i} costs $5"}]}
        for i in range(40)
    ]
    data = tmp_path / panel.data.folder
    data.mkdir(parents=True)
    (data / "train.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    assert panel.embeddings is not None
    vectors = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    index = torch.arange(40)[:, None].expand(40, 2).contiguous()
    (tmp_path / panel.embeddings.folder).mkdir(parents=True)
    save_tensors({"vectors": vectors, "index": index}, tmp_path / panel.embeddings.folder / "embeddings.safetensors")
    paired = first_batch(panel, tmp_path)
    own = first_batch(panels(plan, METHODS)[0], tmp_path)
    assert paired.chosen == own.chosen and paired.own == [(i, i) for i in range(8)]
    torch.testing.assert_close(paired.weights.sum(dim=1), torch.ones(8).double())
    drawn = []
    for name in ("a", "b"):
        plot.matrices([own, paired], "Title", tmp_path / f"{name}2.svg")
        plot.one_response(own, paired, tmp_path / f"{name}1.svg")
        drawn.append([hashlib.sha256((tmp_path / f"{name}{n}.svg").read_bytes()).hexdigest() for n in (1, 2)])
    assert drawn[0] == drawn[1]
    text = (tmp_path / "a2.svg").read_text(encoding="utf-8")
    assert "costs $5" in text and ">1.00<" in text


def test_no_training_is_needed() -> None:
    nodes = needed(make_plan())
    assert {node.kind for node in nodes} == {"data", "embeddings"}
    assert [replace(panel, title="") for panel in panels(make_plan(), EMBEDDERS)] != []
