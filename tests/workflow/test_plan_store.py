"""results/<scale>/plan.json: what a job reads instead of planning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prefrepro.errors import UserError
from prefrepro.plan import build
from prefrepro.plan.build import make_plan, planned
from prefrepro.plan.store import FILE, check_code, read_graph, write_plan


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results are written below an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def never(given: dict[str, Any]) -> Any:
    raise AssertionError(f"planned anew: {given}")


def test_a_job_reads_what_was_planned(folder: Path) -> None:
    plan = make_plan({"seeds": 2, "budget_usd": 1.5})
    path = write_plan(plan)
    assert path == Path("results/embedded") / FILE
    read = read_graph(path)
    assert read.nodes == plan.nodes and list(read.nodes) == list(plan.nodes)
    assert (read.results, read.arguments, read.runtime) == (plan.results, plan.arguments, plan.runtime)
    assert read.runtime["budget_usd"] == 1.5 and "seeds=2" in read.arguments
    for node in read.of_kind("run", "verdict"):
        check_code(node)


def test_a_clusters_job_takes_the_plan_that_was_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_plan({"reading": "code"})
    write_plan(made)
    monkeypatch.setattr(build, "make_plan", never)
    found = planned({"reading": "code"})
    assert (found.nodes, found.tables, found.broken) == (made.nodes, made.tables, made.broken)


@pytest.mark.parametrize("there", ["", '{"format": 0}', "[]", "other"])
def test_it_plans_anew_where_another_plan_or_none_is_there(folder: Path, there: str) -> None:
    path = write_plan(make_plan({"reading": "code"}))
    if there != "other":
        path.write_text(there, encoding="utf-8")
        with pytest.raises(UserError, match=r"plan\.json is no plan that this version wrote.*prefrepro plan --write"):
            read_graph(path)
    assert planned({}).nodes == make_plan({}).nodes
