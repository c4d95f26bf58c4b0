"""The plan of the paper's scale against runs.json: every training, sample set, verdict set and cell, id by id."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from shared import SHARED

from prefrepro.plan.build import make_plan
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan

RUNS = SHARED / "runs.json"
pytestmark = pytest.mark.skipif(not RUNS.is_file(), reason=f"{RUNS} is not there: the run matrix of both papers")

DATA = {"hh": "hh", "tldr": "tldr", "ultrafeedback": "uf"}
MODELS = {"llama2-7b": "l7", "llama2-13b": "l13", "mistral-7b": "m7", "mistral-7b-instruct": "mi1"}
PAIRS = {"best_vs_worst": "dpo-bw", "best_vs_random": "dpo-br", "best_vs_each": "dpo-k1", "all_pairs": "dpo-kc2"}
EMBEDDERS = {"sentence-t5-large": "st5l", "all-distilroberta-v1": "distilrob", "all-MiniLM-L6-v2": "minilm"}
METHODS = {"ppo_offline": "ppo", "rpo_uniform": "rpouni", "rpo_diagonal": "rpodiag-a0.8", "rpo_unpaired": "rpou-t0.75"}


@cache
def published() -> dict[str, Any]:
    return json.loads(RUNS.read_text(encoding="utf-8"))


@cache
def plan_of(reading: str) -> Plan:
    """Greedy under both: the released sampler has no temperature, so Table 8's T = 0 would be samples of their own."""
    return make_plan({"scale": "paper", "reading": reading, "decoding": "paper"})


def method_id(plan: Plan, run: Node) -> str:
    """The last part of runs.json's training ids, from what the node says."""
    method, hparams = run.spec["method"], run.spec["hparams"]
    if run.spec["pairs"] and method == "dpo":
        return PAIRS[run.spec["pairs"]]
    if method == "swepo":
        return f"swepo-1vk-p{hparams['p']}" if hparams["group"] == "1_vs_k" else f"swepo-p{hparams['p']}"
    beta = "" if hparams.get("beta", 0.1) in (0.1, 0.01) else f"-b{hparams['beta']}"
    if method == "rpo_paired":
        contrast = run.spec["training"]["contrast_size"]
        group = "" if contrast == 8 else f"-pgb{contrast}"
        embedder = EMBEDDERS[plan.node(run.inputs["embeddings"]).id.split("_")[0]]
        is_usual = embedder == "minilm" and hparams["tau"] == 0.5
        return f"rpop-t0.5{group}{beta}" if is_usual else f"rpop-{embedder}-t{hparams['tau']}"
    if method == "rpo_integrated":
        return f"rpop-int-t{hparams['tau']}"
    return str(METHODS.get(method, method)) + beta


def training_id(plan: Plan, run: Node) -> str:
    return f"{DATA[run.spec['dataset']]}-{MODELS[run.spec['model']]}-{method_id(plan, run)}"


def sampling_id(plan: Plan, sample: Node) -> str:
    run = plan.node(sample.inputs["run"])
    prompts = plan.node(sample.inputs["data"]).spec["source"].get("set")
    if prompts == "alpaca_eval":
        place = "ae805" if run.spec["dataset"] == "ultrafeedback" else "alpaca"
    else:
        place = DATA[run.spec["dataset"]]
    temperature = sample.spec["sampling"]["temperature"]
    warm = f"-T{temperature}" if temperature in (0.3, 0.7) else ""
    return f"s:{training_id(plan, run)}@{place}{warm}"


def judging_id(plan: Plan, verdict: Node) -> str:
    spec = verdict.spec
    kinds = {"fn": "ae2fn", "weighted": "ae2w", "ae1": "ae1", "dialogue": "gpt4-dialogue", "summarization": "gpt4-summ"}
    kind = kinds[spec.get("annotator") or spec["template"]]
    sample = sampling_id(plan, plan.node(verdict.inputs["sample"])).removeprefix("s:")
    return f"j:{sample}#{kind}"


def needed(plan: Plan, *kinds: str) -> list[Node]:
    return [node for node in plan.needed_by(plan.printed) if node.kind in kinds]


def ids(nodes: list[str]) -> list[str]:
    assert len(nodes) == len(set(nodes)), "each once"
    return sorted(nodes)


@pytest.mark.parametrize("reading", ["paper", "code"])
def test_every_training_and_sample_set_is_that_of_the_run_matrix(reading: str) -> None:
    plan = plan_of(reading)
    runs = [training_id(plan, node) for node in needed(plan, "sft", "run")]
    assert ids(runs) == ids([run["id"] for run in published()["training_runs"]])
    samples = [sampling_id(plan, node) for node in needed(plan, "sample")]
    assert ids(samples) == ids([run["id"] for run in published()["sampling_runs"]])


def test_every_verdict_set_is_that_of_the_run_matrix() -> None:
    """With the annotator that both RPO's Table 5 and its released code name."""
    wanted = ids([run["id"] for run in published()["judging_runs"]])
    for reading in ("paper", "code"):
        plan = plan_of(reading)
        assert ids([judging_id(plan, node) for node in needed(plan, "verdict")]) == wanted


def test_every_cell_has_its_printed_number_and_the_runs_it_is_made_of() -> None:
    plan = plan_of("code")
    cells = [cell for target in plan.printed for cell in plan.tables[target].spec["cells"]]
    found = []
    for cell in cells:
        table = int(cell["table"].removeprefix("table"))
        (verdict,) = cell["verdict_ids"] or [None]
        judged = judging_id(plan, plan.node(verdict)) if verdict else None
        (run,) = cell["run_ids"] or [None]
        trained = training_id(plan, plan.node(run)) if run else None
        found.append((cell["paper"], table, cell["metric"], cell["reported"], trained, judged))
    wanted = []
    for cell in published()["cells"]:
        run = cell["train_run"] if not cell["train_run"].startswith("ext-") else None
        wanted.append(
            (cell["paper"], cell["table"], cell["metric"], cell["published"], run, cell.get("judging_run") or None)
        )
    assert sorted(found, key=str) == sorted(wanted, key=str)
    assert len(found) == 119


def test_numbers_of_prompts_are_the_run_matrixs() -> None:
    plan = plan_of("code")
    wanted = {run["id"]: run["n"] for run in published()["sampling_runs"]}
    for node in needed(plan, "sample"):
        source = plan.node(node.inputs["data"]).spec["source"]
        assert source["n_prompts"] == wanted[sampling_id(plan, node)]


def test_released_weights_are_run_by_choice() -> None:
    """The two «(Paper)» rows of Swepo's Table 1: cited, or sampled and judged from what the NCA authors released."""
    run = make_plan({"scale": "paper", "external": "run"})
    cited = needed(plan_of("paper"), "sample", "verdict")
    more = needed(run, "sample", "verdict")
    assert len(more) - len(cited) == 4
    cells = run.tables["swepo_table1"].spec["cells"]
    assert [cell["row"] for cell in cells if cell["verdict_ids"] and not cell["run_ids"]] == [
        "infonca-paper", "infonca-paper", "infonca-preference-paper", "infonca-preference-paper",
    ]  # fmt: skip
