"""What a watcher makes of files: held logs, states of jobs, seconds left, lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefrepro.files import ROOT
from prefrepro.inspect.watch.follow import Follower, seconds_left
from prefrepro.inspect.watch.state import DONE, FAILED, GRACE_S, RUNNING, WAITING, look
from prefrepro.inspect.watch.view import clock, lines, summary
from prefrepro.jobs.log_lock import is_held
from prefrepro.plan.build import make_plan
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan

HOLD = """
import sys
from prefrepro.jobs.log_lock import hold_output
hold_output()
print("held", flush=True)
sys.stdin.read()
"""
Hold = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Start a process that holds a log, as a job does; it lives until its end or the test's."""
    started: list[subprocess.Popen[str]] = []

    def start(log: Path) -> subprocess.Popen[str]:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=file, text=True, cwd=ROOT
            )
        started.append(process)
        while "held" not in log.read_text():
            assert process.poll() is None
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The embedded plan; its results stand below an empty folder."""
    monkeypatch.chdir(tmp_path)
    return make_plan({})


def finish(plan: Plan, node: Node, changed: float = 0.0) -> None:
    done = plan.results / node.done
    done.parent.mkdir(parents=True, exist_ok=True)
    done.write_text(json.dumps({"rows": {"train": 2000, "eval": 500, "pretrain": 12800, "prompts": 256}}))
    os.utime(done, (changed, changed))


def state(plan: Plan, node: Node, since: float, now: float) -> str:
    return look(plan, [node], since, now)[0].state


def test_a_log_is_held_as_long_as_its_job_lives(tmp_path: Path, hold: Hold) -> None:
    log = tmp_path / "job.log"
    process = hold(log)
    assert is_held(log)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert is_held(log) is False


def test_looking_does_not_keep_a_job_from_holding(tmp_path: Path, hold: Hold) -> None:
    log = tmp_path / "job.log"
    log.touch()
    assert is_held(log) is False
    hold(log)
    assert is_held(log)
    assert is_held(log), "a second watcher"


def test_states_of_a_job(plan: Plan, hold: Hold) -> None:
    node = plan.of_kind("run")[0]
    log = plan.results / node.log
    assert log == plan.results / "logs" / "align" / f"{node.id}.log"
    assert state(plan, node, 0, 0) == WAITING
    process = hold(log)
    changed = log.stat().st_mtime
    assert state(plan, node, changed - 1, changed + 1e6) == RUNNING
    assert state(plan, node, changed + 1, changed + 1e6) == RUNNING, "of a workflow that ran before the watch"
    process.communicate()
    assert state(plan, node, changed - 1, changed + GRACE_S / 2) == RUNNING, "its Python may not have started yet"
    assert state(plan, node, changed - 1, changed + GRACE_S + 1) == FAILED
    assert state(plan, node, changed + 1, changed + 1e6) == WAITING, "an earlier attempt"
    finish(plan, node)
    assert state(plan, node, changed - 1, changed + 1e6) == DONE


def test_a_table_is_done_when_it_is_younger_than_what_it_is_made_of(plan: Plan) -> None:
    table = plan.tables["table1"]
    made = plan.results / "tables" / "rpo_table1.cells.csv"
    made.parent.mkdir(parents=True)
    made.touch()
    os.utime(made, (100, 100))
    assert state(plan, table, 0, 0) == WAITING
    for node_id in table.inputs.values():
        finish(plan, plan.nodes[node_id], 50)
    assert state(plan, table, 0, 0) == DONE
    finish(plan, plan.nodes[next(iter(table.inputs.values()))], 200)
    assert state(plan, table, 0, 0) == WAITING


def test_news_are_told_once(plan: Plan, hold: Hold) -> None:
    nodes = plan.needed_by(["table1"])
    data, base = (next(node for node in nodes if node.kind == kind) for kind in ("data", "base"))
    finish(plan, data)
    follower = Follower(plan, nodes, now=0.0, slots=2)
    first = follower.glance(0.0)
    assert lines(first) == []
    assert summary(first).startswith(f"1 of {len(nodes)} jobs, about ")
    process = hold(plan.results / base.log)
    metrics = plan.results / base.folder / "metrics.csv"
    metrics.parent.mkdir(parents=True)
    metrics.write_text("step,loss,rewards/accuracies\n10,5.5,\n20,4.25,\n")
    now = (plan.results / base.log).stat().st_mtime + 30
    (line,) = lines(follower.glance(now))
    assert line.endswith(f"running base {base.id}")
    running = follower.glance(now)
    assert not lines(running)
    assert running.running_s[base.id] == pytest.approx(30)
    (job,) = running.of(RUNNING)
    assert (job.step, job.metrics["loss"]) == (20, "4.25")
    assert running.steps[base.id] == base.spec["training"]["max_steps"]
    process.communicate()
    (plan.results / base.log).write_text("error: it went wrong\n")
    failed = follower.glance(now + 1e6)
    (line,) = lines(failed)
    assert f"failed  base {base.id}: error: it went wrong ({(plan.results / base.log)})" in line
    assert "1 failed" in line
    assert not failed.is_over
    assert failed.as_json()["states"] == {"done": 1, "failed": 1, "waiting": len(nodes) - 2}


def test_less_is_left_as_jobs_get_done(plan: Plan) -> None:
    nodes = plan.needed_by(["table1"])
    data = next(node for node in nodes if node.kind == "data")
    finish(plan, data)  # from here on its size is known
    left = []
    for node in [node for node in nodes if node.kind not in ("data", "table")]:
        left.append(Follower(plan, nodes, 0.0, slots=2).glance(0.0).left_s)
        finish(plan, node)
    assert left == sorted(left, reverse=True)
    assert left[0] > 60
    assert not Follower(plan, nodes, 0.0, slots=2).glance(0.0).is_at_least


@pytest.mark.parametrize(
    ("slots", "seconds"), [(1, 60.0), (2, 40.0), (3, 30.0)], ids=["one after another", "two", "all at once"]
)
def test_seconds_of_a_fork(slots: int, seconds: float) -> None:
    """a (10 s), then three of 20, 20 and 10 s that wait for it: 60 s of work; on two, 10 + 20 + 10."""
    left = {"a": 10.0, "b": 20.0, "c": 20.0, "d": 10.0}
    inputs = {"a": [], "b": ["a"], "c": ["a"], "d": ["a", "done-long-ago"]}
    assert seconds_left(left, inputs, set(), slots) == seconds


@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.sets(st.integers(0, 9))), max_size=10),
    st.integers(min_value=1, max_value=5),
)
def test_seconds_lie_between_their_bounds(jobs: list[tuple[float, set[int]]], slots: int) -> None:
    """Never less than all work over all slots or than the longest chain, never more than one after another."""
    left = {str(n): seconds for n, (seconds, _) in enumerate(jobs)}
    inputs = {str(n): [str(other) for other in others if other < n] for n, (_, others) in enumerate(jobs)}
    ends: dict[str, float] = {}
    for one, seconds in left.items():
        ends[one] = seconds + max((ends[other] for other in inputs[one]), default=0.0)
    found = seconds_left(left, inputs, set(), slots)
    total = sum(left.values())
    assert max(total / slots, max(ends.values(), default=0.0)) - 1e-6 <= found <= total + 1e-6


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3600, "1:00:00"), (3725, "1:02:05")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_log_of_the_last_tick_before_the_watch_is_of_this_attempt(plan: Plan) -> None:
    """The kernel dates a file by its last tick: a log written after `since` may carry an earlier time."""
    node = plan.of_kind("run")[0]
    log = plan.results / node.log
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    changed = log.stat().st_mtime
    assert state(plan, node, changed + 0.009, changed + GRACE_S + 1) == FAILED
