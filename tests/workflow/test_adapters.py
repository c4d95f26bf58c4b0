"""`lora_rank` and `quantize` from a scale's file to run ids, tables, cells and the model card."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from checkout import Checkout, ids
from tiny_world import make_tiny

from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.plan.build import make_plan
from prefrepro.plan.notes import of_runs
from prefrepro.plan.plan import Plan
from prefrepro.plan.resources import ScaleResources
from prefrepro.specs import scale as scales
from prefrepro.specs.files import read_mapping
from prefrepro.tables.render import settings_meta, write_settings


@pytest.fixture
def plan_with(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plan of a scale whose sections are changed."""

    def make(scale: str = "embedded", config: dict[str, Any] | None = None, **sections: dict[str, Any]) -> Plan:
        changed = copy.deepcopy(read_mapping(ROOT / f"config/scales/{scale}.yaml"))
        for name, values in sections.items():
            changed[name] = changed.get(name, {}) | values
        monkeypatch.setattr(
            scales, "read_mapping", lambda path: changed if path.parent.name == "scales" else read_mapping(path)
        )
        return make_plan({"scale": scale} | (config or {}))

    return make


def specs(plan: Plan, *kinds: str) -> list[dict[str, Any]]:
    return [node.spec for node in plan.of_kind(*kinds)]


@pytest.mark.parametrize("scale", ["embedded", "paper", "pocket"])
def test_the_defaults_written_out_change_no_id(scale: str, plan_with: Any) -> None:
    before, after = make_plan({"scale": scale}), plan_with(scale, training={"lora_rank": 0, "quantize": "none"})
    assert list(after.nodes) == list(before.nodes)
    assert not any({"lora_rank", "quantize"} & set(spec.get("training", {})) for spec in specs(after, "run", "sft"))


def test_a_rank_makes_other_runs_of_every_training_but_a_base_model(plan_with: Any) -> None:
    before, after = make_plan({}), plan_with(training={"lora_rank": 4})
    kept = {"data", "base", "embeddings"}
    assert {node.kind for node in after.nodes.values() if node.id in before.nodes} == kept
    assert not [node.id for node in after.of_kind(*kept) if node.id not in before.nodes]
    assert {spec["training"]["lora_rank"] for spec in specs(after, "sft", "run", "reward_model")} == {4}
    assert {spec["dtype"] for spec in specs(after, "reference")} == {"float32"}, "the node of full trainings"


def test_sft_can_train_every_parameter_before_adapters(plan_with: Any) -> None:
    before, after = make_plan({}), plan_with(training={"lora_rank": 4}, sft={"lora_rank": 0})
    shared = {"sft", "reference"}
    assert all(node.id in before.nodes for node in after.of_kind(*shared))
    assert not any(node.id in before.nodes for node in after.of_kind("run"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lora_rank": -1}, r"training.lora_rank: found -1, expected a whole number of at least 0"),
        ({"lora_rank": 4.0}, r"training.lora_rank: found 4.0, expected a whole number"),
        ({"lora_rank": True}, r"training.lora_rank: found True, expected a whole number"),
        ({"lora_rank": 4, "quantize": "int8"}, r"training.quantize: found 'int8', expected none or nf4"),
        (
            {"quantize": "nf4"},
            r"quantize is nf4 and lora_rank 0, but weights in 4 bit cannot be trained\. Set lora_rank",
        ),
        ({"lora_rnk": 4}, r'training: "lora_rnk" is unknown.* Did you mean lora_rank'),
    ],
)
def test_bad_values_are_one_clear_message(values: dict[str, Any], said: str, plan_with: Any) -> None:
    with pytest.raises(UserError, match=said):
        plan_with(training=values)


def test_tables_and_cells_call_it_a_deviation(plan_with: Any, tmp_path: Path) -> None:
    plain = make_plan({"scale": "paper", "judge": "openai"}).tables["table1"].spec
    assert not [cell for cell in plain["cells"] if "deviation" in cell]
    plan = plan_with("paper", {"judge": "openai"}, training={"lora_rank": 16, "quantize": "nf4"})
    spec = plan.tables["table1"].spec
    said = "LoRA of rank 16 over weights in 4 bit (nf4)"
    (note,) = [note for note in spec["notes"] if "LoRA" in note]
    assert note.startswith(f"A deviation: {said} in place of every parameter, in DPO, RPO, uniform weighting")
    assert {cell["deviation"] for cell in spec["cells"]} == {said}
    settings = plan.tables["table5"].spec
    for path in write_settings(settings["settings"], settings_meta(settings), tmp_path):
        assert path.suffix == ".csv" or "A deviation: LoRA of rank 16" in path.read_text(encoding="utf-8")


def test_a_run_of_every_parameter_after_an_sft_of_adapters_deviates_too(plan_with: Any) -> None:
    plan = plan_with(training={}, sft={"lora_rank": 8})
    runs = plan.tables["table1"].spec["cells"][0]["run_ids"]
    assert "lora_rank" not in plan.nodes[runs[0]].spec["training"]
    assert of_runs(plan, runs) == "LoRA of rank 8"


def test_adapters_ask_for_one_gpu_where_every_parameter_has_two(plan_with: Any) -> None:
    asked = {}
    for rank in (0, 8):
        plan = plan_with("paper", {"judge": "openai"}, training={"lora_rank": rank})
        large = [node for node in plan.of_kind("run", "sft") if node.spec["model"] == "llama2-13b"]
        asked[rank] = {ScaleResources(plan).of(node).gpus for node in large}
    assert asked == {0: {2}, 8: {1}}


def test_one_row_of_a_table_alone(tmp_path: Path) -> None:
    """In a copy, because the row stands in the table's file."""
    checkout = Checkout(tmp_path)
    before = checkout.nodes()
    checkout.edit("paper_tables/rpo/table1.yaml", "method: dpo\n", "method: dpo\n    training: {lora_rank: 2}\n")
    after = checkout.nodes()
    (spec,) = [node["spec"] for node in after if node["kind"] == "table"]
    assert [note for note in spec["notes"] if "LoRA" in note] == [
        "A deviation: LoRA of rank 2 in place of every parameter, in DPO."
    ]
    assert {cell["row"] for cell in spec["cells"] if "deviation" in cell} == {"dpo"}
    assert len(ids(after, "run") - ids(before, "run")) == 1
    assert ids(after, "sft", "reference") == ids(before, "sft", "reference")


def test_a_training_of_adapters_as_the_workflow_makes_it(tmp_path: Path) -> None:
    """SFT and DPO of a tiny world: the second starts from the first's merged weights, and its card says so."""
    checkout = Checkout(tmp_path)
    make_tiny(checkout)
    checkout.edit_yaml("config/scales/embedded.yaml", {"training": {"lora_rank": 4}})
    run = next(n for n in checkout.nodes() if n["kind"] == "run" and n["spec"]["method"] == "dpo")
    done = checkout.snakemake("--cores", "1", f"results/embedded/{run['done']}")
    assert done.returncode == 0, done.stderr
    folder = checkout.root / "results/embedded" / run["folder"]
    adapter = json.loads((folder / "adapter/adapter_config.json").read_text(encoding="utf-8"))
    assert adapter["base_model_name_or_path"] == run["inputs"]["init"]
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))["adapters"]
    card = (folder / "model/README.md").read_text(encoding="utf-8")
    assert f"- Trained as LoRA of rank 4, merged into these weights: {facts['trained_parameters']:,} of" in card
    assert "| `lora_rank` | 4 |" in card
