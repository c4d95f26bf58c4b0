"""Profiles are whole, plan without a cluster, and flood none: short jobs share a submission, sized for their turns."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import yaml
from checkout import ROOT, Checkout

CLUSTERS = ("slurm", "kubernetes", "cluster-generic")
EVERYWHERE = ("scheduler", "keep-going", "rerun-incomplete", "rerun-triggers", "show-failed-logs")
ON_CLUSTERS = (*EVERYWHERE, "executor", "jobs", "retries", "latency-wait", "groups", "group-components", "local-cores")
SHORT = {"sample", "judge", "data", "embeddings"}


def profile(name: str) -> dict[str, object]:
    return yaml.safe_load((ROOT / "profiles" / name / "profile.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["default", *CLUSTERS])
def test_a_profile_is_whole(name: str) -> None:
    """--workflow-profile replaces the default one: what is said in one only would be lost in the others."""
    given, wanted = profile(name), ON_CLUSTERS if name in CLUSTERS else EVERYWHERE
    assert not set(wanted) - set(given)
    assert {key: given[key] for key in EVERYWHERE} == {key: profile("default")[key] for key in EVERYWHERE}


def test_no_rule_retries_by_itself() -> None:
    """Snakemake within a cluster's job would obey it too, inside the same allocation."""
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        assert not re.search(r"^\s*retries:", path.read_text(encoding="utf-8"), re.MULTILINE), path


def submissions(checkout: Checkout, name: str) -> tuple[Counter[str], Counter[str]]:
    """Of the paper's plan: rule or group -> submissions, and rule -> jobs that are in a group."""
    arguments = ("--workflow-profile", f"profiles/{name}", "--config", "scale=paper")
    done = checkout.snakemake("-n", "tables", *arguments)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    alone = Counter(re.findall(r"^rule (\w+):$", said, re.MULTILINE))
    groups = Counter(re.findall(r"Group job (\w+) ", said))
    return alone + groups, Counter(re.findall(r"^ +rule (\w+):$", said, re.MULTILINE))


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_papers_plan_floods_no_cluster(checkout: Checkout, name: str) -> None:
    submitted, grouped = submissions(checkout, name)
    assert set(grouped) == SHORT
    assert (grouped["sample"], grouped["judge"]) == (70, 75)
    assert (submitted["samples"], submitted["verdicts"]) == (9, 5)
    trainings = submitted["align"] + submitted["sft"]
    assert trainings == 58  # hours each: one that fails takes no other with it
    stays = submitted["table"] + submitted["tables"]
    assert stays == 13
    assert submitted.total() - stays == 91


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"run": {"gpu": 1}}, 'resources.run: "gpu" is unknown.'),
        ({"rnu": {"gpus": 1}}, 'resources: "rnu" is unknown.'),
        ({"run": {"gpus": -1}}, "resources.run.gpus: found -1, expected a whole number of at least 0"),
        ({"models": {"gpt": {"run": {"gpus": 1}}}}, 'resources.models: "gpt" is unknown.'),
    ],
)
def test_faulty_resources_are_refused(checkout: Checkout, change: dict[str, object], said: str) -> None:
    checkout.edit_yaml("config/scales/embedded.yaml", {"resources": change})
    done = checkout.snakemake("-n", "table1")
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
