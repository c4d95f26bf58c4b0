"""The command `prefrepro`, as a user types it."""

from __future__ import annotations

import json
import shlex
import subprocess

import pytest
from checkout import Checkout, Done, ids

from prefrepro.csv_schema.schema import read_csv


def piped(checkout: Checkout, command: str, reader: str) -> Done:
    """`python command | reader` in bash; the exit code is that of Python."""
    line = f"{shlex.join(checkout.command())} {command} | {reader}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(
        ["bash", "-c", line],
        cwd=checkout.root,
        env=checkout.environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", [["plan"], ["show"], ["collect"], ["check"], ["new-method"], []])
def test_help(checkout: Checkout, command: list[str]) -> None:
    done = checkout.prefrepro(*command, "--help")
    assert done.returncode == 0
    assert "usage: prefrepro" in done.stdout
    assert not done.stderr


def test_help_of_a_job(checkout: Checkout) -> None:
    done = checkout.python("-m", "prefrepro.jobs.main", "--help")
    assert done.returncode == 0
    assert "usage: python -m prefrepro.jobs.main " in done.stdout
    assert not done.stderr


def test_help_fits_a_screen(checkout: Checkout) -> None:
    lines = checkout.prefrepro("--help").stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100


def test_plan_lists_every_job(checkout: Checkout) -> None:
    done = checkout.prefrepro("plan", "table1", "seeds=2")
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    jobs = {node_id: kind for kind, node_id in lines if not kind.isdigit()}
    counted = {kind: int(n) for n, kind in lines if n.isdigit()}
    nodes = checkout.nodes(seeds=2)
    assert jobs == {node["id"]: node["kind"] for node in nodes}
    assert sum(counted.values()) == len(nodes)


def test_plan_as_json(checkout: Checkout) -> None:
    done = checkout.prefrepro("plan", "table1", "--json", "--scale", "embedded")
    assert done.returncode == 0
    plan = json.loads(done.stdout)
    assert list(plan) == ["runs", "samples", "verdicts", "cells"]
    nodes = checkout.nodes()
    assert {run["id"] for run in plan["runs"]} == ids(nodes, "run", "sft")
    assert {sample["id"] for sample in plan["samples"]} == ids(nodes, "sample")
    assert {verdict["id"] for verdict in plan["verdicts"]} == ids(nodes, "verdict")
    assert {one for cell in plan["cells"] for one in cell["verdict_ids"]} == ids(nodes, "verdict")
    assert all(run["hparams"] and run["training"] for run in plan["runs"] if run["kind"] == "run")


def test_plan_of_all_tables_is_the_default(checkout: Checkout) -> None:
    every = checkout.prefrepro("plan")
    assert every.returncode == 0
    assert every.stdout == checkout.prefrepro("plan", "tables").stdout
    assert (
        checkout.prefrepro("plan", "reading=code").stdout == checkout.prefrepro("plan", "tables", "reading=code").stdout
    )


def test_plan_of_an_unknown_table(checkout: Checkout) -> None:
    done = checkout.prefrepro("plan", "tabel1")
    assert done.returncode == 2
    assert done.stderr.startswith('error: "tabel1" is no target. Known: ')
    assert "Did you mean table1?" in done.stderr
    assert not done.stdout


def test_show_of_a_table_that_is_not_there_says_what_to_run(checkout: Checkout) -> None:
    done = checkout.prefrepro("show", "rpo/table1")
    assert done.returncode == 2
    assert done.stderr == (
        "error: results/embedded/tables/rpo_table1.md does not exist; make it with: snakemake table1\n"
    )
    unknown = checkout.prefrepro("show", "rpo/tabel1")
    assert unknown.returncode == 2
    assert "known tables: rpo/" in unknown.stderr


def test_show_prints_a_finished_table(checkout: Checkout) -> None:
    (checkout.results / "tables").mkdir(parents=True)
    (checkout.results / "tables/rpo_table1.md").write_text("| DPO | 72.26 ± 1 |\n", encoding="utf-8")
    done = checkout.prefrepro("show", "rpo/table1")
    assert done.returncode == 0
    assert "| DPO | 72.26 ± 1 |" in done.stdout
    assert "results/embedded/tables/rpo_table1.{csv,md,tex,html}" in done.stdout


def test_collect(checkout: Checkout) -> None:
    missing = checkout.prefrepro("collect")
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: results/embedded is no folder")
    checkout.results.mkdir(parents=True)
    assert checkout.prefrepro("collect").returncode == 0
    for name in ("cells", "runs", "verdicts"):
        assert len(read_csv(checkout.results / f"{name}.csv", name)) == 0
    before = (checkout.results / "runs.csv").read_bytes()
    (checkout.results / "runs/torn").mkdir(parents=True)
    (checkout.results / "runs/torn/run.json").write_text('{"row": {', encoding="utf-8")
    torn = checkout.prefrepro("collect")
    assert torn.returncode == 2
    assert "runs/torn/run.json is no readable JSON" in torn.stderr
    assert "Traceback" not in torn.stderr
    assert (checkout.results / "runs.csv").read_bytes() == before


@pytest.mark.parametrize("command", ["plan --json", "plan", "--help", "plan --help", "show rpo/table1"])
@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_a_reader_that_has_seen_enough_causes_no_noise(checkout: Checkout, command: str, reader: str) -> None:
    (checkout.results / "tables").mkdir(parents=True)
    (checkout.results / "tables/rpo_table1.md").write_text("a long line\n" * 20_000, encoding="utf-8")
    done = piped(checkout, f"-m prefrepro {command}", reader)
    assert done.stderr == ""
    assert done.returncode in (0, 141)
