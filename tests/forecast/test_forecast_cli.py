"""prefrepro forecast from a shell: exit codes, JSON, what it loads."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from checkout import ROOT, Checkout
from shared import read_scale

from prefrepro.cli.main import main
from prefrepro.errors import EXIT_USER_ERROR, UserError
from prefrepro.specs.files import names_in, read_mapping
from prefrepro.specs.forecast import STAGES
from prefrepro.specs.scale import check_scale

SCALE = read_mapping(ROOT / "config/scales/paper.yaml")
LOADED = """
import sys
import prefrepro.cli.main
from prefrepro.inspect.forecast.lines import forecast
from prefrepro.inspect.forecast.report import as_text
from prefrepro.plan.build import make_plan
plan = make_plan({"scale": "paper"})
as_text(forecast(plan, plan.printed))
print({"torch", "transformers", "pandas", "numpy", "openai", "snakemake"} & set(sys.modules))
"""


def shell(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of prefrepro with these arguments, in this process."""
    monkeypatch.setattr(sys, "argv", ["prefrepro", *arguments])
    try:
        main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def test_the_forecast_of_a_table_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell(monkeypatch, "forecast", "table4", "judge=openai", "--scale", "paper", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [table["target"] for table in found["tables"]] == ["table4"]
    assert found["config"]["scale"] == "paper"
    assert found["tables"][0]["judging"]["to_do"]["calls"] == 21 * 256 + 7 * 256 + 7 * 805
    assert found["together"] == found["tables"][0] | {"target": "together"}
    assert {job["kind"] for job in found["jobs"]} >= {"run", "sample", "verdict"}


def test_all_printed_tables_are_the_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell(monkeypatch, "forecast") == 0
    by_default = capsys.readouterr().out
    assert shell(monkeypatch, "forecast", "tables") == 0
    assert capsys.readouterr().out == by_default
    assert "swepo_table4" in by_default
    assert "embedded_methods" not in by_default


def test_a_budget_that_does_not_suffice_is_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = shell(monkeypatch, "forecast", "table1", "scale=paper", "judge=openai", "budget_usd=0.1")
    out, err = capsys.readouterr()
    assert code == EXIT_USER_ERROR
    assert "together" in out
    assert err.startswith("error: judging would cost 0.87 USD")


def test_a_misspelt_table_or_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell(monkeypatch, "forecast", "tabel1") == EXIT_USER_ERROR
    assert "Did you mean table1?" in capsys.readouterr().err
    assert shell(monkeypatch, "forecast", "table1", "sede=1") == EXIT_USER_ERROR
    assert "Did you mean seeds?" in capsys.readouterr().err


def test_forecasting_is_light() -> None:
    done = Checkout(ROOT, copy=False).python("-c", LOADED)
    assert done.stdout == "set()\n", done.stderr


def problems_of(section: Any) -> str:
    with pytest.raises(UserError) as error:
        check_scale(SCALE | {"models": {"mistral-7b": "tiny-mistral"}, "resources": {}, "forecast": section}, "mine")
    return str(error.value)


def test_every_problem_of_the_section_is_reported_together() -> None:
    said = problems_of(
        {
            "hardwear": "a card",
            "basis": "guessed",
            "start_s": -1,
            "tokens_per_s": {"trainign": {}, "sampling": {"mistral-7b": 0, "mistral-8b": 5}},
            "data": {"hh-hub": {"rows": {"trian": 3}, "prompt_tokens": "many"}},
            "judge_tokens": {"per_call": {"mt_bench": 5, "arena_hard": [1, -2]}},
        }
    )
    for part in (
        'forecast: "hardwear" is unknown',
        "Did you mean hardware?",
        "basis: found 'guessed', expected measured or arithmetic",
        "start_s: found -1, expected a number of at least 0",
        "tokens_per_s.trainign: found 'trainign', expected training, scoring or sampling. Did you mean training?",
        "sampling.mistral-7b: found 0, expected a number above 0",
        '"mistral-8b" is unknown. Known: mistral-7b.',
        "Did you mean train?",
        "prompt_tokens: found 'many'",
        "mt_bench: found 5, expected [prompt tokens, completion tokens]",
        "arena_hard: found [1, -2]",
    ):
        assert part in said, part
    assert said.startswith("10 problems:")


@pytest.mark.parametrize("section", ["fast", [1], {"data": ["hh"]}, {"tokens_per_s": {"training": 5}}])
def test_what_is_no_mapping_is_said(section: Any) -> None:
    assert "expected a mapping" in problems_of(section)


@pytest.mark.parametrize("name", names_in("scales"))
def test_every_scale_knows_the_models_and_data_it_names(name: str) -> None:
    scale = read_scale(name)
    settings = scale["forecast"]
    for stage in STAGES:
        assert all(settings.rate(stage, model) for model in scale["models"]), stage
    assert set(scale["datasets"].values()) == set(settings.data)
    assert settings.hardware
    assert settings.source
    assert settings.judge_tokens
