"""kill -9 at random, of a job's process, of snakemake or of a node's daemon: the table is the unbroken one.

pytest -m "slurm and slow" --slurm-kills=20 --slurm-seed=0. Each snakemake that was killed is followed by what
docs/cluster.md says: cancel what it left, unlock, the same command.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter

import psutil
import pytest
from checkout import Checkout
from cluster import Cluster
from slurm_helpers import WITHIN_S, Workflow, digests, forget, workflow

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
METHODS = ("dpo", "rpo-uniform", "rpo-diagonal", "rpo-paired", "rpo-unpaired")
VICTIMS = ("worker", "snakemake", "node")
BEFORE_S = (1.0, 25.0)
STAGES = ("prefrepro.jobs.main", "prefrepro.jobs.launch")


def workers(checkout: Checkout) -> list[psutil.Process]:
    """Processes of this checkout's jobs that train, sample or judge."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(checkout.root) and set(process.cmdline()) & set(STAGES):
                found.append(process)
    return found


def unlock(checkout: Checkout, cluster: Cluster) -> None:
    """What a user does whose snakemake was killed."""
    for job in cluster.jobs():
        cluster.ask("scancel", job)
    deadline = time.monotonic() + WITHIN_S
    while cluster.jobs():
        assert time.monotonic() < deadline, "cancelled jobs do not end"
        time.sleep(0.2)
    done = checkout.snakemake("--unlock")
    assert done.returncode == 0, done.stdout + done.stderr


def kill(victim: str, running: Workflow, checkout: Checkout, cluster: Cluster, draw: random.Random) -> bool:
    """Kill one; False where there is none."""
    if victim == "snakemake":
        running.kill()
        return True
    if victim == "node":
        node = draw.choice(cluster.nodes)
        cluster.end(node, at_once=True)
        time.sleep(draw.uniform(0.0, 3.0))
        cluster.start_node(node)
        cluster.wait_for_nodes()
        return True
    alive = workers(checkout)
    if alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(draw.choice(alive).pid, signal.SIGKILL)
    return bool(alive)


def test_the_table_survives_random_kills(
    cluster: Cluster, finished: Checkout, local: Checkout, request: pytest.FixtureRequest
) -> None:
    kills = request.config.getoption("slurm_kills")
    assert isinstance(kills, int)
    draw, killed = random.Random(request.config.getoption("slurm_seed")), Counter[str]()
    victims = [VICTIMS[number % len(VICTIMS)] for number in range(kills)]
    draw.shuffle(victims)
    forget(finished, METHODS)
    while victims:
        with workflow(finished, cluster, "--retries=20") as running:
            while victims and running.process.poll() is None:
                time.sleep(draw.uniform(*BEFORE_S))
                if running.process.poll() is None and kill(victims[-1], running, finished, cluster, draw):
                    killed[victims.pop()] += 1
            assert running.process.poll() in (None, 0, -signal.SIGKILL), running.said[-6000:]
            if running.process.poll() == 0:  # done before the last kill
                assert digests(finished) == digests(local), killed
                forget(finished, METHODS)
        unlock(finished, cluster)
    with workflow(finished, cluster, "--retries=20") as running:
        assert running.wait() == 0, running.said[-6000:]
    assert digests(finished) == digests(local), killed
    assert killed.total() == kills
