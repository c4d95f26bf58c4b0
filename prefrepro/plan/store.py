"""results/<scale>/plan.json: the plan of the command that runs, for its jobs, which then plan nothing.

Written by the workflow's main process before its first job; the last command's stands there.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefrepro.errors import UserError
from prefrepro.files import write_text
from prefrepro.plan.code_digest import code_digest
from prefrepro.plan.nodes import Graph, Node

if TYPE_CHECKING:  # a job reads what was planned and imports no planner
    from prefrepro.plan.plan import Plan

FILE = "plan.json"
FORMAT = 1
_FIELDS = ("arguments", "runtime", "scale_facts")


def write_plan(plan: Plan) -> Path:
    """Write plan.json; its path. Raises UserError where it cannot be written."""
    path = plan.results / FILE
    content = {"format": FORMAT, **{name: getattr(plan, name) for name in _FIELDS}}
    content |= {"nodes": {node.id: _stored(node) for node in plan.nodes.values()}, "broken": plan.broken}
    content |= {"tables": {target: node.id for target, node in plan.tables.items()}}
    try:
        write_text(path, json.dumps(content, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error}") from error
    return path


def _stored(node: Node) -> dict[str, Any]:
    return {name: value for name, value in asdict(node).items() if name != "id" and value is not None}


def read_graph(path: Path) -> Graph:
    """What a job needs of a plan.json. Raises UserError where it is none of this version."""
    content = read_plan(path)
    return Graph(path.parent, *(content[name] for name in _FIELDS), nodes=nodes_of(content))


def nodes_of(content: dict[str, Any]) -> dict[str, Node]:
    """The nodes of a plan.json by id."""
    return {
        node_id: Node(id=node_id, **values | {"code": tuple(values["code"])})
        for node_id, values in content["nodes"].items()
    }


def read_plan(path: Path) -> dict[str, Any]:
    """The content of a plan.json. Raises UserError where it is none of this version."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] == FORMAT:
            return content
        why = f"found format {content['format']}, expected {FORMAT}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = repr(error)
    raise UserError(
        f"{path} is no plan that this version wrote ({why}). Next: start the job by snakemake, which writes it, or "
        "run: prefrepro plan --write"
    )


def check_code(node: Node) -> None:
    """Raise UserError where the code that the node's id stands for is not the code that would run now."""
    if code_digest(*node.code) != node.spec["code_digest"]:
        raise UserError(f"{node.id}: code changed since this was planned. Next: run snakemake again, which plans anew")
