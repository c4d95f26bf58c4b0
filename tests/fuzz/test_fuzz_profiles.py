"""Profiles of Snakemake, for SLURM and others, and resources of scales with one thing wrong: one message that names
file and key, or a profile that a plan can be laid out by."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from mutations import FEW, Case, cases, refusal, spoiled_bytes
from shared import read_scale

from prefrepro.files import ROOT
from prefrepro.inspect.forecast.jobs import Forecaster
from prefrepro.inspect.simulate.engine import Capacity, replay
from prefrepro.inspect.simulate.tasks import Job, jobs_of, tasks_of
from prefrepro.plan.build import empty_plan, make_plan
from prefrepro.plan.resources import ScaleResources
from prefrepro.specs.config import make_config
from prefrepro.specs.files import read_mapping, read_yaml
from prefrepro.specs.profile import check_profile, read_profile
from prefrepro.specs.scale import check_scale

pytestmark = pytest.mark.fuzz

PROFILES = sorted((ROOT / "profiles").glob("*/profile.yaml"))
RESOURCES = {
    path.stem: read_scale(path.stem)["resources"]
    for path in sorted((ROOT / "config" / "scales").glob("*.yaml"))
    if read_scale(path.stem)["resources"]
}
READ = {("executor",), ("jobs",), ("groups",), ("group-components",)}
CONTENTS = {path.parent.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in PROFILES}


@cache
def jobs() -> list[Job]:
    plan = make_plan({"scale": "paper"})
    return jobs_of(plan, plan.targets(["table1"]), Forecaster(plan))


def laid_out(name: str, content: Any) -> Callable[[], None]:
    """Read a profile's content and replay the jobs of a table by it: each is done once."""

    def call() -> None:
        profile = check_profile(name, content, f"profiles/{name}/profile.yaml")
        tasks, task_of = tasks_of(jobs(), profile)
        assert set(task_of) == {job.node.id for job in jobs()}
        spans = replay(tasks, Capacity(64, None, profile.submitted), lambda task: 1.0)
        assert len(spans) == len(tasks)

    return call


def changed(name: str, key: str, value: Any) -> tuple[str, Case]:
    return name, Case(CONTENTS[name] | {key: value}, (key,), "example", True)


@FEW
@example(changed("slurm", "groups", ["sampel=samples"]))
@example(changed("slurm", "groups", {"sample": None}))
@example(changed("slurm", "group-components", ["samples=many"]))
@example(changed("slurm", "group-components", ["samples=0"]))
@example(changed("slurm", "group-components", ["sampels=8"]))
@example(changed("slurm", "group-components", ["samples"]))
@example(changed("slurm", "jobs", "64"))
@given(st.sampled_from(sorted(CONTENTS)).flatmap(lambda name: st.tuples(st.just(name), cases(CONTENTS[name]))))
def test_profiles(drawn: tuple[str, Case]) -> None:
    name, case = drawn
    if isinstance(case.value, dict):
        is_wrong = case.is_wrong and case.path[:1] in READ  # the other keys are Snakemake's to check
        refusal(laid_out(name, case.value), is_wrong=is_wrong, names=(f"profiles/{name}/profile.yaml",))


@FEW
@example(b"executor: slurm\nexecutor: local\n")
@example(b"jobs: 0x40\n")
@example(b"groups: [sample=samples\n")
@given(st.sampled_from(PROFILES).flatmap(lambda path: spoiled_bytes(path.read_bytes())))
def test_bytes_of_profiles(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "profile.yaml"
    file.write_bytes(content)
    read_yaml.cache_clear()
    refusal(lambda: laid_out("drawn", read_mapping(file))(), names=("profile.yaml",))


@FEW
@example(("paper", Case({"default": {"mem_mb": 10**400}}, (), "example", True)))
@example(("paper", Case({"models": {"mistral-7b": {"default": {"gpus": 1}}}}, (), "example", True)))
@example(("paper", Case({"default": {"mem_mb": "16G"}}, (), "example", True)))
@given(
    st.sampled_from(sorted(RESOURCES)).flatmap(
        lambda scale: st.tuples(st.just(scale), cases(RESOURCES[scale], is_free=lambda path: path == ()))
    )
)
def test_resources_of_a_scale(drawn: tuple[str, Case]) -> None:
    """What each kind of job asks a scheduler for: numbers that it can be given, at every attempt."""
    name, case = drawn
    scale = read_mapping(ROOT / f"config/scales/{name}.yaml") | {"resources": case.value}

    def call() -> None:
        checked = check_scale(scale, f"config/scales/{name}.yaml")
        asked = ScaleResources(empty_plan(make_config({"scale": name}), checked))
        for attempt in (1, 4):
            found = asked.of(None, attempt)
            assert found.gpus >= 0 and min(found.cpus, found.mem_mb, found.runtime_min) >= 1

    refusal(call, is_wrong=case.is_wrong, names=(f"config/scales/{name}.yaml",))


def test_the_shipped_profiles_are_taken() -> None:
    for path in PROFILES:
        assert read_profile(path.parent.name).is_local == (path.parent.name == "default")
