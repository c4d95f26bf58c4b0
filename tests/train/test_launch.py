"""The launcher counts devices, starts torchrun, hands signals on, and ends so that the workflow runs it again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prefrepro.jobs.launch import command, visible_devices
from prefrepro.train.preempt import EXIT_REQUEUE

RUN = "import sys; from prefrepro.jobs.launch import _run; sys.exit(_run(sys.argv[1:]))"
WAITS = """
import signal, sys
def leave(number, frame):
    print("saved", flush=True)
    sys.exit(1)
signal.signal(signal.SIGTERM, leave)
signal.signal(signal.SIGUSR1, leave)
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.parametrize(("given", "n"), [("0", 1), ("0,1,2", 3), ("GPU-a,GPU-b", 2), ("", 1), ("-1", 1)])
def test_devices_are_those_that_a_scheduler_gave(given: str, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_devices() == n


def test_without_a_driver_there_is_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_devices() == 1


def test_without_a_say_every_device_of_the_driver_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver = tmp_path / "nvidia-smi"
    driver.write_text('#!/bin/sh\necho "GPU 0: a"\necho "GPU 1: b"\n')
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_devices() == 2


def test_torchrun_gets_the_job_as_it_was_given() -> None:
    found = command(4, ["plan.json", "some-id"])
    assert found[1:5] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4"]
    assert found[-4:] == ["-m", "prefrepro.jobs.main", "plan.json", "some-id"]


@pytest.mark.parametrize("asked_by", [signal.SIGTERM, signal.SIGUSR1])
def test_what_is_asked_to_go_is_handed_on_and_asks_to_be_run_again(asked_by: signal.Signals) -> None:
    launcher = [sys.executable, "-c", RUN, sys.executable, "-c", WAITS]
    with subprocess.Popen(launcher, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        started.send_signal(asked_by)
        assert started.stdout.readline() == "saved\n"
        assert started.wait() == EXIT_REQUEUE


@pytest.mark.parametrize(("program", "status"), [("pass", 0), ("raise SystemExit(3)", 3)])
def test_an_end_by_itself_is_told_as_it_is(program: str, status: int) -> None:
    done = subprocess.run([sys.executable, "-c", RUN, sys.executable, "-c", program], check=False)
    assert done.returncode == status


def test_a_killed_child_is_told_as_a_shell_does() -> None:
    program = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    done = subprocess.run([sys.executable, "-c", RUN, sys.executable, "-c", program], check=False)
    assert done.returncode == 128 + signal.SIGKILL


@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_missing_plan_is_refused_on_one_process_and_on_two(n: int) -> None:
    launch = [sys.executable, "-m", "prefrepro.jobs.launch", "--processes", str(n), "nowhere.json", "some-id"]
    environment = os.environ | {"PREFREPRO_WORKER": "off", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(launch, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode != 0
    assert "nowhere.json is no plan" in done.stderr
