"""What a job asks of its machine before it starts, and which files it reads again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from prefrepro.errors import UserError
from prefrepro.files import ROOT, sha256_file
from prefrepro.jobs import integrity, launch, machine
from prefrepro.jobs.integrity import check_intact, record_of
from prefrepro.jobs.machine import LEASED, check_machine
from prefrepro.plan.nodes import Graph, Node

GRAPH = Graph(Path("results"), [], {"engine": {}}, {})
NODE = Node("data", "data_1", "data", {}, {}, ())


def test_a_job_that_leased_devices_does_not_train_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    check_machine(GRAPH, NODE)
    monkeypatch.setenv(LEASED, "3,5")
    with pytest.raises(UserError, match=r"leased the devices 3,5, .* cannot start CUDA"):
        check_machine(GRAPH, NODE)


def test_libraries_that_are_too_old_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "version", lambda name: {"torch": "2.10.1+cu128", "transformers": "5.17.0"}[name])
    with pytest.raises(UserError, match=r"torch 2\.10\.1\+cu128 is installed; expected at least 2\.11"):
        check_machine(GRAPH, NODE)


def test_jobs_without_devices_see_none() -> None:
    """They would use a GPU that another job has leased."""
    assert '["env", "CUDA_VISIBLE_DEVICES="]' in (ROOT / "workflow/rules/common.smk").read_text(encoding="utf-8")


def test_ranks_have_time_to_write_where_torchrun_can_give_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert any(option.startswith("--shutdown-timeout=") for option in launch.command(2, []))
    (tmp_path / "torch/distributed").mkdir(parents=True)
    for name in ("__init__.py", "distributed/run.py"):
        (tmp_path / "torch" / name).write_text("", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert not any(option.startswith("--shutdown-timeout") for option in launch.command(2, []))


def test_a_large_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "LARGE", 4)
    (tmp_path / "runs/x").mkdir(parents=True)
    small, large = tmp_path / "runs/x/small", tmp_path / "runs/x/large"
    small.write_text("s", encoding="utf-8")
    large.write_text("large", encoding="utf-8")
    files = {f"runs/x/{path.name}": sha256_file(path) for path in (small, large)}
    record = record_of(tmp_path, "runs/x")
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"files": files}), encoding="utf-8")
    read: list[str] = []
    monkeypatch.setattr(integrity, "sha256_file", lambda path: read.append(path.name) or sha256_file(path))
    check_intact(tmp_path, "runs/x")
    check_intact(tmp_path, "runs/x")
    assert sorted(read) == ["large", "small", "small"]
    large.write_text("lurge", encoding="utf-8")
    with pytest.raises(UserError, match="large is not what its job wrote"):
        check_intact(tmp_path, "runs/x")
