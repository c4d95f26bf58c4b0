"""What tables say of trainings of low-rank adapters in place of every parameter, and of weights from packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefrepro.data.package import described
from prefrepro.plan.plan import Plan
from prefrepro.specs.adapters import of_training


def of_runs(plan: Plan, run_ids: Sequence[str]) -> str:
    """What of these trainings, and of those they start from or are rewarded by, was adapters; empty for nothing."""
    found: dict[str, None] = {}
    todo, seen = list(run_ids), set[str]()
    while todo:
        node = plan.nodes[todo.pop()]
        if node.id not in seen:
            seen.add(node.id)
            found |= dict.fromkeys(filter(None, [of_training(node.spec.get("training", {}))]))
            todo += node.inputs.values()
    return ", ".join(sorted(found))


def of_rows(plan: Plan, runs_of_rows: Mapping[str, Sequence[str]]) -> list[str]:
    """What a table says, of its rows' labels and their runs."""
    rows: dict[str, list[str]] = {}
    for label, run_ids in runs_of_rows.items():
        if said := of_runs(plan, run_ids):
            rows.setdefault(said, []).append(label)
    return [
        f"A deviation: {said} in place of every parameter, in {', '.join(labels)}." for said, labels in rows.items()
    ]


def of_packages(plan: Plan, node_ids: Sequence[str]) -> list[str]:
    """What a table says of the packages whose weights these nodes start from."""
    behind = plan.upstream([plan.nodes[node_id] for node_id in node_ids])
    return [f"Weights of {node.model}: {described(node.spec)}." for node in behind if node.kind == "package"]
