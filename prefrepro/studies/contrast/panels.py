"""Which trainings the figures of RPO's contrast matrix are drawn from, and the nodes that they need. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan

FOLDER = "figures_rpo"
"""Below results/<scale>/"""
METHODS = (
    ("table1", "dpo", "win-rate", "DPO: its own pair only"),
    ("table1", "rpo-paired", "win-rate", "RPO-Paired"),
    ("table1", "rpo-unpaired", "win-rate", "RPO-Unpaired"),
)
EMBEDDERS = (
    ("table2", "tau-0.5", "minilm", ""),
    ("table2", "tau-0.5", "st5l", ""),
    ("table2", "tau-0.5", "distilrob", ""),
)
"""Target, row, column and title; without a title it is named after its embedder."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A training whose first batch is drawn."""

    title: str
    run: Node
    embeddings: Node | None
    data: Node


def panels(plan: Plan, wanted: tuple[tuple[str, str, str, str], ...]) -> list[Panel]:
    """The training of the first seed of each cell. Raises UserError where a table cannot be planned."""
    found = []
    for target, row, column, title in wanted:
        cells = plan.table_named(target).spec["cells"]
        run = plan.nodes[next(cell for cell in cells if (cell["row"], cell["column"]) == (row, column))["run_ids"][0]]
        embeddings = plan.nodes[run.inputs["embeddings"]] if "embeddings" in run.inputs else None
        title = title or (embeddings.name.rpartition("_")[0] if embeddings else "")
        found.append(Panel(title, run, embeddings, plan.nodes[run.inputs["data"]]))
    return found


def needed(plan: Plan) -> list[Node]:
    """Data sets and embeddings behind all panels; no training has to be done."""
    every = panels(plan, METHODS + EMBEDDERS)
    nodes = [node for panel in every for node in (panel.data, panel.embeddings) if node]
    return list({node.id: node for node in nodes}.values())
