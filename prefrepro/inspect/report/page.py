"""One self-contained HTML file of a results folder: data as JSON, own script and style inlined, nothing fetched.

Whatever comes from data, models or judges is untrusted: it is embedded with every character escaped that HTML knows,
the script puts it into the page as text only, and a content policy lets no other script run.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from prefrepro.csv_schema.schema import read_csv
from prefrepro.inspect.report import chain, curves, judging, markdown, matrices, samples
from prefrepro.inspect.report.embed import embedded
from prefrepro.inspect.report.folder import Folder
from prefrepro.inspect.report.jobs import jobs
from prefrepro.tables.template import fill_template

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = ("dom.js", "charts.js", "tables.js", "chain.js", "training.js", "samples.js", "run.js", "main.js")
"""In the order in which they are joined."""
FIGURES = "figures_rpo"
"""Folder of SVG files, where they were drawn."""
PAGES = {"audit": "Audit", "calibration": "Calibration", "forecast": "Forecast"}
"""<name>.md of the folder, where it is there -> the page's title."""


def document(folder: Folder) -> dict[str, Any]:
    """All that the page shows, as plain values."""
    nodes, tables = chain.nodes(folder), matrices.tables(folder)
    for table in tables:
        table["by_length"] = judging.by_length(folder, table["cells"])
    runs = curves.runs(folder)
    config = folder.plan.config
    return {
        "meta": {
            "folder": folder.path.name,
            "scale": config.scale,
            "description": folder.plan.scale["description"],
            "reading": config.reading,
            "protocol": config.protocol,
            "config": config.arguments(),
            "unknown": sum(not any(node_id in plan.nodes for plan in folder.plans.values()) for node_id in nodes),
            "unrecorded": sum(node_id not in folder.results.records for node_id in nodes),
            "metrics": curves.METRICS,
        },
        "methods": curves.colours({run["method"] for run in runs}),
        "tables": tables,
        "not_made": matrices.not_made(folder),
        "runs": runs,
        "position": judging.position_bias(folder, nodes),
        "judges": judging.judges(folder),
        "switches": _switches(folder),
        "nodes": nodes,
        "samples": samples.browser(folder, nodes),
        "run": jobs(folder),
        "pages": _pages(folder.path),
    }


def render(content: dict[str, Any]) -> str:
    """The page. Same content, same bytes."""
    style = (ASSETS / "style.css").read_text(encoding="utf-8")
    script = "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS)
    policy = f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    values = {"style": style, "script": script, "policy": policy, "data": embedded(content)}
    return fill_template(ASSETS / "page.html", values)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _switches(folder: Folder) -> dict[str, list[dict[str, str]]]:
    """Paper -> its switches as they stand in the plan."""
    return {node.spec["paper"]: node.spec["switches"] for node in folder.plan.tables.values()}


def _pages(path: Path) -> list[dict[str, Any]]:
    found = [
        {"id": name, "title": title, "blocks": markdown.blocks((path / f"{name}.md").read_text(encoding="utf-8"))}
        for name, title in PAGES.items()
        if (path / f"{name}.md").is_file()
    ]
    theory = [_theory(path / "theory")] if (path / "theory" / "claims.csv").is_file() else []
    return found + theory + ([_figures(path / FIGURES)] if (path / FIGURES).is_dir() else [])


def _theory(folder: Path) -> dict[str, Any]:
    claims = read_csv(folder / "claims.csv", "claims")
    shown = ["claim", "says", "tested", "source", "expected", "measured", "tolerance", "agrees", "note"]
    rows = [
        ["" if value is None or value != value else str(value) for value in row]
        for row in claims[shown].to_numpy(dtype=object).tolist()
    ]
    blocks: list[dict[str, Any]] = [
        {"kind": "heading", "level": 1, "text": "Theory: statements of the Swepo paper, checked numerically"},
        {"kind": "table", "head": shown, "rows": rows},
    ]
    if (folder / "theory.png").is_file():
        blocks.append(_image(folder / "theory.png", "image/png", "Plots of the checks that the table above lists"))
    return {"id": "theory", "title": "Theory", "blocks": blocks}


def _figures(folder: Path) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [
        {"kind": "heading", "level": 1, "text": "RPO's Figures 1 and 2 with the first batch of these runs"},
        {"kind": "text", "text": "Weights as the losses apply them; they change with the embedder, not with training."},
    ]
    for path in sorted(folder.glob("*.svg"), key=lambda path: (path.stem == "embedders", path.stem)):
        blocks.append(_image(path, "image/svg+xml", f"Contrasts of one batch: {path.stem}"))
    return {"id": "figures", "title": "Contrast matrix", "blocks": blocks}


def _image(path: Path, kind: str, alt: str) -> dict[str, Any]:
    data = base64.b64encode(path.read_bytes()).decode()
    return {"kind": "image", "source": f"data:{kind};base64,{data}", "alt": alt}
