"""What a plan is made of: nodes, each one job's worth of work, and the tables that want them.

A node is named <readable>_<digest8>; the digest is over its expanded spec, the ids of its inputs and the
comment-blind digest of the code it runs through. So the same work wanted twice is one node, and an edit makes new
nodes only where it changes something. Imports neither torch nor Snakemake.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefrepro.errors import UserError, nearest
from prefrepro.plan.code_digest import code_digest
from prefrepro.specs.config import NAME, Config
from prefrepro.specs.files import report

KINDS = {
    "data": ("data", "manifest.json", "prefrepro.data.build"),
    "base": ("base", "run.json", "prefrepro.model.base"),
    "sft": ("runs", "run.json", "prefrepro.model.align"),
    "run": ("runs", "run.json", "prefrepro.model.align"),
    "reward_model": ("runs", "run.json", "prefrepro.model.align"),
    "reference": ("reference", "manifest.json", "prefrepro.model.reference"),
    "embeddings": ("embeddings", "manifest.json", "prefrepro.model.embeddings"),
    "reference_rewards": ("reference_rewards", "manifest.json", "prefrepro.model.reference_rewards"),
    "sample": ("samples", "manifest.json", "prefrepro.sample.answers"),
    "import": ("samples", "manifest.json", "prefrepro.sample.outputs"),
    "verdict": ("verdicts", "manifest.json", "prefrepro.judge.stage"),
    "table": ("tables", "", "prefrepro.tables.build"),
}
"""kind -> (folder of the results, the file that is written last, the module that does the work)"""


@dataclass(frozen=True, slots=True)
class Node:
    """One job's worth of work."""

    kind: str
    id: str
    spec: dict[str, Any]
    inputs: dict[str, str]
    """role -> node id"""

    @property
    def folder(self) -> str:
        """Where its files stand, below results/<scale>/."""
        return f"{KINDS[self.kind][0]}/{self.id}"

    @property
    def done(self) -> str:
        """The file that is there only when all others are."""
        return f"{self.folder}/{KINDS[self.kind][1]}"


@dataclass(slots=True)
class Plan:
    """Every node by id, and each table's cells."""

    config: Config
    scale: dict[str, Any]
    nodes: dict[str, Node] = field(default_factory=dict)
    tables: dict[str, Node] = field(default_factory=dict)
    """target -> table node"""
    broken: dict[str, list[str]] = field(default_factory=dict)
    """target -> what is wrong with the spec of a table that could not be planned"""

    @property
    def results(self) -> Path:
        return Path("results") / self.config.scale

    @property
    def printed(self) -> list[str]:
        """Targets of the tables that a paper prints: what `tables` makes. Raises UserError where any spec is broken."""
        self.refuse_broken()
        return [target for target, node in self.tables.items() if node.spec["is_printed"]]

    def refuse_broken(self, targets: list[str] | None = None) -> None:
        """Raise UserError with all that is wrong with the specs of `targets`, or of any table where none is named."""
        chosen = self.broken if targets is None else [target for target in targets if target in self.broken]
        report([problem for target in chosen for problem in self.broken[target]])

    def table_named(self, target: str, *more: str) -> Node:
        """A table's node; UserError where its spec is broken, or where there is no such target (or one of `more`)."""
        self.refuse_broken([target])
        if target not in self.tables:
            known = [*self.tables, *more]
            raise UserError(f'"{target}" is no target. Known: {", ".join(known)}.{nearest(target, known)}')
        return self.tables[target]

    def targets(self, words: list[str]) -> list[str]:
        """The targets that a user named; every printed table for nothing, or `tables`. Raises UserError."""
        named = dict.fromkeys(t for word in words or ["tables"] for t in (self.printed if word == "tables" else [word]))
        for target in named:
            self.table_named(target, "tables")
        return list(named)

    def of_kind(self, *kinds: str) -> list[Node]:
        return [node for node in self.nodes.values() if node.kind in kinds]

    def node(self, node_id: str) -> Node:
        """A node by id; UserError where the plan holds no such node (any more)."""
        if node_id not in self.nodes:
            stem = node_id.rpartition("_")[0]
            now = [known for known in self.nodes if known.rpartition("_")[0] == stem]
            hint = (
                f" The plan now has {', '.join(now)}: code or config changed since."
                if now
                else nearest(node_id, self.nodes)
            )
            raise UserError(
                f'"{node_id}" is not in the plan ({" ".join(self.config.arguments()) or "default config"}).{hint}'
            )
        return self.nodes[node_id]

    def needed_by(self, targets: list[str]) -> list[Node]:
        """Every node that these tables need, inputs before what they feed, each once."""
        ordered: dict[str, Node] = {}

        def visit(node: Node) -> None:
            if node.id not in ordered:
                for node_id in node.inputs.values():
                    visit(self.nodes[node_id])
                ordered[node.id] = node

        for target in targets:
            visit(self.tables[target])
        return list(ordered.values())

    def add(
        self,
        kind: str,
        readable: str,
        spec: dict[str, Any],
        inputs: dict[str, str],
        extra_code: tuple[Path, ...] = (),
    ) -> str:
        """Register a node and return its id; the same node is registered once."""
        code = code_digest(KINDS[kind][2], extra_code)
        spec = {"kind": kind, **spec, "code_digest": code}
        canonical = json.dumps([spec, inputs], sort_keys=True, ensure_ascii=False)
        node_id = f"{readable}_{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"
        if NAME.fullmatch(node_id) is None:  # it becomes a folder, and a word of a command line
            raise UserError(f"{node_id!r:.120} holds more than letters, digits, . _ and -: rename a file or key")
        self.nodes.setdefault(node_id, Node(kind, node_id, spec, inputs))
        return node_id
