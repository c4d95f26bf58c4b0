"""What a plan is made of: nodes, each one job's worth of work. All that a job needs of its plan; imports no planner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefrepro.errors import UserError, nearest
from prefrepro.plan.kinds import KINDS


@dataclass(frozen=True, slots=True)
class Node:
    """One job's worth of work."""

    kind: str
    id: str
    name: str
    """The id without its digest."""
    spec: dict[str, Any]
    inputs: dict[str, str]
    """role -> node id"""
    code: tuple[str, ...]
    """The modules whose code, with all that they import, its digest is of."""
    method: str | None = None
    """The method of a training, or of the training whose answers are sampled or judged."""
    model: str | None = None
    """The model as tables call it; that of a base model made here is its name in config/models."""
    dataset: str | None = None
    """The data set as tables call it; of a data node, its name in config/datasets."""

    @property
    def folder(self) -> str:
        """Where its files stand, below results/<scale>/."""
        return f"{KINDS[self.kind].folder}/{self.id}"

    @property
    def done(self) -> str:
        """The file, below results/<scale>/, that is there only when all others are."""
        return f"tables/{self.job}.cells.csv" if self.kind == "table" else f"{self.folder}/{KINDS[self.kind].done}"

    @property
    def job(self) -> str:
        """What its log, benchmark and record are called; those of a table, as its files, bear no digest."""
        return self.name if self.kind == "table" else self.id

    @property
    def log(self) -> str:
        """Below results/<scale>/."""
        return f"logs/{KINDS[self.kind].rule}/{self.job}.log"


@dataclass(slots=True)
class Graph:
    """Nodes by id, inputs before what they feed, and where their results stand: what a job knows of its plan."""

    results: Path
    arguments: list[str]
    """The config that the plan was made for, KEY=VALUE for all that is not default."""
    runtime: dict[str, Any]
    """How jobs are done, which makes no other result: engine, budget_usd, track."""
    scale_facts: dict[str, Any]
    """What a model card says of the scale: description, is_comparable, models."""
    nodes: dict[str, Node] = field(default_factory=dict)

    def of_kind(self, *kinds: str) -> list[Node]:
        return [node for node in self.nodes.values() if node.kind in kinds]

    def node(self, node_id: str) -> Node:
        """A node by id; UserError where the plan holds no such node (any more)."""
        if node_id not in self.nodes:
            stem = node_id.rpartition("_")[0]
            now = [node.id for node in self.nodes.values() if node.name == stem]
            hint = (
                f" The plan now has {', '.join(now)}: code or config changed since."
                if now
                else nearest(node_id, self.nodes)
            )
            raise UserError(f'"{node_id}" is not in the plan ({" ".join(self.arguments) or "default config"}).{hint}')
        return self.nodes[node_id]

    def upstream(self, wanted: Sequence[Node]) -> list[Node]:
        """These nodes and all that they need, inputs before what they feed, each once."""
        ordered: dict[str, Node] = {}

        def visit(node: Node) -> None:
            if node.id not in ordered:
                for node_id in node.inputs.values():
                    visit(self.nodes[node_id])
                ordered[node.id] = node

        for node in wanted:
            visit(node)
        return list(ordered.values())
