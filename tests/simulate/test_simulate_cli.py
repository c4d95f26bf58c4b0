"""`prefrepro simulate` as it is typed: the paper's plan on a cluster, and measured seconds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from prefrepro.cli.main import main
from prefrepro.cli.simulate import read_delays
from prefrepro.inspect.forecast.sizes import read_json
from prefrepro.plan.build import make_plan
from prefrepro.plan.kinds import KINDS

PAPER = ("--profile", "slurm", "--scale", "paper")


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """results/<scale> stands below the working directory."""
    monkeypatch.chdir(tmp_path)
    read_json.cache_clear()


def simulate(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["prefrepro", "simulate", *words])
    main()


def as_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
    simulate(monkeypatch, "--json", *words)
    return json.loads(capsys.readouterr().out)


def test_the_papers_plan_on_64_gpus(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(monkeypatch, "--gpus", "64", *PAPER)
    said = capsys.readouterr().out
    assert "GPU-hours" in said
    assert "% of their time idle; 243 jobs in 91 submissions" in said
    assert "ASSUMED; --queue-delays takes your cluster's" in said
    assert said.count("rpo_") == 0  # digests and table names stand in no chain
    for target in (*make_plan({"scale": "paper"}).printed, "together"):
        assert f"\n{target} " in said


def test_fewer_gpus_take_longer_and_stand_idle_less(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    many, few = (as_json(capsys, monkeypatch, "--gpus", n, *PAPER) for n in ("64", "8"))
    assert few["makespan_h"] >= many["makespan_h"]
    assert few["idle_share"] < many["idle_share"]
    assert few["gpu_h"] == many["gpu_h"]
    for found in (many, few):
        used = found["gpu_h"] / (found["gpus"] * found["makespan_h"])
        assert found["idle_share"] == pytest.approx(1 - used)
        assert found["makespan_h"] >= max(line["critical_path_h"] for line in found["tables"])


def test_too_few_gpus_are_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as end:
        simulate(monkeypatch, "--gpus", "1", *PAPER)
    assert end.value.code == 2
    assert "asks for 2 GPUs, and there are 1. Next: more --gpus" in capsys.readouterr().err


def test_an_unknown_profile_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit):
        simulate(monkeypatch, "--profile", "slrum")
    assert "Did you mean slurm?" in capsys.readouterr().err


def test_delays_are_drawn_from_a_file_the_same_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["2026-11-01T10:00:00|2026-11-01T10:00:30", "2026-11-01T10:00:00|Unknown", "", "2026-11-01T10:00:00|bad"]
    (tmp_path / "delays.txt").write_text("\n".join([*lines, "2026-11-01T11:00:00|2026-11-01T13:00:00"]))
    assert read_delays(tmp_path / "delays.txt") == [30.0, 7200.0]
    words = ("--gpus", "64", *PAPER, "--queue-delays", "delays.txt")
    once, again = (as_json(capsys, monkeypatch, *words) for _ in range(2))
    other = as_json(capsys, monkeypatch, *words, "--seed", "1")
    assert once == again
    assert once["spans"] != other["spans"]
    assert "drawn from the 2 delays of delays.txt, seed 0" in " ".join(once["notes"])
    (tmp_path / "delays.txt").write_text("Submit|Start\n")
    with pytest.raises(SystemExit):
        simulate(monkeypatch, *words)
    assert "sacct -X -n -P" in capsys.readouterr().err


def test_measured_seconds_go_before_the_forecast(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every job of table 1 took 10 s: on one core they follow each other."""
    nodes = make_plan().needed_by(["table1"])
    for node in nodes:
        name = "rpo_table1" if node.kind == "table" else node.id
        path = Path(f"results/embedded/benchmarks/{KINDS[node.kind].rule}/{name}.tsv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("s\th:m:s\n10\t0:00:00\n", encoding="utf-8")
    found = as_json(capsys, monkeypatch, "table1", "--cores", "1")
    assert found["makespan_h"] == pytest.approx(10 * len(nodes) / 3600)
    assert f"Seconds of {len(nodes)} jobs: as they were measured in results/embedded." in found["notes"]
