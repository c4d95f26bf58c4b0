"""What the docs say of GPUs is what the memory model and the scales' rates say today."""

from __future__ import annotations

import pytest

from bench.gpu_pages import BLOCKS, SETTINGS
from bench.page import with_block
from prefrepro.files import ROOT
from prefrepro.plan.build import make_plan
from prefrepro.plan.memory import shape_of, shapes
from prefrepro.specs.files import read_mapping

OPERATIONS = 8
"""Of a parameter and token: two forward, as often when activations are made again, four backward."""


@pytest.mark.parametrize("name", BLOCKS)
def test_the_committed_figures_are_those_of_today(name: str) -> None:
    """Else: python -m bench.gpu_pages --write."""
    page, make = BLOCKS[name]
    text = page.read_text(encoding="utf-8")
    assert text == with_block(text, name, make())


@pytest.mark.parametrize(
    ("scale", "flops", "share", "steps"), [("pocket", 165e12, 0.35, (32.97,)), ("paper", 790e12, 0.45, (28, 22))]
)
def test_the_rates_of_a_scale_are_the_arithmetic_that_it_names(
    scale: str, flops: float, share: float, steps: tuple[float, ...]
) -> None:
    plan = make_plan({"scale": scale})
    rates = plan.scale["forecast"]
    assert rates.basis == "arithmetic"
    for model, file in plan.scale["models"].items():
        shape = shapes()[read_mapping(ROOT / f"config/models/{file}.yaml")["repo"]]
        expected = share * flops / OPERATIONS / shape.parameters
        assert rates.rate("training", model) == pytest.approx(expected, rel=0.01), model
        answers = rates.rate("sampling", model) / plan.scale["sampling"]["batch_size"]
        assert any(answers == pytest.approx(one, rel=0.01) for one in steps), model
    assert plan.runtime["engine"]["activation_checkpointing"]
    assert {shape_of(plan.nodes, node) for node in plan.of_kind("run")} <= set(shapes().values())


@pytest.mark.parametrize("scale", ["pocket", "paper"])
def test_the_table_is_of_the_settings_of_the_scales(scale: str) -> None:
    trainings = [node.spec["training"] for node in make_plan({"scale": scale}).of_kind("run")]
    wanted = {key: value for key, value in SETTINGS.items() if key not in ("optimizer", "max_length", "micro_batch")}
    assert trainings and all(wanted.items() <= training.items() for training in trainings)
    rollouts = [one for one in trainings if (one.get("rollout") or {}).get("responses") == "policy"]
    assert rollouts and {one["micro_batch"] for one in rollouts} == {64}
