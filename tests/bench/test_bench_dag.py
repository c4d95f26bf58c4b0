"""Where the time of a workflow goes: from made-up benchmarks, and from one real job."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import dag
from prefrepro.errors import UserError
from prefrepro.jobs.timing import recorded
from prefrepro.plan.build import make_plan

ROOT = Path(__file__).parents[2]


def job(results: Path, rule: str, name: str, seconds: float, ended: float, work_s: float | None) -> None:
    path = results / "benchmarks" / rule / f"{name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\tcpu_time\n{seconds}\t0.01\n", encoding="utf-8")
    os.utime(path, (ended, ended))
    if work_s is not None:
        node = f"{name}_0123abcd" if rule == "table" else name
        work = results / "benchmarks" / "work" / f"{node}.json"
        work.parent.mkdir(exist_ok=True)
        work.write_text(json.dumps({"work_s": work_s, "cpu_s": work_s / 2, "peak_rss_mb": seconds}), encoding="utf-8")


def test_start_up_is_what_a_job_did_not_work(tmp_path: Path) -> None:
    """Two trainings of 10 and 6 s that worked 9 and 5 s, a table of 4 s that worked 1 s: 5 of 20 s are start-up."""
    job(tmp_path, "align", "dpo_m_hh_00000000", 10, 1010, 9)
    job(tmp_path, "align", "rpo_m_hh_11111111", 6, 1012, 5)
    job(tmp_path, "table", "rpo_table1", 4, 1016, 1)
    jobs = dag.read_jobs(tmp_path)
    whole = dag.elapsed(jobs)
    assert whole.wall_s == 16  # from 1000 to 1016
    align, table, every = dag.summary(jobs, whole)
    assert (align["rule"], align["jobs"], align["job_s"], align["job_share"]) == ("align", 2, 16, 0.8)
    assert (align["start_s"], align["start_share"], align["peak_rss_mb"]) == (2, 0.125, 10)
    assert (table["rule"], table["start_share"]) == ("table", 0.75)
    assert (every["start_s"], every["start_share"], every["wall_s"]) == (5, 0.25, 16)
    assert align["cpu_share"] == pytest.approx(14 / 15)


def test_cpu_time_outside_the_jobs_has_a_row(tmp_path: Path) -> None:
    job(tmp_path, "align", "dpo_m_hh_00000000", 10, 1010, 8)
    job(tmp_path, "theory", "theory", 2, 1012, None)
    _, theory, outside, every = dag.summary(dag.read_jobs(tmp_path), dag.Whole(20, 10))
    assert theory["start_s"] is None and theory["cpu_s"] is None
    assert (outside["rule"], outside["cpu_s"], outside["cpu_share"]) == (dag.OUTSIDE, 6, 0.6)
    assert (every["cpu_s"], every["cpu_share"], every["start_share"]) == (10, 1, 0.2)


def test_a_folder_without_benchmarks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no \*\.tsv"):
        dag.read_jobs(tmp_path)


def test_a_job_records_its_work_only_when_it_succeeds(tmp_path: Path) -> None:
    with recorded(tmp_path / "good.json"):
        subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    found = json.loads((tmp_path / "good.json").read_text(encoding="utf-8"))
    assert found["cpu_s"] > 0, "a child's time counts"
    assert found["work_s"] > 0 and found["peak_rss_mb"] > 1
    with pytest.raises(ValueError, match="no"), recorded(tmp_path / "bad.json"):
        raise ValueError("no")
    assert not (tmp_path / "bad.json").exists()


def test_a_real_job_of_the_workflow_is_timed(tmp_path: Path) -> None:
    plan = make_plan({})
    node = plan.of_kind("data")[0]
    out = tmp_path / "dag.csv"
    command = [sys.executable, "-m", "bench.dag", str(plan.results / node.done), "--folder", str(tmp_path / "run")]
    done = subprocess.run([*command, "--out", str(out)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with out.open(encoding="utf-8", newline="") as file:
        rows = {row["rule"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"data", dag.OUTSIDE, dag.ALL}
    data = rows["data"]
    assert 0 < float(data["work_s"]) < float(data["job_s"]) < float(rows[dag.ALL]["wall_s"])
    assert float(data["cpu_s"]) + float(rows[dag.OUTSIDE]["cpu_s"]) == pytest.approx(float(rows["all"]["cpu_s"]), 0.01)
