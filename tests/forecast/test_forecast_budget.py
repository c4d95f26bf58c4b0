"""A budget refuses what would cost more, before anything starts, and lets everything else pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from checkout import Checkout
from forecast_helpers import earlier_verdicts, of, one, write

from prefrepro.cli.forecast import check_budget
from prefrepro.errors import UserError
from prefrepro.inspect.forecast.lines import forecast
from prefrepro.judge.cache import ReplyCache, Row
from prefrepro.plan.build import make_plan

PAPER = {"scale": "paper", "judge": "openai"}
RESULTS = Path("results/paper")
TABLE1_USD = 5 * 256 * (300 * 2 + 10 * 8) / 1e6


def spend(*costs_usd: float) -> None:
    """One reply of each cost in the judge cache, as the client stores them."""
    cache = ReplyCache(RESULTS / "judge_cache.sqlite", durable=False)
    for number, cost in enumerate(costs_usd):
        cache.put(f"key{number}", "somebody", 0, {}, Row(body="{}", cost_usd=cost, attempts=1, created=""))
        cache.book(cost)
    cache.close()


def test_what_fits_passes_and_a_cent_less_does_not() -> None:
    check_budget(of("table1", **PAPER, budget_usd=TABLE1_USD))
    with pytest.raises(UserError) as error:
        check_budget(of("table1", "table4", **PAPER, budget_usd=TABLE1_USD - 0.01))
    said = str(error.value)
    assert "budget_usd allows 0.86 in all" in said
    assert "Dearest: table4, 20.73 USD" in said
    assert "Next: raise budget_usd, ask for fewer tables, or take another judge" in said


def test_requests_that_are_asked_again_count() -> None:
    """A tenth three more times: 1.3 times the calls and the price."""
    again = {**PAPER, "repeat": {"share": 0.1, "times": 3}}
    check_budget(of("table1", **again, budget_usd=1.3 * TABLE1_USD))
    with pytest.raises(UserError, match=r"would cost 1\.13 USD \(1,664 calls to openai\)"):
        check_budget(of("table1", **again, budget_usd=1.3 * TABLE1_USD - 0.01))
    plain, repeated = (make_plan(given) for given in (PAPER, again))
    assert repeated.config.arguments() == ["scale=paper", "judge=openai", "repeat={'share': 0.1, 'times': 3}"]
    assert one(plain, "verdict", "dpo").id != one(repeated, "verdict", "dpo").id
    assert one(plain, "sample", "dpo").id == one(repeated, "sample", "dpo").id


def test_without_a_budget_or_with_a_free_judge_nothing_is_refused() -> None:
    check_budget(of("swepo_table1", **PAPER))
    check_budget(of("table1", "table4", budget_usd=0))


def test_finished_verdicts_are_paid_and_count_once() -> None:
    """The budget is «all in all», as the judge client takes it."""
    plan = make_plan({**PAPER, "budget_usd": TABLE1_USD})
    node = one(plan, "verdict", "dpo")
    share = TABLE1_USD / 5
    earlier_verdicts(node.id, node.spec, [(300, 10)] * 256, cost_usd=share, results=RESULTS)
    earlier_verdicts("older_00000000", node.spec, [(300, 10)] * 256, cost_usd=share, results=RESULTS)
    spend(share)  # the older set got the same replies
    check_budget(forecast(plan, ["table1"]))
    plan = make_plan({**PAPER, "budget_usd": TABLE1_USD - 0.01})
    with pytest.raises(UserError, match=r"would cost 0\.70 USD .* and finished verdicts cost 0\.17, but"):
        check_budget(forecast(plan, ["table1"]))


def test_replies_of_an_unfinished_verdict_set_refuse_nothing_when_it_goes_on() -> None:
    spend(TABLE1_USD / 2)
    check_budget(of("table1", **PAPER, budget_usd=TABLE1_USD))


def test_an_unknown_cost_cannot_be_held_against_a_budget() -> None:
    plan = make_plan({**PAPER, "budget_usd": 1000})
    node = one(plan, "verdict", "dpo")
    plan.nodes[node.id] = replace(node, spec=node.spec | {"judge": node.spec["judge"] | {"price_usd_per_mtok": None}})
    with pytest.raises(UserError, match=r"what 1 verdict sets cost is not known, dpo_.*config/judges/openai\.yaml"):
        check_budget(forecast(plan, ["table1"]))


def test_a_cache_that_is_none_is_named() -> None:
    plan = make_plan({**PAPER, "budget_usd": 1000})
    node = one(plan, "verdict", "dpo")
    earlier_verdicts(node.id, node.spec, [(300, 10)], cost_usd=0.1, results=RESULTS)
    write(RESULTS / "judge_cache.sqlite", "no database, but as long as a header of one " * 9)
    with pytest.raises(UserError, match=r"judge_cache\.sqlite is no judge cache"):
        check_budget(forecast(plan, ["table1"]))


def test_snakemake_refuses_before_the_first_job(checkout: Checkout) -> None:
    done = checkout.snakemake("table1", "--config", "scale=paper", "judge=openai", "budget_usd=0.5")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert said.count("judging would cost 0.87 USD (1,280 calls to openai), but budget_usd allows 0.50 in all.") == 1
    assert "Dearest: table1, 0.87 USD." in said
    assert "Traceback" not in said
    assert not list((checkout.root / "results").glob("*/*"))


def test_snakemake_forecast_is_written_and_shown_each_time_it_is_asked_for(checkout: Checkout) -> None:
    arguments = ("forecast", "--config", "scale=paper", "judge=openai")
    folder = checkout.root / "results" / "paper"
    first = checkout.snakemake(*arguments)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "together" in first.stdout + first.stderr
    table, page = (folder / f"forecast.{suffix}" for suffix in ("csv", "md"))
    assert page.read_text(encoding="utf-8").startswith("# Forecast\n\n| table ")
    before = table.read_text(encoding="utf-8")
    assert "table4,verdict,to_do,35," in before
    write(folder / "runs/dpo_mistral-7b_hh_00000000/run.json", '{"spec": 1')
    again = checkout.snakemake(*arguments)
    assert again.returncode != 0
    assert "run.json is no readable JSON" in again.stdout + again.stderr
