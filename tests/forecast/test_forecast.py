"""What a forecast counts: calls and USD against the papers' run matrix, shared and finished jobs, measured rates."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from forecast_helpers import (
    RESULTS,
    benchmark,
    earlier_run,
    earlier_sample,
    earlier_verdicts,
    job_of,
    of,
    one,
    write,
)

from prefrepro.errors import UserError
from prefrepro.inspect.forecast.lines import Forecast, forecast
from prefrepro.inspect.forecast.report import as_csv, as_json, as_markdown, as_text
from prefrepro.plan.build import make_plan
from prefrepro.specs.forecast import Rates

PAPER = {"scale": "paper", "judge": "openai"}
SECONDS = 3600


def calls(found: Forecast, evaluation: str, paper: str = "") -> float:
    """Judge calls of an evaluation, each verdict set once."""
    nodes = found.forecaster.plan.nodes
    jobs = [job for job in found.together.jobs if job.kind == "verdict"]
    in_paper = {node for line in found.lines if line.target.startswith(paper) for node in (job.id for job in line.jobs)}
    return sum(
        job.amounts["calls"] or 0
        for job in jobs
        if nodes[job.id].spec["evaluation"] == evaluation and job.id in in_paper
    )


def printed(**config: str) -> Forecast:
    plan = make_plan({**PAPER, **config})
    return forecast(plan, plan.printed)


def test_judge_calls_are_those_of_the_run_matrix() -> None:
    """runs.json, summary: judge_calls_gpt4_0613, judge_calls_rpo_alpaca, judge_calls_swepo_one_generation_set."""
    found = printed(alpaca_annotator="code", generations="greedy")
    assert calls(found, "pairwise") == 13_824
    assert calls(found, "alpaca_eval", "table") == 6_400
    assert calls(found, "alpaca_eval", "swepo") == 10_465
    assert calls(printed(), "alpaca_eval", "swepo") == 10 * 10_465, "greedy and three each at three temperatures"
    assert calls(printed(protocol="robust"), "pairwise") == 2 * 13_824


def test_table_4_costs_what_was_computed_from_published_token_counts() -> None:
    """docs/judging.md#prices: 20.7 USD at gpt-4.1's price, with the fn annotator; 12 for Swepo Table 1, one decode."""
    found = of("table4", "swepo_table1", **PAPER, alpaca_annotator="code", generations="greedy")
    table4, swepo = (line.sum("all").amounts["cost_usd"] for line in found.lines[:2])
    assert table4 == pytest.approx(20.7, rel=0.1)
    assert swepo == pytest.approx(12, rel=0.1)


def test_held_out_pairs_count_as_many_as_are_kept() -> None:
    """All of TL;DR's 92,858 comparisons are trained on; of the 86,086 of its validation split 1,024 are scored."""
    plan = make_plan(PAPER)
    jobs = {plan.nodes[job.id].inputs["data"].partition("_")[0]: job for job in of("table4", **PAPER).lines[0].jobs
            if job.kind == "reference" and "train" in plan.nodes[job.id].spec["parts"]}  # fmt: skip
    assert jobs["tldr-hub"].amounts["sequences"] == 2 * (92_858 + 1024)
    assert jobs["hh-hub"].amounts["sequences"] == 2 * (160_800 + 1024)


def test_ratings_and_games_are_two_calls_an_answer() -> None:
    """Ten answers to each prompt: greedy and three each at three temperatures (Swepo, section 6)."""
    for side, draws in {"paper": 10, "greedy": 1}.items():
        found = of("swepo_mtbench", "swepo_arenahard", **PAPER, generations=side)
        for evaluation, n in {"mt-bench": 80, "arena-hard": 500}.items():
            sets = [job for job in found.together.jobs if job.kind == "verdict" and evaluation in job.id]
            assert sets
            assert {job.amounts["calls"] for job in sets} == {2 * n * draws}


def test_a_shared_job_counts_in_each_table_and_once_together() -> None:
    found = of("table1", "table4")
    ids = [{job.id for job in line.jobs} for line in found.lines]
    assert ids[0] & ids[1]
    assert ids[2] == ids[0] | ids[1]
    for line in found.lines:
        assert len({job.id for job in line.jobs}) == len(line.jobs) == line.sum("all").jobs
    both = found.together.sum("all")
    assert both.jobs == len(ids[0] | ids[1]) < sum(line.sum("all").jobs for line in found.lines[:2])
    assert both.amounts["calls"] < sum(line.sum("all").amounts["calls"] for line in found.lines[:2])


def test_a_table_without_runs_is_a_line_of_zeros() -> None:
    line = of("table5").lines[0]
    assert line.sum("all").jobs == 1
    assert not any(line.sum("all").amounts.values())


def test_what_is_done_is_no_longer_to_do() -> None:
    plan = make_plan()
    node = one(plan, "verdict", "dpo")
    earlier_verdicts(node.id, node.spec, [(100, 4)] * 512, asked=512)
    line = forecast(plan, ["table1"]).lines[0]
    assert line.sum("all", ("verdict",)).jobs == 5
    assert line.sum("to_do", ("verdict",)).jobs == 4
    assert line.sum("to_do").amounts["calls"] == 4 * 512
    assert "20 of 21" in as_text(of("table1"))


def test_hours_follow_earlier_runs_of_the_same_method_and_model() -> None:
    """Median of their seconds per token, start included where Snakemake measured it."""
    node = one(make_plan(), "run", "dpo")
    config_hours = job_of(of("table1"), node).amounts["hours"]
    for number, seconds in enumerate((1.0, 2.0, 90.0)):
        earlier_run(f"dpo_mistral-7b_hh_0000000{number}", tokens=1000, wall_s=0.5)
        benchmark("align", f"dpo_mistral-7b_hh_0000000{number}", seconds)
    earlier_run("dpo_llama2-7b_hh_00000009", tokens=1000, wall_s=500.0)
    job = job_of(of("table1"), node)
    assert job.basis == "measured"
    assert job.amounts["hours"] == pytest.approx((job.amounts["tokens"] or 0) * 0.002 / SECONDS)
    assert config_hours != job.amounts["hours"]
    other = job_of(of("table1"), one(make_plan(), "run", "rpo-paired"))
    assert other.basis == "measured", "another method of the same model is nearer than the config"


def test_a_run_that_went_on_after_a_kill_counts_all_its_attempts() -> None:
    earlier_run("dpo_mistral-7b_hh_00000000", tokens=1000, wall_s=1.0, train_s=5.0)
    benchmark("align", "dpo_mistral-7b_hh_00000000", 2.0)
    job = job_of(of("table1"), one(make_plan(), "run", "dpo"))
    assert job.amounts["hours"] == pytest.approx((job.amounts["tokens"] or 0) * 0.005 / SECONDS)


def test_references_and_embeddings_follow_earlier_ones_by_their_sequences() -> None:
    reference = {"truncation": {"train": {"sequences": 80}, "eval": {"sequences": 20}}, "wall_s": 5.0}
    write(RESULTS / "reference/sft_mistral-7b_embedded-dialogue_00000000/manifest.json", reference)
    write(RESULTS / "embeddings/all-MiniLM-L6-v2_hh_00000000/manifest.json", {"texts": 10, "wall_s": 20.0})
    found, plan = of("table1"), make_plan()
    for kind, seconds in (("reference", 0.05), ("embeddings", 2.0)):
        job = job_of(found, one(plan, kind, ""))
        assert job.basis == "measured"
        assert job.amounts["hours"] == pytest.approx((job.amounts["sequences"] or 0) * seconds / SECONDS)


def test_answers_and_their_time_follow_earlier_samples() -> None:
    earlier_sample("ipo_mistral-7b_hh_00000000", n=10, mean_tokens=50.0, wall_s=100.0)
    job = job_of(of("table1"), one(make_plan(), "sample", "dpo"))
    assert job.amounts["answers"] == 512
    assert job.amounts["tokens"] == 512 * 50
    assert job.amounts["hours"] == pytest.approx(512 * 50 * 0.2 / SECONDS)


def test_a_judge_call_follows_earlier_ones_to_the_same_judge() -> None:
    plan = make_plan()
    node = one(plan, "verdict", "dpo")
    earlier_verdicts("old_00000000", node.spec, [(90, 3), (110, 5)], asked=2, wall_s=4.0)
    other = node.spec | {"judge": node.spec["judge"] | {"name": "another"}}
    earlier_verdicts("old_00000001", other, [(9000, 30)], asked=1, wall_s=400.0)
    job = job_of(of("table1"), node)
    assert (job.amounts["prompt_tokens"], job.amounts["completion_tokens"]) == (512 * 100, 512 * 4)
    assert job.amounts["hours"] == pytest.approx(512 * 2 / SECONDS)
    assert job.amounts["cost_usd"] == 0


def test_what_an_older_version_left_tells_nothing() -> None:
    before = as_text(of("table1"))
    for path in ("runs/dpo_mistral-7b_hh_0/run.json", "samples/dpo_mistral-7b_hh_0/manifest.json"):
        write(RESULTS / path, {"spec": {}, "row": {"tokens": None}})
    write(RESULTS / "verdicts/dpo_mistral-7b_hh_0/manifest.json", {"spec": {"judge": {"name": "gpt"}}, "n": 256})
    assert as_text(of("table1")) == before


def test_a_built_data_set_is_counted_as_it_is() -> None:
    plan = make_plan()
    data, run = one(plan, "data", ""), one(plan, "run", "dpo")
    planned = job_of(of("table1"), run).amounts["sequences"]
    rows = {"train": 160, "eval": 10, "prompts": 40, "pretrain": 64, "judge": 0}
    write(RESULTS / f"data/{data.id}/manifest.json", {"rows": rows})
    found = of("table1")
    assert planned == 2 * data.spec["source"]["rows"]["train"]
    assert job_of(found, run).amounts["sequences"] == 2 * 160
    assert job_of(found, one(plan, "verdict", "dpo")).amounts["calls"] == 40


def test_what_is_not_known_is_said_and_is_no_zero() -> None:
    plan = make_plan(PAPER)
    plan.scale = {**plan.scale, "forecast": Rates()}
    found = forecast(plan, ["table1"])
    total = found.lines[0].sum("all")
    assert total.amounts["calls"] == 5 * 256
    assert total.unknown["cost_usd"] == 5
    assert total.unknown["hours"] > 0
    text = as_text(found)
    assert "unknown" in text
    assert "NOT KNOWN, cost_usd of" in text
    row = next(row for row in csv.DictReader(io.StringIO(as_csv(found))) if row["kind"] == "verdict")
    assert (row["cost_usd"], row["unknown_cost_usd"]) == ("", "5")


def test_a_judge_without_a_price_costs_an_unknown_sum() -> None:
    plan = make_plan(PAPER)
    node = one(plan, "verdict", "dpo")
    plan.nodes[node.id] = replace(node, spec=node.spec | {"judge": node.spec["judge"] | {"price_usd_per_mtok": None}})
    total = forecast(plan, ["table1"]).lines[0].sum("all")
    assert total.unknown == {"cost_usd": 1}
    assert total.amounts["cost_usd"] == pytest.approx(4 * 256 * (300 * 2 + 10 * 8) / 1e6)


def test_arithmetic_is_not_shown_as_measured() -> None:
    assert "arithmetic, NOT measured" in as_text(of("table1", **PAPER))
    assert "NOT measured" not in as_text(of("table1"))
    assert "from memory of the hub" in as_markdown(of("table1", **PAPER))


def test_a_judge_without_a_price_of_its_own_is_free() -> None:
    text = as_text(forecast(make_plan({}), ["table1"]))
    assert re.search(r"^table1 .* free$", text, re.MULTILINE)
    assert "Judge embedded-world (embedded-world-judge): free" in text


def test_a_judges_own_limit_below_the_forecast_is_said() -> None:
    said = "openai.yaml stops at 25 USD, before the end"
    assert said in as_text(of("swepo_table1", **PAPER))
    assert said not in as_text(of("table1", **PAPER))
    assert said not in as_text(of("swepo_table1", **PAPER, budget_usd=200))


def test_json_and_csv_hold_the_same_sums() -> None:
    found = of("table1", "table8")
    whole = as_json(found)
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [table["target"] for table in whole["tables"]] == ["table1", "table8"]
    assert whole["together"]["jobs"]["sample"] == {"all": 12, "to_do": 12}
    for name in ("table1", "table8", "together"):
        of_table = [row for row in rows if row["table"] == name and row["state"] == "all"]
        line = next(line for line in found.lines if line.target == name)
        assert sum(int(row["jobs"]) for row in of_table) == line.sum("all").jobs
        total = sum(float(row["calls"]) for row in of_table if row["calls"])
        assert total == line.sum("all").amounts["calls"]


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(UserError, match=r'"tabel4" is no target\..*Did you mean table4\?'):
        of("tabel4")


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("runs/dpo_mistral-7b_hh_00000000/run.json", "{", "no readable JSON"),
        ("benchmarks/align/dpo_mistral-7b_hh_00000000.tsv", "h:m:s\n0:00:01\n", 'no column "s"'),
    ],
)
def test_an_unreadable_earlier_job_is_named(path: str, text: str, said: str, workplace: Path) -> None:
    earlier_run("dpo_mistral-7b_hh_00000000", tokens=10, wall_s=1.0)
    write(RESULTS / path, text)
    with pytest.raises(UserError, match=said) as error:
        of("table1")
    assert path.rpartition("/")[2] in str(error.value)
