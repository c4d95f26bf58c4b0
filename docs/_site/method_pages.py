"""A page for each method: its docstring, formula, hyper-parameters, readings, and the cells that use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from prefrepro.files import ROOT
from prefrepro.plan.plan import Plan
from prefrepro.specs.method import Field, Method, method_names, read_method
from prefrepro.specs.method_text import method_text
from prefrepro.specs.paper import read_paper

NEEDS = {
    "shape": "input of the loss",
    "reference": "needs the reference's log-probs",
    "embeddings": "needs embeddings of",
    "gather": "the loss sees all examples of a group together",
    "rows": "rows are drawn as",
    "mismatched": "needs responses of other prompts",
    "output": "output of the model",
}


def method_pages(plan: Plan) -> dict[str, str]:
    """Path -> Markdown, an index first. `plan`: of the scale whose cells are named."""
    methods = [read_method(name) for name in method_names()]
    lines = [
        "# Methods",
        "One file each in `methods/`. These pages are made from those files and from the table specs.",
        "\n".join(
            ["| method | what it is | shape | cells |", "|---|---|---|---|"]
            + [
                f"| [{method.name}]({method.name}.md) | {method.summary} | {method.needs['shape']} "
                f"| {len(_cells(plan, method.name)) or '–'} |"
                for method in methods
            ]
        ),
    ]
    pages = {"methods/index.md": "\n\n".join(lines) + "\n"}
    return pages | {f"methods/{method.name}.md": _page(plan, method) for method in methods}


def _page(plan: Plan, method: Method) -> str:
    text = method_text(method.path)
    lacks = "An extension: no table of a paper may use it." if method.is_extension else ""
    parts = [f"# {method.name}", text.about, lacks, f"Paper: {_link(method.paper)}. File: `methods/{method.name}.py`."]
    parts += ["## Formula", text.loss, f"```python\n{text.source}\n```"]
    parts += [
        "## What it needs",
        _needs(method),
        "## Hyper-parameters",
        text.hparams_about,
        _hparams(method, text.hparams),
    ]
    readings = list(_readings(method.name))
    parts += ["## Where text and released code differ", "\n".join(readings)] if readings else []
    parts += ["## Cells that use it", _cell_lines(plan, method.name)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _link(paper: str) -> str:
    return f"[{paper}](https://arxiv.org/abs/{paper.removeprefix('arXiv:')})" if paper.startswith("arXiv:") else paper


def _needs(method: Method) -> str:
    return "\n".join(f"- {NEEDS.get(key, key)}: `{value}`" for key, value in method.needs.items())


def _hparams(method: Method, said: dict[str, str]) -> str:
    if not method.hparams:
        return "None."
    rows = [
        f"| `{name}` | {field.default} | {_allowed(field)} | {said.get(name, '').replace('|', '∣')} |"
        for name, field in method.hparams.items()
    ]
    return "\n".join(["| name | default | allowed | meaning |", "|---|---|---|---|", *rows])


def _allowed(field: Field) -> str:
    if field.choices:
        return ", ".join(f"`{choice}`" for choice in field.choices)
    return f"`{field.constraint}`" if field.constraint else ""


def _readings(name: str) -> Iterator[str]:
    """A line for each switch of a paper that sets a hyper-parameter of this method."""
    for path in sorted((ROOT / "paper_tables").glob("*/paper.yaml")):
        for switch, sides in read_paper(path)["switches"].items():
            touching = {side: values for side, values in sides.items() if _touches(values, name)}
            if touching:
                said = "; ".join(
                    f"`{side}`: {values['says']}" for side, values in sides.items() if isinstance(values, dict)
                )
                yield f"- **{switch}** ({path.parent.name}, {sides['about']}): {said}"


def _touches(values: Any, name: str) -> bool:
    return isinstance(values, dict) and name in values.get("hparams", {})


def _cells(plan: Plan, name: str) -> list[dict[str, Any]]:
    return [
        cell
        for table in plan.tables.values()
        for cell in table.spec["cells"]
        if any(plan.nodes[run].spec["method"] == name for run in cell["run_ids"])
    ]


def _cell_lines(plan: Plan, name: str) -> str:
    cells = _cells(plan, name)
    if not cells:
        return "No table of this scale uses it."
    rows = []
    for cell in cells:
        run = plan.nodes[cell["run_ids"][0]]
        table = f"[{cell['paper']}/{cell['table']}](../tables/{cell['paper']}_{cell['table']}.md)"
        printed = "" if cell["reported"] is None else cell["reported"]
        hparams = json.dumps(run.spec["hparams"], ensure_ascii=False).replace('"', "").strip("{}")
        rows.append(f"| {table} | {cell['row_label']} | {cell['column_label']} | {printed} | {hparams} |")
    return "\n".join(["| table | row | column | printed | hyper-parameters |", "|---|---|---|---|---|", *rows])
