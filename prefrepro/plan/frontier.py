"""The nodes of `snakemake frontier`: how far each training of the scale's `frontier` tables moved from its reference.

No table needs them. Imports neither torch nor Snakemake.
"""

from __future__ import annotations

from typing import Any

from prefrepro.data.truncate import LIMITS
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan
from prefrepro.plan.training import computed_in

FOLDER = "frontier"
"""Below results/<scale>/"""
DEFAULTS = {"part": "eval", "pairs": 256, "prompts": 32, "max_new_tokens": 96, "seeds": 3}


def engine_of(scale: dict[str, Any]) -> dict[str, Any]:
    """How trainings use their device: models on the way are kept for the seeds whose distance is measured."""
    return scale["engine"] | {"snapshot_seeds": (DEFAULTS | scale["frontier"])["seeds"]}


def add_distances(plan: Plan) -> None:
    """Add a node for each training that has a reference, of the first `seeds` seeds, of the tables that can be made."""
    settings = DEFAULTS | plan.scale["frontier"]
    for table in tables_of(plan):
        for run in runs_of(plan, table, settings["seeds"]):
            _add(plan, run, settings)


def tables_of(plan: Plan) -> list[Node]:
    """Those that the scale's `frontier` names and that can be made."""
    return [plan.tables[name] for name in plan.scale["frontier"].get("tables", ()) if name in plan.tables]


def runs_of(plan: Plan, table: Node, seeds: int) -> list[Node]:
    """The trainings with a reference behind a table's cells, each once."""
    ids = [run for cell in table.spec["cells"] for run in cell["run_ids"]] + table.spec["trained"]
    nodes = [plan.nodes[run] for run in dict.fromkeys(ids)]
    return [node for node in nodes if node.kind == "run" and "reference" in node.inputs and node.spec["seed"] <= seeds]


def distance_of(plan: Plan) -> dict[str, Node]:
    """Training -> the node of its distance."""
    return {node.inputs["run"]: node for node in plan.of_kind("distance")}


def _add(plan: Plan, run: Node, settings: dict[str, object]) -> None:
    training = run.spec["training"]
    spec = {name: training[name] for name in (*LIMITS, "micro_batch", "threads")}
    spec |= {name: settings[name] for name in ("part", "pairs", "prompts", "max_new_tokens")}
    is_world = plan.nodes[run.inputs["data"]].spec["source"]["kind"] == "world"
    spec |= {"dtype": computed_in(training), "init": run.spec["init"], "seed": run.spec["seed"], "is_world": is_world}
    inputs = {role: run.inputs[role] for role in ("data", "init") if role in run.inputs} | {"run": run.id}
    of = {"method": run.method, "model": run.model, "dataset": run.dataset}
    plan.add("distance", run.name, spec, inputs, **of)
