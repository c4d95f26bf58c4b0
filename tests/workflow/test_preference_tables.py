"""Held-out preferences in tables: what is planned, what is refused, and two tables made end to end in a tiny world."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from checkout import Checkout, Nodes, hh_rows, write_hh
from test_readme import block
from tiny_world import make_tiny

from prefrepro.csv_schema.schema import read_csv

HELD_OUT = {"evaluation": "preference", "part": "eval", "by": "reward"}
PAPER = "paper_tables/rpo/paper.yaml"
TABLE = "paper_tables/rpo/heldout.yaml"
GROUPS = "paper_tables/rpo/heldgroups.yaml"
RANKED = {
    "kind": "world", "task": "dialogue", "form": "ranked", "seed": 0, "temperature": 1.0,
    "rows": {"pretrain": 0, "train": 64, "eval": 40, "judge": 0}, "parts": {"train": 0.7, "eval": 0.3},
}  # fmt: skip
SPEC: dict[str, Any] = {
    "title": "Held out", "where": "ours", "scales": ["embedded"], "model": "mistral-7b", "dataset": "hh",
    "baseline": "sft",
    "columns": {"held-out": {"label": "Held-out", "evaluation": "held-out", "metric": "accuracy_pct"}},
    "rows": {
        "base": {"label": "Base", "untrained": True},
        "sft": {"label": "SFT", "method": "sft"},
        "dpo": {"label": "DPO", "method": "dpo"},
        "bt": {"label": "Reward model", "method": "bradley_terry"},
    },
}  # fmt: skip
RANKED_SPEC = SPEC | {
    "dataset": "ultrafeedback",
    "columns": {
        "pairs": {"label": "Pairs", "evaluation": "held-out", "metric": "accuracy_pct"},
        "best": {"label": "Best", "evaluation": "held-out", "metric": "top1_pct"},
    },
    "rows": {
        "base": {"label": "Base", "untrained": True},
        "sft": {"label": "SFT", "method": "sft"},
        "infonca": {"label": "InfoNCA", "method": "infonca"},
    },
}
JUDGED = {"label": "Win Rate", "evaluation": "dialogue", "metric": "win_rate_pct"}
PLAN = """
import json, sys
from prefrepro.plan.build import make_plan
plan = make_plan(json.loads(sys.argv[1]))
nodes = plan.needed_by([sys.argv[2]])
print(json.dumps([{"kind": n.kind, "id": n.id, "spec": n.spec, "inputs": n.inputs, "method": n.method} for n in nodes]))
"""
MAKE = """
import json, sys
from prefrepro.plan.build import make_plan
from prefrepro.jobs.run import do
plan = make_plan(json.loads(sys.argv[1]))
for node in plan.needed_by(sys.argv[2:]):
    if not (plan.results / node.done).is_file():
        do(plan, node)
"""


@pytest.fixture
def world(checkout: Checkout) -> Checkout:
    """The tiny world with a table of held-out pairs."""
    make_tiny(checkout)
    checkout.edit_yaml(PAPER, {"evaluations": {"held-out": HELD_OUT}})
    checkout.write_yaml(TABLE, SPEC)
    return checkout


def planned(checkout: Checkout, target: str = "heldout", **config: Any) -> Nodes:
    done = checkout.python("-c", PLAN, json.dumps(config), target)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(checkout: Checkout) -> str:
    """What planning says of a table that cannot be planned; without a traceback."""
    done = checkout.prefrepro("plan", "heldout")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


def of_method(nodes: Nodes) -> dict[Any, Any]:
    return {node["method"]: node for node in nodes if node["kind"] == "preference"}


def test_each_row_is_ranked_without_samples_or_judge(world: Checkout) -> None:
    nodes = planned(world)
    kinds = {node["kind"] for node in nodes}
    assert kinds == {"data", "base", "sft", "reference", "run", "preference", "table"}
    found = of_method(nodes)
    assert list(found) == [None, "sft", "dpo", "bradley_terry"]
    read = {name: (one["spec"]["by"], one["spec"]["output"], sorted(one["inputs"])) for name, one in found.items()}
    assert read == {
        None: ("logp", "logp", ["data", "run"]),
        "sft": ("logp", "logp", ["data", "run"]),
        "dpo": ("reward", "logp", ["data", "reference", "run"]),
        "bradley_terry": ("reward", "score", ["data", "run"]),
    }
    (base,) = [node["id"] for node in nodes if node["kind"] == "base"]
    assert found[None]["inputs"]["run"] == base
    cells = nodes[-1]["spec"]["cells"]
    assert {(cell["judge"], *cell["sample_ids"]) for cell in cells} == {("held-out labels",)}
    assert [len(cell["run_ids"]) for cell in cells] == [0, 1, 1, 1]
    assert not any(cell["is_cited"] for cell in cells)
    twice = planned(world, seeds=2)[-1]["spec"]["cells"]
    assert [len(cell["verdict_ids"]) for cell in twice] == [1, 2, 2, 2]


def test_what_has_no_reference_is_ranked_by_its_own_reward_or_as_the_evaluation_says(world: Checkout) -> None:
    """README's SimPO, whose reward is the log-prob per token."""
    Path(world.root, "methods", "my_simpo.py").write_text(block("python", 'NAME = "my_simpo"'), encoding="utf-8")
    world.edit_yaml(TABLE, {"rows": {"simpo": {"label": "SimPO", "method": "my_simpo"}}})
    assert of_method(planned(world))["my_simpo"]["spec"]["by"] == "logp_per_token"
    assert of_method(planned(world))["sft"]["spec"]["by"] == "logp"
    world.edit_yaml(PAPER, {"evaluations": {"held-out": {"by": "logp"}}})
    assert of_method(planned(world))["my_simpo"]["spec"]["by"] == "logp"


def test_another_dtype_or_part_has_a_reference_of_its_own_that_runs_share(world: Checkout) -> None:
    world.edit_yaml(PAPER, {"evaluations": {"held-out": {"part": "dev", "dtype": "bfloat16"}}})
    world.edit_yaml(TABLE, {"rows": {"ipo": {"method": "ipo"}}})
    nodes = planned(world)
    found = of_method(nodes)
    assert found["dpo"]["spec"]["dtype"] == "bfloat16"
    assert found["dpo"]["inputs"]["reference"] == found["ipo"]["inputs"]["reference"]
    (own,) = [node for node in nodes if node["id"] == found["dpo"]["inputs"]["reference"]]
    assert (own["kind"], own["spec"]["parts"], own["spec"]["dtype"]) == ("reference", ["dev"], "bfloat16")
    assert sum(node["kind"] == "reference" for node in nodes) == 2


def test_an_untrained_model_is_sampled_as_it_is_from_the_plan_or_the_hub(world: Checkout) -> None:
    world.edit_yaml(TABLE, {"columns": {"win-rate": JUDGED}})
    (sample,) = [n for n in planned(world) if n["kind"] == "sample" and n["method"] is None]
    assert sample["inputs"]["run"].startswith("tiny-mistral_")
    world.edit_yaml("config/scales/embedded.yaml", {"models": {"mistral-7b": "smollm2-360m-hub"}})
    nodes = planned(world)
    (sample,) = [n for n in nodes if n["kind"] == "sample" and n["method"] is None]
    ranked = of_method(nodes)[None]
    assert sample["spec"]["model"]["repo"] == ranked["spec"]["model"]["repo"]
    assert sorted(ranked["inputs"]) == ["data"]


def test_a_judging_reward_model_is_checked_on_held_out_pairs(world: Checkout) -> None:
    world.edit_yaml(TABLE, {"columns": {"win-rate": JUDGED}})
    write_hh(world.root / "hh.jsonl.gz", hh_rows(2))
    nodes = planned(world, hh_files="hh.jsonl.gz")
    (reward_model,) = [node["id"] for node in nodes if node["kind"] == "reward_model"]
    (check,) = [node for node in nodes if node["kind"] == "preference" and node["inputs"].get("run") == reward_model]
    assert (check["spec"]["output"], check["spec"]["part"]) == ("score", "eval")
    assert nodes[-1]["spec"]["judge_checks"] == [{"column_label": "Win Rate", "id": check["id"]}]
    assert check["id"] in nodes[-1]["inputs"]


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        (PAPER, {"evaluations": {"held-out": {"part": "test"}}}, "found 'test', expected eval or dev"),
        (PAPER, {"evaluations": {"held-out": {"by": "length"}}}, "found 'length', expected reward, logp or"),
        (PAPER, {"evaluations": {"held-out": {"judge": "gpt-4-0613"}}}, "held-out.judge: does not belong here"),
        (PAPER, {"evaluations": {"dialogue": {"part": "eval"}}}, "dialogue.part: does not belong here"),
        (TABLE, {"columns": {"held-out": {"metric": "win_rate_pct"}}}, "win_rate_pct and evaluation held-out do not"),
        (TABLE, {"columns": {"held-out": {"evaluation": "dialogue"}}}, "accuracy_pct and evaluation dialogue do not"),
        (TABLE, {"columns": {"held-out": {"metric": "top1_pct"}}}, "top1_pct wants groups of responses"),
        (TABLE, {"rows": {"base": {"method": "dpo"}}}, '"untrained" and "method" are both there'),
        (TABLE, {"rows": {"base": {"evaluate": False}}}, '"untrained" and "evaluate: false" are both there'),
    ],
)
def test_what_does_not_fit_is_one_message(world: Checkout, file: str, changes: dict[str, Any], said: str) -> None:
    world.edit_yaml(file, changes)
    assert said in refused(world)


def test_the_part_that_is_ranked_is_kept_from_training(world: Checkout) -> None:
    write_hh(world.root / "hh.jsonl.gz", hh_rows(2))
    (world.root / "paper_tables/rpo/table1.yaml").unlink()
    for part in ("eval", "dev"):
        world.edit_yaml(PAPER, {"evaluations": {"held-out": {"part": part}}})
        nodes = planned(world, hh_files="hh.jsonl.gz")
        assert {node["spec"]["part"] for node in of_method(nodes).values()} == {part}
        (shares,) = [node["spec"]["source"]["parts"] for node in nodes if node["kind"] == "data"]
        assert (shares["eval"] > 0) == (part == "eval")
        assert shares["judge"] == 0


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_tables_of_pairs_and_of_groups_end_to_end(world: Checkout) -> None:
    """One test, because its parts share the trainings."""
    world.edit_yaml("config/scales/embedded.yaml", {"datasets": {"ultrafeedback": "embedded-ranked"}})
    world.edit_yaml("config/scales/embedded.yaml", {"pretrained_on": {"ultrafeedback": "hh"}})
    world.write_yaml("config/datasets/embedded-ranked.yaml", RANKED)
    world.write_yaml(GROUPS, RANKED_SPEC)
    done = world.python("-c", MAKE, json.dumps({"seeds": 2}), "heldout", "heldgroups")
    assert done.returncode == 0, done.stderr
    pairs_are_counted(world)
    groups_are_counted(world)
    everything_reads_it(world)


def pairs_are_counted(world: Checkout) -> None:
    cells = {row["row"]: row for row in rows_of(world.results / "cells.csv") if row["table"] == "heldout"}
    assert [cells[row]["n_seeds"] for row in ("base", "sft", "dpo", "bt")] == ["1", "2", "2", "2"]
    assert {cell["n"] for cell in cells.values()} == {"48"}
    assert cells["base"]["ci_method"] == "wilson"
    assert cells["dpo"]["ci_method"] == "wilson_seeds_prompts"
    assert cells["dpo"]["p_vs_baseline"]
    assert cells["base"]["run_id"] == cells["dpo"]["sample_id"] == ""
    measured = [  # by the training itself, from the same reference log-probs
        json.loads((world.results / "runs" / one / "run.json").read_text(encoding="utf-8"))["row"]["reward_accuracy"]
        for one in cells["dpo"]["run_id"].split(";")
    ]
    assert float(cells["dpo"]["value"]) == pytest.approx(100 * sum(measured) / 2, abs=1e-4)
    text = (world.results / "tables" / "rpo_heldout__seeds-2.md").read_text(encoding="utf-8")
    assert "48 labelled pairs of 48 prompts, part eval; ties of the labels, left out: 0" in text
    assert "Base, SFT by summed log-prob, without a reference; DPO by log-ratio to the reference" in text
    assert {len(rows_of(path)) for path in world.results.glob("verdicts/dpo_*_eval_*/margins.csv")} == {48}


def groups_are_counted(world: Checkout) -> None:
    cells = {(row["row"], row["column"]): row for row in rows_of(world.results / "cells.csv")}
    assert cells["infonca", "pairs"]["verdict_id"] == cells["infonca", "best"]["verdict_id"]
    assert cells["base", "pairs"]["ci_method"] == "wilson_prompts"
    assert cells["base", "best"]["ci_method"] == "wilson"
    text = (world.results / "tables" / "rpo_heldgroups__seeds-2.md").read_text(encoding="utf-8")
    assert "Pairs: 2" in text  # some of 40 × 6 are ties
    assert "ties of the labels, left out: 0" not in text


def everything_reads_it(world: Checkout) -> None:
    for command in (
        ("verify",), ("explain", "rpo/heldout/dpo/held-out"), ("explain", "rpo/heldgroups/base/best"), ("report",),
        ("collect",), ("forecast", "heldout", "seeds=2"), ("simulate", "heldout"), ("show", "rpo/heldout"),
        ("plan", "heldout", "--json"), ("audit",),
    ):  # fmt: skip
        done = world.prefrepro(*command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    judging = read_csv(world.results / "judging.csv", "judging")
    assert len(judging) == 7 + 5
    assert all(one != one for one in judging["first_shown_pct"])  # nothing was shown to anybody
    page = (world.results / "report.html").read_text(encoding="utf-8")
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    own = next(one for one in data["samples"]["sets"] if one["id"].startswith("dpo_"))
    texts, numbers = data["samples"]["texts"], own["rows"][0][4:]
    rows = [json.loads(line) for line in next(world.results.glob("data/embedded-dialogue_*/eval.jsonl")).open()]
    row = next(row for row in rows if row["prompt_id"].startswith(own["rows"][0][0]))
    assert [texts[number] for number in numbers[1:3]] == [row["chosen"], row["rejected"]]
    assert data["position"] == data["judges"] == []
