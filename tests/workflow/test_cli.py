"""The command `prefrepro`, as a user types it."""

from __future__ import annotations

import json
import shlex
import signal
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
    assert "Did you mean table1?" in unknown.stderr


def test_show_prints_a_finished_table(checkout: Checkout) -> None:
    (checkout.results / "tables").mkdir(parents=True)
    (checkout.results / "tables/rpo_table1.md").write_text("| DPO | 72.26 ± 1 |\n", encoding="utf-8")
    done = checkout.prefrepro("show", "table1", "--scale", "embedded")
    assert done.returncode == 0, done.stderr
    assert "| DPO | 72.26 ± 1 |" in done.stdout
    assert "results/embedded/tables/rpo_table1.{csv,md,tex,html}" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tabel1"], "Did you mean table1?"),
        (["rpo/tabel1"], "Did you mean table1?"),
        (["table1", "--config", "seed=3"], "Did you mean seeds?"),
    ],
)
def test_a_mistake_made_through_snakemake_is_answered_by_our_message_alone(
    checkout: Checkout, words: list[str], said: str
) -> None:
    done = checkout.snakemake("-n", *words)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ") and done.stderr.rstrip().endswith(said)
    assert not [mark for mark in ("Error", "Exception", 'File "', "Traceback") if mark in done.stderr]


def test_a_key_that_is_missing_is_told_before_the_first_job(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    done = checkout.snakemake("rpo_table1", "--config", "judge=openai", "--cores", "1")
    assert done.returncode == 1
    assert 'judge "openai": the environment variable OPENAI_API_KEY is empty' in done.stderr
    assert not (checkout.results / "data").exists()


def test_every_command_takes_a_results_folder_by_its_scale(checkout: Checkout) -> None:
    commands = (["explain", "table1/dpo"], ["verify"], ["report"], ["show", "table1"])
    told = [checkout.prefrepro(*command, "scale=pocket") for command in commands]
    assert [done.returncode for done in told] == [2] * 4
    assert not [done.stderr for done in told if "results/pocket" not in done.stderr]


def test_ctrl_c_is_one_line(checkout: Checkout) -> None:
    script = (
        "import prefrepro.cli.main as m, os, signal; m._main = lambda: os.kill(os.getpid(), signal.SIGINT); m.main()"
    )
    done = checkout.python("-c", script)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    job = (
        "import os, runpy, signal, prefrepro.jobs.worker.client as client;"
        "client.hand_over = lambda: os.kill(os.getpid(), signal.SIGINT);"
        "runpy.run_module('prefrepro.jobs.main', run_name='__main__')"
    )
    done = checkout.python("-c", job)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "interrupted\n")


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
