"""A judge's settings, read from config/judges/*.yaml and checked in one pass.

Knows nothing of HTTP and reads no environment: a key is named here (`api_key_env`), never held.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from prefrepro.errors import UserError, nearest
from prefrepro.specs.rules import is_number, is_text, is_whole
from prefrepro.specs.yaml_loader import load_yaml

KINDS = ("local", "api")
TOKEN_LIMIT_FIELDS = ("max_tokens", "max_completion_tokens")
SCORERS = ("world", "reward-model", "length", "nonsense")


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens."""

    input: float = 0.0
    output: float = 0.0


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """Who judges, how it is asked, and what it may cost."""

    name: str
    kind: str
    """"local": a server that prefrepro starts; "api": any OpenAI-compatible endpoint."""
    model: str
    scorer: str | None = None
    """What a local judge scores with."""
    base_url: str | None = None
    api_key_env: str | None = None
    """Environment variable that holds the key; none where the endpoint wants no key."""
    api_key_file: str | None = None
    """In place of api_key_env: a file that holds the key and that nobody else may read (mode 0600)."""
    served_as: str | None = None
    """What replies call the model, where that is neither its name nor a dated snapshot of it."""
    note: str = ""
    temperature: float = 0.0  # compare.py:229-235
    max_tokens: int = 10  # compare.py:229-235
    token_limit_field: str = "max_tokens"
    """What the judge calls max_tokens; OpenAI's models from gpt-5 on know max_completion_tokens only."""
    reasoning_effort: str | None = None
    """Sent where given; gpt-5.6 and gpt-6 take tools only with "none" (JUDGING.md §4)."""
    seed: int | None = 0  # compare.py:229-235
    concurrency: int = 8
    timeout_s: float = 60.0
    max_retries: int = 6
    reasks: int = 2
    """How often an invalid reply is asked again before it counts as invalid."""
    invalid_limit: float = 0.02
    """Share of invalid verdicts above which the judging fails."""
    price_usd_per_mtok: Price = field(default_factory=Price)
    budget_usd: float | None = None
    requests_per_minute: float | None = None


def load_judge(path: Path) -> JudgeConfig:
    """Read one config/judges/*.yaml. Raises UserError."""
    try:
        values = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: no judge config could be read: {error}") from error
    return judge_config(values, str(path))


def judge_config(values: Any, where: str) -> JudgeConfig:
    """Check a mapping and make it a JudgeConfig; all problems are reported together, with `where`."""
    if not isinstance(values, dict):
        raise UserError(f"{where}: found {type(values).__name__}, expected a mapping of judge settings.")
    known = [entry.name for entry in dataclasses.fields(JudgeConfig)]
    problems = [f'key "{key!s:.80}" is unknown.{nearest(str(key), known)}' for key in values if key not in known]
    problems += [f'key "{key}" is missing.' for key in ("name", "kind", "model") if key not in values]
    for key, (accepts, expected) in _RULES.items():
        if key in values and not accepts(values[key]):
            problems.append(f"{key}: found {values[key]!r:.80}, expected {expected}.")
    problems += _kind_problems(values)
    if problems:
        raise UserError("\n".join(f"{where}: {problem}" for problem in problems))
    price = values.get("price_usd_per_mtok") or {}
    return JudgeConfig(**{**values, "price_usd_per_mtok": Price(**price)})


def _kind_problems(values: dict[str, Any]) -> list[str]:
    problems = []
    if values.get("kind") == "local":
        if values.get("scorer") is None:
            problems.append(f'key "scorer" is missing: kind local wants one of {", ".join(SCORERS)}.')
        problems += [
            f"{key} belongs to kind api, found with kind local."
            for key in ("base_url", "api_key_env", "api_key_file")
            if values.get(key) is not None
        ]
    if values.get("api_key_env") is not None and values.get("api_key_file") is not None:
        problems.append("api_key_env and api_key_file are both there; expected one of them.")
    if values.get("kind") == "api":
        if values.get("base_url") is None:
            problems.append('key "base_url" is missing: kind api wants https://…/v1.')
        if values.get("price_usd_per_mtok") is None:
            problems.append(
                'key "price_usd_per_mtok" is missing: kind api wants {input, output}; zeros for a free one.'
            )
        if values.get("scorer") is not None:
            problems.append("scorer belongs to kind local, found with kind api.")
    return problems


def _number(low: float, high: float = float("inf")) -> Callable[[Any], bool]:
    return lambda value: is_number(value) and low <= value <= high


def _whole(low: int) -> Callable[[Any], bool]:
    return lambda value: is_whole(value, low)


def _or_none(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or accepts(value)


def _url(value: Any) -> bool:
    if not is_text(value) or not value.isprintable():
        return False
    try:
        parts = urlsplit(value)
    except ValueError:  # such as a bracket that is left open
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username and not parts.query


def _price(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"input", "output"} and all(map(_number(0), value.values()))


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (is_text, "a name"),
    "kind": (lambda value: value in KINDS, " or ".join(KINDS)),
    "model": (is_text, "the model's name"),
    "scorer": (_or_none(lambda value: value in SCORERS), "one of " + ", ".join(SCORERS)),
    "base_url": (_or_none(_url), "http(s)://host/v1 without user, password or query"),
    "api_key_env": (_or_none(lambda v: is_text(v) and v.isidentifier()), "an environment variable's name"),
    "api_key_file": (_or_none(is_text), "the path of a file that holds the key, or null"),
    "served_as": (_or_none(is_text), "the model's name in replies, or null"),
    "note": (lambda value: isinstance(value, str), "text"),
    "temperature": (_number(0, 2), "a number from 0 to 2"),
    "max_tokens": (_whole(1), "a whole number ≥ 1"),
    "token_limit_field": (lambda value: value in TOKEN_LIMIT_FIELDS, " or ".join(TOKEN_LIMIT_FIELDS)),
    "reasoning_effort": (_or_none(is_text), "the effort's name, as text, or null"),
    "seed": (_or_none(_whole(0)), "a whole number ≥ 0 or null"),
    "concurrency": (_whole(1), "a whole number ≥ 1"),
    "timeout_s": (_number(0.001), "seconds > 0"),
    "max_retries": (_whole(0), "a whole number ≥ 0"),
    "reasks": (_whole(0), "a whole number ≥ 0"),
    "invalid_limit": (_number(0, 1), "a share from 0 to 1"),
    "price_usd_per_mtok": (_or_none(_price), "{input: USD, output: USD}, both ≥ 0"),
    "budget_usd": (_or_none(_number(0)), "USD ≥ 0 or null"),
    "requests_per_minute": (_or_none(_number(0.001)), "a number > 0 or null"),
}
