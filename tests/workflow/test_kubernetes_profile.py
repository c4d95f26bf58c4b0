"""The Kubernetes profile with a stand-in for kubectl: it starts a Job's command here, on this machine's files.

No cluster is asked: whether a real one takes these Jobs is not tested.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import Checkout, Done
from tiny_world import make_tiny

KUBECTL = """#!/bin/sh
cd "$(dirname "$0")"
case $1 in
create)
    cat > job.yaml
    echo job.batch/prefrepro-1
    script=$(sed -n "s/.*exec [/]bin[/]sh '\\(.*\\)'.*/\\1/p" job.yaml)
    (cd "$OLDPWD" && /bin/sh "$script" >/dev/null 2>&1; echo $? > "$OLDPWD/status") >/dev/null 2>&1 &
    ;;
get)
    [ "$2" = job.batch/prefrepro-1 ] || exit 1
    [ -f status ] || { printf /; exit; }
    [ "$(cat status)" = 0 ] && printf 1/ || printf /1
    ;;
esac
"""
SETTINGS = {
    "PREFREPRO_K8S_IMAGE": "python:3.11",
    "PREFREPRO_K8S_CLAIM": "work",
    "PREFREPRO_K8S_MOUNT": "/work",
}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    (tmp_path / "checkout").mkdir()
    checkout = Checkout(tmp_path / "checkout")
    make_tiny(checkout)
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "kubectl").write_text(KUBECTL, encoding="utf-8")
    (commands / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    return checkout


def make_data(checkout: Checkout) -> tuple[Path, Done]:
    """The file that the data set's job writes last, made through the profile."""
    (node,) = [node for node in checkout.nodes() if node["kind"] == "data"]
    target = f"results/embedded/{node['done']}"
    arguments = ("--retries", "0", "--seconds-between-status-checks", "1", "--latency-wait", "5")
    return checkout.root / target, checkout.snakemake(target, "--workflow-profile", "profiles/kubernetes", *arguments)


def test_a_job_is_created_watched_and_its_result_found(tiny: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    target, done = make_data(tiny)
    assert done.returncode == 0, done.stdout + done.stderr
    assert target.is_file()
    job: dict[str, Any] = yaml.safe_load((tiny.root.parent / "bin/job.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["activeDeadlineSeconds"] == 3600
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["volumes"] == [{"name": "shared", "persistentVolumeClaim": {"claimName": "work"}}]
    assert container["volumeMounts"] == [{"name": "shared", "mountPath": "/work"}]
    assert container["workingDir"] == str(tiny.root)
    assert container["resources"]["limits"] == {"memory": "2000Mi", "nvidia.com/gpu": "0"}
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "2000Mi"}


def test_what_is_not_set_is_named(tiny: Checkout) -> None:
    target, done = make_data(tiny)
    assert done.returncode != 0
    assert "PREFREPRO_K8S_IMAGE: not set; docs/cluster.md says to what" in done.stdout + done.stderr
    assert not target.exists()
