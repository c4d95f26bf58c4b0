"""Table 1 through SLURM, from nothing: one training fails, one is cancelled, one is asked to go, one loses its node."""

from __future__ import annotations

import os
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from checkout import Checkout
from cluster import Cluster
from slurm_helpers import (
    Workflow,
    digests,
    forget,
    has_saved,
    instrument,
    job_of,
    make_checkout,
    records,
    told,
    until,
    workflow,
)

pytestmark = pytest.mark.slurm
FAILS, CANCELLED, ASKED_TO_GO, LOSES_ITS_NODE = "rpo-paired", "dpo", "rpo-diagonal", "rpo-uniform"


def test_table1_is_the_local_one_whatever_happens(cluster: Cluster, local: Checkout, tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    instrument(checkout)
    told(checkout, "fail", FAILS)
    told(checkout, "hold", CANCELLED, ASKED_TO_GO, LOSES_ITS_NODE)
    with workflow(checkout, cluster) as running:
        job, _ = held(checkout, cluster, running, CANCELLED)
        cluster.ask("scancel", job)
        release(checkout, CANCELLED)
        job, _ = held(checkout, cluster, running, ASKED_TO_GO)
        cluster.ask("scancel", "--signal=TERM", job)  # as --signal=TERM@300 does: to the steps, not to the batch script
        release(checkout, ASKED_TO_GO)
        _, node = held(checkout, cluster, running, LOSES_ITS_NODE)
        cluster.kill_node(node)
        release(checkout, LOSES_ITS_NODE)
        until(lambda: job_of(cluster, LOSES_ITS_NODE) is None, "the lost job still runs", running)
        cluster.restore_node(node)
        assert running.wait() == 0, running.said[-6000:]
    assert digests(checkout) == digests(local)
    failures_are_reported(running)
    who_was_asked_to_go_went_on(checkout)
    devices_are_distinct(checkout)
    submissions_are_few(running)


def held(checkout: Checkout, cluster: Cluster, running: Workflow, method: str) -> tuple[str, str]:
    """Job and node of a training that has saved a step and waits."""
    until(lambda: has_saved(checkout, method) and job_of(cluster, method), f"{method} is not trained", running)
    found = job_of(cluster, method)
    assert found is not None
    return found


def release(checkout: Checkout, method: str) -> None:
    (checkout.root / "hold" / method).unlink()


def failures_are_reported(running: Workflow) -> None:
    """Each with its own log, and then done again."""
    for method in (FAILS, CANCELLED, ASKED_TO_GO, LOSES_ITS_NODE):
        own, slurms = rf"results/embedded/logs/align/{method}_\S+\.log", rf"\S+/rule_align/{method}_\S+\.log"
        assert re.search(rf"log: {own}, {slurms} \(check log file", running.said), method
    assert "this attempt fails, as the test wants it" in running.said
    assert "Trying to restart job" in running.said


def who_was_asked_to_go_went_on(checkout: Checkout) -> None:
    tries = [line["what"] for line in records(checkout) if line["id"].startswith(f"{ASKED_TO_GO}_")]
    assert tries.count("begins") >= 2
    assert tries.count("ends") >= 2, "it did not end by itself when it was asked to"


def devices_are_distinct(checkout: Checkout) -> None:
    """Of trainings that ended by themselves, no two had one device of one node at one time."""
    spans: dict[tuple[Any, ...], list[float]] = {}
    for line in records(checkout):
        if line["SLURM_JOB_ID"] and line["CUDA_VISIBLE_DEVICES"]:
            key = (line["SLURMD_NODENAME"], line["CUDA_VISIBLE_DEVICES"], line["SLURM_JOB_ID"], line["pid"])
            spans.setdefault(key, []).append(line["at"])
    assert {device for _, device, *_ in spans} == {"0", "1"}
    assert len(spans) >= 5
    whole = {key: span for key, span in spans.items() if len(span) == 2}
    for (one, first), (other, second) in combinations(whole.items(), 2):
        overlap = first[0] < second[1] and second[0] < first[1]
        assert not (overlap and one[:2] == other[:2]), (one, other)


def submissions_are_few(running: Workflow) -> None:
    """Five samples in one submission, five verdict sets in one, and the table made here."""
    submitted = running.said.count("has been submitted with SLURM jobid")
    failed = running.said.count("Trying to restart job")
    groups = 3  # the data set, samples, verdicts; the embeddings are a group of one
    assert submitted - failed <= groups + 1 + len(("base", "sft", "reference")) + 5 + 4, submitted
    assert "localrule table:" in running.said


def test_ctrl_c_cancels_what_was_submitted(cluster: Cluster, finished: Checkout, local: Checkout) -> None:
    instrument(finished)
    forget(finished, ("dpo", "rpo-paired"))
    told(finished, "hold", "dpo", "rpo-paired")
    with workflow(finished, cluster) as running:
        for method in ("dpo", "rpo-paired"):
            held(finished, cluster, running, method)
        trainings = [line["pid"] for line in records(finished)]
        running.interrupt()
        assert running.wait() != 0
    until(lambda: not cluster.jobs(), "jobs outlived their workflow")
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in trainings), "a training outlived its job")
    assert has_saved(finished, "dpo")
    for method in ("dpo", "rpo-paired"):
        release(finished, method)
    with workflow(finished, cluster) as again:
        assert again.wait() == 0, again.said[-6000:]
    assert digests(finished) == digests(local)


def test_the_generic_profile_runs_on_this_scheduler_too(cluster: Cluster, finished: Checkout, local: Checkout) -> None:
    forget(finished, ("dpo",))
    environment = {k: v for k, v in cluster.environment.items() if not k.startswith(("PYTHON", "COVERAGE_"))}
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - set(environment):
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        profile = ("--workflow-profile", "profiles/cluster-generic", "--seconds-between-status-checks", "2")
        done = finished.snakemake("table1", *profile, "--latency-wait", "20")
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert "with external jobid" in done.stdout + done.stderr
    assert digests(finished) == digests(local)
