"""Judges end: planning warns from 90 days before, refuses afterwards, unless told otherwise."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from checkout import Checkout

from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.plan.build import make_plan
from prefrepro.plan.judges import of_judges, warning
from prefrepro.specs.judge import judge_config, load_judge

OPENAI = {"name": "openai", "model": "gpt-4.1-2025-04-14", "ends": "2027-01-14", "successor": "openai-mini"}


@pytest.mark.parametrize(
    ("today", "said"),
    [
        (date(2026, 10, 15), None),  # 91 days before
        (date(2026, 10, 16), "ends on 2027-01-14, in 90 days. Next: judge=openai-mini"),
        (date(2026, 11, 30), "in 45 days"),
        (date(2027, 1, 13), "in 1 days"),
    ],
)
def test_a_warning_from_90_days_before(today: date, said: str | None) -> None:
    found = warning(OPENAI, "refuse", today)
    assert found is None if said is None else said in str(found)


@pytest.mark.parametrize("today", [date(2027, 1, 14), date(2028, 1, 1)])
def test_refused_from_the_day_on_unless_told(today: date) -> None:
    with pytest.raises(UserError, match=r"ended on 2027-01-14\. Nothing was started\. Next: judge=openai-mini"):
        warning(OPENAI, "refuse", today)
    assert "it is asked all the same" in str(warning(OPENAI, "allow", today))
    with pytest.raises(UserError, match="name another judge"):
        warning({key: value for key, value in OPENAI.items() if key != "successor"}, "refuse", today)


def test_the_default_judge_of_the_papers_scale_warns_today_and_names_a_judge_that_is_there() -> None:
    config = load_judge(ROOT / "config/judges/openai.yaml")
    assert config.ends == "2027-01-14" and config.successor == "openai-mini"
    plan = make_plan({"scale": "paper"})
    (said,) = of_judges(plan, plan.nodes.values(), date(2026, 11, 30))
    assert 'judge "openai" (gpt-4.1-2025-04-14) ends on 2027-01-14, in 45 days' in said
    assert not of_judges(plan, [], date(2027, 2, 1)), "verdicts that are made already want no judge"
    with pytest.raises(UserError, match="ended on 2027-01-14"):
        of_judges(plan, plan.nodes.values(), date(2027, 2, 1))


def test_a_date_that_is_moved_judges_nothing_again() -> None:
    plan = make_plan({"scale": "paper"})
    judges = [node.spec["judge"] for node in plan.nodes.values() if node.kind == "verdict"]
    assert judges and not any({"ends", "successor"} & set(judge) for judge in judges)


def test_a_date_is_a_date() -> None:
    values = {"name": "x", "kind": "local", "scorer": "longer", "model": "m", "ends": "January 2027"}
    with pytest.raises(UserError, match="ends: found 'January 2027', expected a date, YYYY-MM-DD"):
        judge_config(values, "x.yaml")


def test_commands_and_snakemake_refuse_a_judge_that_ended(checkout: Checkout) -> None:
    """`plan`, the start of a workflow and `calibration`; with ended_judges=allow planning goes on."""
    yesterday = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    judge = checkout.root / "config/judges/embedded-world.yaml"
    judge.write_text(judge.read_text(encoding="utf-8") + f"ends: {yesterday}\n", encoding="utf-8")
    for command in (["plan", "table1"], ["calibration", "judge=embedded-world"]):
        refused = checkout.prefrepro(*command)
        assert refused.returncode == 2 and f"ended on {yesterday}" in refused.stderr, refused.stderr
    allowed = checkout.prefrepro("plan", "table1", "ended_judges=allow")
    assert allowed.returncode == 0 and "it is asked all the same" in allowed.stderr
    started = checkout.snakemake("table1")
    assert started.returncode != 0 and f"ended on {yesterday}" in started.stdout + started.stderr
    assert not (checkout.root / "results/embedded/runs").exists(), "nothing was started"
