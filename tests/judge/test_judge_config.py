"""Judge configs: the shipped ones load, wrong ones tell all their problems at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from judge_helpers import ROOT

from prefrepro.errors import UserError
from prefrepro.judge.endpoint import api_endpoint
from prefrepro.specs.judge import Price, judge_config, load_judge

API = {
    "name": "x",
    "kind": "api",
    "model": "m",
    "base_url": "https://api.example.org/v1",
    "price_usd_per_mtok": {"input": 1, "output": 2},
}


@pytest.mark.parametrize("path", sorted((ROOT / "config" / "judges").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_judges_load(path: Path) -> None:
    config = load_judge(path)
    assert config.name == path.stem, "messages name config/judges/<name>.yaml"
    if path.stem not in ("anthropic", "gemini", "openai-large", "openai-mini"):  # which refuse them, or think first
        assert (config.temperature, config.max_tokens, config.seed) == (0, 10, 0)  # compare.py:229-235
    assert config.successor is None or (path.parent / f"{config.successor}.yaml").is_file()
    assert config.kind == "local" or config.base_url != "https://api.openai.com/v1" or config.budget_usd


def test_all_problems_are_told_together() -> None:
    values = {
        "name": "x",
        "kind": "api",
        "modle": "m",
        "temperature": "hot",
        "concurrency": True,
        "scorer": "length",
    }
    with pytest.raises(UserError) as caught:
        judge_config(values, "x.yaml")
    told = str(caught.value)
    for problem in (
        'x.yaml: "modle" is unknown',
        "Did you mean model?",
        '"model" is missing',
        "temperature: found 'hot', expected a number from 0 to 2",
        "concurrency: found True",
        '"base_url" is missing',
        '"price_usd_per_mtok" is missing',
        "scorer: does not belong to kind api",
    ):
        assert problem in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "remote"}, "kind: found 'remote', expected local or api"),
        ({"base_url": "https://me:secret@host/v1"}, "without user, password"),
        ({"price_usd_per_mtok": {"input": 1}}, "expected {input: USD, output: USD}"),
        ({"kind": "local"}, '"scorer" is missing'),
        ({"budget_usd": -1}, "budget_usd: found -1"),
    ],
)
def test_wrong_values(change: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        judge_config({**API, **change}, "x.yaml")
    assert told in str(caught.value)


@pytest.mark.parametrize("values", [None, [], "text"])
def test_not_a_mapping(values: Any) -> None:
    with pytest.raises(UserError, match="expected a mapping"):
        judge_config(values, "x.yaml")


def test_key_comes_from_the_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    config = judge_config({**API, "api_key_env": "JUDGE_TEST_KEY"}, "x.yaml")
    assert config.price_usd_per_mtok == Price(1, 2)
    monkeypatch.delenv("JUDGE_TEST_KEY", raising=False)
    with pytest.raises(UserError, match="export JUDGE_TEST_KEY="):
        api_endpoint(config)
    monkeypatch.setenv("JUDGE_TEST_KEY", "s3cret-key")
    endpoint = api_endpoint(config)
    assert endpoint.api_key == "s3cret-key" and "s3cret-key" not in repr(endpoint) + repr(config)


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_judge(tmp_path / "none.yaml")
