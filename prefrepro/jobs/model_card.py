"""The model card of a run, README.md beside its weights: what it is, what it was made of, and which numbers it gave.

Written from run.json and the plan into the template model_card.md. Nothing is sent to the hub.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prefrepro.data.package import described
from prefrepro.files import write_text
from prefrepro.plan.kinds import TRAININGS
from prefrepro.plan.nodes import Graph, Node
from prefrepro.specs.adapters import of_training
from prefrepro.specs.method import read_method
from prefrepro.specs.method_text import method_text
from prefrepro.specs.sources import read_named

CARD = "README.md"
OURS = "apache-2.0"
"""Licence of weights that were made here from nothing: the project's"""
TEMPLATE = Path(__file__).with_name("model_card.md")


def write_card(plan: Graph, node: Node) -> Path:
    """Write model/README.md of a finished run; its path."""
    folder = plan.results / node.folder
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    path = folder / "model" / CARD
    write_text(path, card(plan, node, run))
    return path


def card(plan: Graph, node: Node, run: dict[str, Any]) -> str:
    """The card's text. `run`: the content of run.json."""
    from huggingface_hub import ModelCard, ModelCardData  # a third of a second, and only training jobs want it

    spec, base = node.spec, base_model(plan, node)
    source = plan.nodes[node.inputs["data"]].spec["source"]
    header = None if node.kind == "base" else read_method(spec["method"])
    is_score, init = node.kind == "reward_model", node.inputs.get("init")
    method = [spec["method"]] if "method" in spec else []
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-classification" if is_score else "text-generation",
        license=base.get("licence", OURS if base["kind"] == "scratch" else "other"),
        base_model=base.get("repo"),
        datasets=[source["repo"]] if "repo" in source else None,
        tags=["prefrepro", "preference-optimization", *method],
    )
    values = {
        "name": node.id,
        "kind": node.kind,
        "spec": spec,
        "run": run,
        "row": run["row"],
        "base": base,
        "base_name": base.get("repo", base["name"]),
        "data": source,
        "scale": plan.scale_facts,
        "header": header,
        "text": header and method_text(header.path),
        "init": init,
        "commit": None if init else run.get("init_commit") or base.get("revision"),
        "origin": described(base) if base["kind"] == "package" else "",
        "licence": base.get("licence") or _unknown_licence(base),
        "adapters": of_training(spec["training"]),
        "cells": cells_of(plan, node.id),
        "starts": [one.id for one in plan.nodes.values() if node.id in one.inputs.values() and one.kind in TRAININGS],
        "is_score": is_score,
        "family": "AutoModelForSequenceClassification" if is_score else "AutoModelForCausalLM",
        "versions": json.loads(run["row"]["versions"]),
    }
    return str(ModelCard.from_template(data, template_path=str(TEMPLATE), **values)) + "\n"


def base_model(plan: Graph, node: Node) -> dict[str, Any]:
    """What the chain of trainings starts from: its file in config/models, or of one made here its kind alone."""
    while "init" in node.inputs:
        node = plan.nodes[node.inputs["init"]]
    if node.kind == "base":
        return {"kind": "scratch", "name": node.model}
    if node.kind == "package":
        return {"name": node.model, **read_named("models", node.model or "", f"the plan of {plan.results}")}
    name = plan.scale_facts["models"][node.spec["model"]]
    return {"name": name, **read_named("models", name, f"config/scales/{plan.results.name}.yaml")}


def cells_of(plan: Graph, run_id: str) -> list[str]:
    """The cells of the plan's tables that this training feeds: «rpo/table1, row dpo, column win-rate»."""
    return [
        f"{cell['paper']}/{cell['table']}, row {cell['row']}, column {cell['column']}"
        for table in plan.of_kind("table")
        for cell in table.spec["cells"]
        if run_id in cell["run_ids"]
    ]


def _unknown_licence(base: dict[str, Any]) -> str:
    if base["kind"] == "scratch":
        return f"none but ours: made here from nothing ({OURS})"
    return f"not recorded in config/models/{base['name']}.yaml; see the base model's own page"
