"""A plan: every node that the tables want, each once.

A node is named <readable>_<digest8>; the digest is over its expanded spec, the ids of its inputs and the
comment-blind digest of the code it runs through. So the same work wanted twice is one node, and an edit makes new
nodes only where it changes something. Imports neither torch nor Snakemake.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from prefrepro.errors import UserError, nearest
from prefrepro.plan.code_digest import code_digest
from prefrepro.plan.kinds import KINDS
from prefrepro.plan.nodes import Graph, Node
from prefrepro.specs.config import Config
from prefrepro.specs.files import report
from prefrepro.specs.table import target_named
from prefrepro.specs.values import NAME


@dataclass(slots=True)
class Plan(Graph):
    """Every node by id, and each table's cells."""

    config: Config = field(kw_only=True)
    scale: dict[str, Any] = field(kw_only=True)
    tables: dict[str, Node] = field(default_factory=dict)
    """target -> table node"""
    parts: dict[str, set[str]] | None = None
    """Data set -> its parts beside train that a node uses; parts.py"""
    broken: dict[str, list[str]] = field(default_factory=dict)
    """target -> what is wrong with the spec of a table that could not be planned"""

    @property
    def printed(self) -> list[str]:
        """Targets of the tables that a paper prints: what `tables` makes. Raises UserError where any spec is broken."""
        self.refuse_broken()
        return [target for target, node in self.tables.items() if node.spec["is_printed"]]

    def refuse_broken(self, targets: list[str] | None = None) -> None:
        """Raise UserError with all that is wrong with the specs of `targets`, or of any table where none is named."""
        chosen = self.broken if targets is None else [target for target in targets if target in self.broken]
        report([problem for target in chosen for problem in self.broken[target]])

    def table_named(self, word: str, *more: str) -> Node:
        """A table's node; UserError where its spec is broken, or where there is no such target (or one of `more`)."""
        target = target_named(word)
        self.refuse_broken([target])
        if target not in self.tables:
            known = list(dict.fromkeys([*self.tables, *more]))
            raise UserError(f'"{word}" is no target. Known: {", ".join(known)}.{nearest(target, known)}')
        return self.tables[target]

    def targets(self, words: list[str]) -> list[str]:
        """The targets that a user named; every printed table for nothing, or `tables`. Raises UserError."""
        named = (t for word in words or ["tables"] for t in (self.printed if word == "tables" else [word]))
        targets = {self.table_named(target, "tables").id: target_named(target) for target in named}
        return list(targets.values())

    def needed_by(self, targets: list[str]) -> list[Node]:
        """Every node that these tables need, inputs before what they feed, each once."""
        return self.upstream([self.tables[target] for target in targets])

    def add(
        self,
        kind: str,
        name: str,
        spec: dict[str, Any],
        inputs: dict[str, str],
        *more_code: str,
        method: str | None = None,
        model: str | None = None,
        dataset: str | None = None,
    ) -> str:
        """Register a node and return its id; the same node is registered once.

        `more_code`: modules that it runs through beside its kind's. `method`, `model` and `dataset` say what it is of,
        and are no part of its identity.
        """
        code = (KINDS[kind].code, *more_code)
        spec = {"kind": kind, **spec, "code_digest": code_digest(*code)}
        canonical = json.dumps([spec, inputs], sort_keys=True, ensure_ascii=False)
        node_id = f"{name}_{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"
        if NAME.fullmatch(node_id) is None:  # it becomes a folder, and a word of a command line
            raise UserError(f"{node_id!r:.120} holds more than letters, digits, . _ and -: rename a file or key")
        self.nodes.setdefault(node_id, Node(kind, node_id, name, spec, inputs, code, method, model, dataset))
        return node_id
