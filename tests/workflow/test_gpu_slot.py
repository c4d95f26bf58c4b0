"""Devices are leased to one job at a time, however many ask, want, or die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path

from checkout import ROOT, Checkout

SLOT = ROOT / "workflow/scripts/gpu_slot.py"
HOLD = """
import json, os, pathlib, sys, time
begin = time.monotonic()
time.sleep(float(sys.argv[2]))
devices = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
pathlib.Path(sys.argv[1]).write_text(json.dumps({"devices": devices, "span": [begin, time.monotonic()]}))
"""


def start(folder: Path, count: int, *command: str, devices: str | None = "0,1,2,3,4,5,6,7", **more: str):
    environment = {k: v for k, v in os.environ.items() if k not in ("CUDA_VISIBLE_DEVICES", "PREFREPRO_GPUS")}
    environment |= {"PREFREPRO_GPU_LOCKS": str(folder / "locks"), **more}
    if devices is not None:
        environment["PREFREPRO_GPUS"] = devices
    return subprocess.Popen(
        [sys.executable, str(SLOT), str(count), "--", *command], env=environment, stderr=subprocess.PIPE, text=True
    )


def hold(folder: Path, count: int, name: str, seconds: float) -> subprocess.Popen[str]:
    return start(folder, count, sys.executable, "-c", HOLD, str(folder / f"{name}.json"), str(seconds))


def test_no_device_is_ever_two_jobs(tmp_path: Path) -> None:
    """Jobs for one device and for all eight, at the same time."""
    wanted = {f"job{n}": (8 if n in (3, 9) else 2 if n == 5 else 1) for n in range(14)}
    jobs = [hold(tmp_path, count, name, 0.2) for name, count in wanted.items()]
    assert [job.wait(120) for job in jobs] == [0] * len(jobs)
    had = {name: json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")) for name in wanted}
    assert {name: len(set(entry["devices"])) for name, entry in had.items()} == wanted
    for one, other in combinations(had.values(), 2):
        overlap = one["span"][0] < other["span"][1] and other["span"][0] < one["span"][1]
        assert not (overlap and set(one["devices"]) & set(other["devices"]))


def test_a_killed_job_gives_its_devices_back(tmp_path: Path) -> None:
    first = hold(tmp_path, 8, "first", 600)
    while len(list((tmp_path / "locks").glob("*"))) < 8:
        assert first.poll() is None
        time.sleep(0.01)
    second = hold(tmp_path, 8, "second", 0)
    first.send_signal(signal.SIGKILL)
    assert second.wait(60) == 0
    assert first.wait() == -signal.SIGKILL
    assert not (tmp_path / "first.json").exists()


def test_too_few_devices_are_refused(tmp_path: Path) -> None:
    job = start(tmp_path, 8, "true", devices="0,1")
    said = job.communicate(timeout=60)[1]
    assert job.returncode == 2
    assert "wants 8 GPUs and 2 can be seen: 0, 1" in said
    none = start(tmp_path, 1, "true", devices="")
    assert "PREFREPRO_ALLOW_CPU=1" in none.communicate(timeout=60)[1]
    assert none.returncode == 2
    assert start(tmp_path, 1, "true", devices="", PREFREPRO_ALLOW_CPU="1").wait(60) == 0


def test_within_a_job_of_a_scheduler_the_pool_is_that_jobs(tmp_path: Path) -> None:
    job = start(
        tmp_path, 1, sys.executable, "-c", HOLD, str(tmp_path / "job.json"), "0", devices=None, CUDA_VISIBLE_DEVICES="5"
    )
    assert job.wait(60) == 0
    assert json.loads((tmp_path / "job.json").read_text(encoding="utf-8"))["devices"] == ["5"]


def test_jobs_ask_for_devices_by_scale_and_model(checkout: Checkout) -> None:
    """The embedded scale asks for none; the paper's for what its models need, and more after a failure."""
    done = checkout.snakemake("-n", "table1", "--printshellcmds")
    assert done.returncode == 0, done.stderr
    assert "gpu_slot.py" not in done.stdout + done.stderr
    done = checkout.snakemake("-n", "table1", "table2", "--printshellcmds", "--config", "scale=paper")
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "gpu_slot.py 1 -- " in said
    alone = [line for line in said.splitlines() if "/logs/judge/" in line or "/logs/data/" in line]
    assert alone
    assert not any("gpu_slot.py" in line for line in alone)
