"""Table 1 and the README's new method, from generated data to printed number through Snakemake, in a tiny world;
killed on the way, and not.

One test, because its parts share the training: about a minute on two quiet cores.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import psutil
from checkout import Checkout, Done, Nodes
from test_readme import add_method
from tiny_world import N_PROMPTS, make_tiny

from prefrepro.csv_schema.schema import read_csv

SUFFIXES = ("csv", "md", "tex", "html", "cells.csv", "cell_seeds.csv", "pairs.csv")
BROKEN = ("dpo", "rpo-paired")
"""The runs that are trained while Snakemake is killed."""
N_ROWS = 6
"""Of the paper's table, and the new method"""
SLOWLY = {"epochs": 4, "max_steps": 60, "checkpoint_every": 1}


def digests(results: Path) -> dict[str, str]:
    """SHA-256 of everything that must not depend on how often the workflow was killed."""
    files = [*results.glob("samples/*/samples.jsonl"), *results.glob("runs/*/model/*.safetensors")]
    files += [*results.glob("tables/*"), results / "cells.csv"]
    return {str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def succeeded(done: Done) -> Done:
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def jobs(done: Done, rule: str) -> int:
    """How many jobs of a rule were started or planned."""
    return (done.stdout + done.stderr).count(f"rule {rule}:\n")


def test_table1_end_to_end(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = Checkout(tmp_path / "whole")
    make_tiny(whole)
    add_method(whole)
    whole.edit_yaml("paper_tables/rpo/table1.yaml", {"rows": {"dpo": {"training": SLOWLY}}})
    succeeded(whole.snakemake("table1", "--cores", "2"))
    results_are_whole_and_valid(whole)
    nothing_is_done_twice(whole)
    reports_are_made(whole)

    shutil.copytree(whole.root, tmp_path / "killed", symlinks=True)
    killed = Checkout(tmp_path / "killed", copy=False)
    forget(killed, BROKEN)
    kill_in_training(killed)
    locked = killed.snakemake("table1", "--cores", "2")
    assert locked.returncode != 0
    assert "--unlock" in locked.stdout + locked.stderr
    succeeded(killed.snakemake("table1", "--unlock"))
    done = succeeded(killed.snakemake("table1", "--cores", "2"))
    assert jobs(done, "sft") == jobs(done, "base") == jobs(done, "data") == 0
    assert digests(killed.results) == digests(whole.results)


def results_are_whole_and_valid(checkout: Checkout) -> None:
    tables = checkout.results / "tables"
    assert {path.name for path in tables.iterdir()} == {f"rpo_table1.{suffix}" for suffix in SUFFIXES}
    cells = read_csv(checkout.results / "cells.csv", "cells")
    runs = read_csv(checkout.results / "runs.csv", "runs")
    verdicts = read_csv(checkout.results / "verdicts.csv", "verdicts")
    nodes = checkout.nodes()

    assert len(cells) == N_ROWS
    new = cells.set_index("row").loc["my-simpo"]
    assert 0 <= float(new["value"]) <= 100
    assert str(new["run_id"]).startswith("my-simpo_")
    assert "SimPO" in (tables / "rpo_table1.md").read_text(encoding="utf-8")
    assert set(cells["status"]) == {"not_comparable"}
    assert set(cells["n"]) == {N_PROMPTS}
    assert cells["delta"].dropna().empty, "a number of a tiny world is held against a printed one"
    assert_ids(cells, nodes)
    assert set(runs["run_id"]) == {node["id"] for node in nodes if node["kind"] in ("run", "sft")}
    assert verdicts.groupby("verdict_set_id").size().to_dict() == {
        node["id"]: N_PROMPTS for node in nodes if node["kind"] == "verdict"
    }
    assert "not comparable with the printed ones" in (tables / "rpo_table1.md").read_text(encoding="utf-8")
    assert "DPO" in succeeded(checkout.prefrepro("show", "rpo/table1")).stdout
    assert not list(checkout.results.glob("checkpoints/*/step-*.pt"))


def assert_ids(cells: pd.DataFrame, nodes: Nodes) -> None:
    for column, kind in (("run_id", "run"), ("sample_id", "sample"), ("verdict_id", "verdict")):
        assert set(cells[column]) == {node["id"] for node in nodes if node["kind"] == kind}


def nothing_is_done_twice(checkout: Checkout) -> None:
    before = digests(checkout.results)
    done = succeeded(checkout.snakemake("table1", "--cores", "2"))
    assert "Nothing to be done" in done.stdout + done.stderr
    checkout.edit("methods/dpo.py", "# Eq. 7", "# Equation 7")
    done = succeeded(checkout.snakemake("-n", "table1", "--config", "budget_usd=1"))
    assert "Nothing to be done" in done.stdout + done.stderr, "a comment or a budget made work"
    done = succeeded(checkout.snakemake("-n", "table1", "--config", "protocol=robust"))
    assert [jobs(done, rule) for rule in ("sft", "align", "sample", "judge")] == [0, 0, 0, N_ROWS]
    done = succeeded(checkout.snakemake("-n", "table1", "--config", "seeds=2"))
    assert [jobs(done, rule) for rule in ("base", "sft", "align", "sample", "judge")] == [0, 1, N_ROWS, N_ROWS, N_ROWS]
    assert digests(checkout.results) == before


def reports_are_made(checkout: Checkout) -> None:
    """Ours, and the one of Snakemake itself, with our captions."""
    succeeded(checkout.snakemake("report", "--cores", "2"))
    page = (checkout.results / "report.html").read_text(encoding="utf-8")
    assert "RPO Table 1" in page and len(page) < 10_000_000
    succeeded(checkout.snakemake("table1", "--report", "snakemake.html"))
    report = (checkout.root / "snakemake.html").read_text(encoding="utf-8")
    assert "rpo_table1: ours, the 95 % interval" in report
    assert '"Tables"' in report


def forget(checkout: Checkout, methods: tuple[str, ...]) -> None:
    """Remove what was made of these methods, and the table."""
    for kind in ("runs", "samples", "verdicts"):
        for method in methods:
            (folder,) = (checkout.results / kind).glob(f"{method}_*")
            shutil.rmtree(folder)
    for name in ("cells.csv", "runs.csv", "verdicts.csv"):
        (checkout.results / name).unlink()
    shutil.rmtree(checkout.results / "tables")
    (checkout.results / "judge_cache.sqlite").unlink()


def kill_in_training(checkout: Checkout) -> None:
    """kill -9 Snakemake, and dpo's training with it, once that has a checkpoint."""
    workflow = subprocess.Popen(
        checkout.command("-m", "snakemake", "table1", "--cores", "2"),
        cwd=checkout.root,
        env=checkout.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 300
        while not list(checkout.results.glob("checkpoints/dpo_*/step-*.pt")):
            assert workflow.poll() is None, "Snakemake ended before it could be killed"
            assert time.monotonic() < deadline, "no checkpoint within five minutes"
            time.sleep(0.005)
        trainings = [child.pid for child in psutil.Process(workflow.pid).children() if is_training_dpo(child)]
    finally:
        workflow.kill()
        workflow.wait()
    assert trainings, "dpo was not being trained"
    for pid in trainings:
        with contextlib.suppress(ProcessLookupError):  # the worker ends with Snakemake, and takes its jobs along
            os.kill(pid, signal.SIGKILL)
    assert list(checkout.results.glob("checkpoints/dpo_*/step-*.pt"))
    assert not list(checkout.results.glob("runs/dpo_*/run.json"))


def is_training_dpo(process: psutil.Process) -> bool:
    try:
        command = process.cmdline()
    except psutil.NoSuchProcess:
        return False
    return "prefrepro.jobs.main" in command and any(word.startswith("dpo_") for word in command)
