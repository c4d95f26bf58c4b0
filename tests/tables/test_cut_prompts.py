"""A table says how many prompts were cut, where any were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefrepro.files import write_json
from prefrepro.tables.build import cut_prompts


def cell(column: str, *names: str) -> dict[str, Any]:
    return {"column_label": column, "sample_ids": [f"s-{name}" for name in names], "run_ids": list(names)}


def lay(results: Path, name: str, answered: int, trained: int) -> None:
    """The manifests of a run and its answers, of whose 200 prompts so many were cut."""
    for folder in (results / "runs" / name, results / "samples" / f"s-{name}"):
        folder.mkdir(parents=True)
    write_json(results / f"runs/{name}/run.json", {"truncation": {"sequences": 200, "prompts_cut": trained}})
    write_json(results / f"samples/s-{name}/manifest.json", {"turns": 200, "prompts_cut": answered})


def test_the_largest_share_of_each_column(tmp_path: Path) -> None:
    lay(tmp_path, "dpo", 24, 25)
    lay(tmp_path, "rpo", 24, 30)
    lay(tmp_path, "tldr", 135, 134)
    lay(tmp_path, "short", 0, 0)
    cells = [cell("HH", "dpo"), cell("HH", "rpo"), cell("TL;DR", "tldr"), cell("World", "short"), cell("Cited")]
    assert cut_prompts(cells, tmp_path) == [
        "Prompts that were cut: HH: 12.0 % of those answered, 15.0 % of those trained on; "
        "TL;DR: 67.5 % of those answered, 67.0 % of those trained on."
    ]


def test_nothing_is_said_where_nothing_was_cut(tmp_path: Path) -> None:
    """Nor of answers that were imported, whose manifest has no such count."""
    lay(tmp_path, "short", 0, 0)
    write_json(tmp_path / "samples/s-short/manifest.json", {"n": 200})
    assert cut_prompts([cell("World", "short")], tmp_path) == []
