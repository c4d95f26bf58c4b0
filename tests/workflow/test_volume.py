"""How much data a training sees: parts kept from it, examples and updates of a table's rows, the batch of Table 3, what
of a training's settings differs on one data set."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from checkout import Checkout, ids

from methods.contract import Needs
from prefrepro.data.truncate import LIMITS
from prefrepro.model.batches import step_rows, steps_per_epoch
from prefrepro.model.training import needs_in, training_of
from prefrepro.plan.build import make_plan
from prefrepro.plan.dataset import kept
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan
from prefrepro.specs.method import read_method

PROMPTS = [f"p{number}" for number in range(3000)]
"""prompt_ids of as many pairs"""


@cache
def plan_of(**config: Any) -> Plan:
    return make_plan(config)


def volume(run: Node) -> tuple[int, float]:
    """(updates of an epoch, responses of one update) of a training on `PROMPTS`."""
    training = training_of(run.spec["training"])
    needs = needs_in(training, Needs(**read_method(run.spec["method"]).needs))
    rows = step_rows(PROMPTS, needs, training.batch_size, 1)(0)
    return steps_per_epoch(PROMPTS, needs, training.batch_size), len(rows.chosen) + len(rows.rejected)


def runs_of(plan: Plan, target: str, column: str) -> dict[str, Node]:
    """Row -> its training, where pairs are trained on as they stand."""
    cells = plan.tables[target].spec["cells"]
    runs = {
        cell["row"]: plan.nodes[cell["run_ids"][0]] for cell in cells if cell["column"] == column and cell["run_ids"]
    }
    return {row: run for row, run in runs.items() if run.kind == "run" and "rollout" not in run.spec["training"]}


@pytest.mark.parametrize("scale", ["paper", "embedded"])
def test_all_methods_of_a_table_see_the_same_data_in_as_many_updates(scale: str) -> None:
    """Section 4.1: the volume of training data is identical for RPO, DPO and KTO. PPO has none but rollouts: its switch
    says how many."""
    plan, seen = plan_of(scale=scale), set()
    for target in plan.printed:
        cells = plan.tables[target].spec["cells"]
        if cells and cells[0]["paper"] == "rpo":
            for column in {cell["column"] for cell in cells}:
                runs = runs_of(plan, target, column)
                seen |= {run.spec["method"] for run in runs.values()}
                assert len({volume(run) for run in runs.values()}) == 1, (target, column)
    assert {"dpo", "ipo", "kto", "rpo_paired", "rpo_unpaired", "rpo_uniform", "rpo_diagonal", "rpo_integrated"} <= seen


def test_the_release_makes_twice_the_updates_of_unpaired_methods() -> None:
    runs = runs_of(plan_of(scale="paper", unpaired_batch="code"), "table4", "hh-mistral-7b")
    found = {run.spec["method"]: volume(run) for run in runs.values()}
    assert (found["dpo"], found["rpo_unpaired"], found["kto"]) == ((46, 128), (93, 64), (93, 64))


def test_table_3_moves_the_batch_with_the_contrasts() -> None:
    """«Per GPU batch size» on the eight GPUs of Table 5; held, whole contrasts of each size."""

    def sizes(**config: Any) -> list[tuple[int, int]]:
        plan = plan_of(scale="paper", **config)
        runs = [plan.nodes[cell["run_ids"][0]].spec["training"] for cell in plan.tables["table3"].spec["cells"]]
        return [(run["contrast_size"], run["batch_size"]) for run in runs]

    assert sizes() == [(2, 16), (4, 32), (6, 48), (8, 64)]
    assert sizes(contrast_batch="held") == [(2, 64), (4, 64), (6, 66), (8, 64)]


def test_nothing_is_kept_from_training_that_no_node_uses() -> None:
    def parts(**config: Any) -> dict[str, dict[str, float]]:
        sources = [
            node.spec["source"] for node in plan_of(scale="paper", **config).nodes.values() if node.kind == "data"
        ]
        return {source["kind"]: source["parts"] for source in sources if "parts" in source}

    full = {"train": 1.0, "judge": 0.0}
    assert parts() == {"hh": full, "tldr": full, "ultrafeedback": {"train": 1.0, "eval": 0.0}}
    assert parts(judge="reward-model")["hh"] == {"train": 0.95, "judge": 0.05}
    assert kept({"train": 0.7, "eval": 0.15, "judge": 0.15}, {"eval"}) == {"train": 0.85, "eval": 0.15, "judge": 0.0}


def test_eq10_is_read_to_the_letter_by_every_method_that_uses_it() -> None:
    plan = plan_of(scale="paper", weight_distance="eq10")
    runs = [node.spec for node in plan.nodes.values() if node.kind == "run" and "distance" in node.spec["hparams"]]
    assert {spec["method"] for spec in runs} == {"rpo_paired", "rpo_unpaired", "rpo_integrated"}
    assert {spec["hparams"]["distance"] for spec in runs} == {"cos"}


@pytest.mark.parametrize(("switch", "cut"), [("paper", "always"), ("code", "with_response")])
def test_training_reference_embeddings_and_sampling_have_one_rule(switch: str, cut: str) -> None:
    """And the end that is cut is the data set's: TL;DR keeps the start of a post, HH the end of a conversation."""
    plan = plan_of(scale="paper", prompt_length=switch)
    rules: dict[tuple[str, str], set[Any]] = {}
    for target in ("table4", "table1", "table6"):
        for node in plan.needed_by([target]):
            limits = node.spec.get("training") or node.spec.get("sampling") or node.spec
            if "cut_prompts" in limits:
                rule = tuple(limits[name] for name in LIMITS)
                rules.setdefault((node.dataset or "", node.kind), set()).add(rule)
    kinds = {"sft", "reward_model", "reference", "embeddings", "run", "sample"}
    assert {kind for dataset, kind in rules if dataset == "tldr"} == kinds
    for (dataset, _), found in rules.items():
        assert found == {(512, 256, "keep_start" if dataset == "tldr" else "keep_end", cut)}


def test_an_answer_has_room_beside_its_prompt(checkout: Checkout) -> None:
    """At scale embedded, answers to the groups' own prompts once had none, which the job alone noticed."""
    checkout.edit_yaml("config/scales/embedded.yaml", {"sampling": {"max_length": 512}})
    done = checkout.prefrepro("plan", "swepo_embedded_methods")
    assert done.returncode != 0
    assert "column win-rate: sampling cuts prompts to 512 tokens, and max_length is 512" in done.stderr


def test_a_scale_may_align_otherwise_on_one_data_set(checkout: Checkout) -> None:
    """SFT keeps its settings; what a row says of its training comes after."""
    before = checkout.nodes()
    checkout.edit_yaml("config/scales/embedded.yaml", {"training_on": {"hh": {"lr": 1.5e-5, "warmup_steps": 5}}})
    checkout.edit_yaml("paper_tables/rpo/table1.yaml", {"rows": {"uniform": {"training": {"warmup_steps": 7}}}})
    after = checkout.nodes()
    assert ids(after, "sft") == ids(before, "sft")
    for method, warmup in (("dpo", 5), ("rpo_uniform", 7)):
        (training,) = [node["spec"]["training"] for node in after if node["spec"].get("method") == method]
        assert (training["lr"], training["warmup_steps"]) == (1.5e-5, warmup)
