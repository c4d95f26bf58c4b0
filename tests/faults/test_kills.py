"""kill -9, at any moment and of anything: the same command ends with the same bytes; no stored reply is paid again."""

from __future__ import annotations

import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from checkout import Checkout
from dies import SAID
from faulty_judge import local_judge
from torment import JOB, KEY, Torment, Workflow, digests, make_world, paid

Tell = Callable[..., None]
SEED = 8
KILLS = 100
KINDS = ("run", "sample", "verdict", "table", "worker", "snakemake")
CONCURRENCY = 4
"""Requests that a judge has on the way at once: what a kill may cost at most."""
ON_THE_WAY = "replies on the way as their judge was killed, asked for again"
POINTS = 4
"""Of the changes of files that a job makes, how many it is killed at."""


@pytest.mark.faults
def test_a_hundred_kills_at_random_moments_of_the_workflow(tmp_path: Path, tell: Tell) -> None:
    """Whole rounds from nothing to the table, until there were enough; each ends as the one that nobody disturbed."""
    draw, kills = random.Random(SEED), Counter[str]()
    with local_judge("world", "--delay-s", "0.05") as judge:
        whole = make_world(tmp_path / "whole", judge)
        undisturbed = Workflow(whole, judge, "--cores", "2")
        undisturbed.undisturbed()
        expected = digests(whole.results)
        assert len(expected) > 15
        while kills.total() < KILLS:
            before = paid(judge)
            killed = make_world(tmp_path / f"killed-{kills.total()}", judge)
            workflow = Workflow(killed, judge, "--cores", "2")
            workflow.longest = undisturbed.longest
            torment = Torment(workflow, draw, per_job=4, ends=5)
            torment.run()
            kills += torment.kills
            found, replies = digests(killed.results), paid(judge) - before
            wrong = sum(found.get(name) != digest for name, digest in expected.items())
            assert wrong == 0 and not found.keys() - expected, "other bytes than without a kill"
            assert torment.paid_twice() == 0, "a reply that was stored was asked for again"
            on_the_way = replies.total() - len(replies)
            assert on_the_way <= CONCURRENCY * torment.kills.total()
            for kind, count in torment.kills.items():
                tell(f"kill -9 of {kind} in the workflow, any moment", count, recovered=count)
            tell(f"{ON_THE_WAY} ({len(replies)} replies a round)", on_the_way, recovered=on_the_way)
            shutil.rmtree(killed.root)
    assert kills.keys() >= set(KINDS)


def draw_points(draw: random.Random, changes: int) -> list[int]:
    return sorted(draw.sample(range(1, changes + 1), min(POINTS, changes)))


def killed_at(checkout: Checkout, number: int, arguments: list[str]) -> int:
    """The exit code, or for number 0 the changes that the job made."""
    dies = str(Path(__file__).with_name("dies.py"))
    done = checkout.python(dies, str(number), JOB, *arguments)
    if number:
        return done.returncode
    assert done.returncode == 0, done.stderr
    return int(done.stderr.rpartition(SAID)[2])


@pytest.mark.faults
def test_kills_at_each_change_of_a_file(tmp_path: Path, tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    """One node of each kind, killed just before it opens, renames or removes: what is done again ends as it did."""
    draw = random.Random(SEED)
    with local_judge("world") as judge:
        monkeypatch.setenv(KEY, judge.api_key)
        whole = make_world(tmp_path / "whole", judge)
        nodes = {node["kind"]: node for node in whole.nodes()}
        Workflow(whole, judge, "--cores", "2").undisturbed()
        expected = digests(whole.results)
        for kind in ("data", "base", "run", "sample", "reference", "verdict", "table"):
            node, kills = nodes[kind], 0
            copy = Checkout(shutil.copytree(whole.root, tmp_path / kind, symlinks=True), copy=False)
            arguments = [str(copy.results / "plan.json"), str(node["id"])]
            forget(copy, node)
            changes = killed_at(copy, 0, arguments)
            forget(copy, node)
            for point in draw_points(draw, changes):
                if killed_at(copy, point, arguments) == -signal.SIGKILL:
                    kills += 1
            assert killed_at(copy, 0, arguments) > 0
            found = digests(copy.results)
            wrong = sum(found.get(name) != digest for name, digest in expected.items())
            tell(f"kill -9 of {kind} as it changes a file", kills, recovered=kills - wrong, wrong=wrong)
            shutil.rmtree(copy.root)


def forget(checkout: Checkout, node: dict[str, object]) -> None:
    """Remove what a node made; the judge's replies too, if it is one's."""
    folder = checkout.results / str(node["folder"])
    if node["kind"] == "table":
        shutil.rmtree(checkout.results / "tables")
    else:
        shutil.rmtree(folder)
    if node["kind"] == "verdict":
        for path in checkout.results.glob("judge_cache.sqlite*"):
            path.unlink()
