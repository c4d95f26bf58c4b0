"""What a scale says to the forecast where nothing was measured: config/scales/*.yaml, section `forecast`, checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from prefrepro.specs.files import as_mapping, report, unknown_keys
from prefrepro.specs.rules import is_number, is_text

BASES = ("measured", "arithmetic")
BY_MODEL = ("training", "scoring", "sampling")
PARTS = ("train", "eval", "judge", "pretrain")
FORWARD_ONLY = 3.0
"""A forward pass alone costs a third of one with its backward pass."""


@dataclass(frozen=True, slots=True)
class DataSize:
    """Of one file of config/datasets; None: not known before the data are built."""

    rows: dict[str, int] = field(default_factory=dict)
    """Part -> rows as released: before the data set's own `parts` share them out."""
    unique_prompts: int | None = None
    """Of the rows of train; None: as many as there are rows, which is the most."""
    responses: int | None = None
    """Of one row; None: two, or four of ranked data."""
    prompt_tokens: float | None = None
    """Mean of a sequence as it is trained on."""
    response_tokens: float | None = None
    answer_tokens: float | None = None
    """Mean of what a model answers to a prompt; None: the most that fit are counted."""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """Rates and sizes to fall back on; an empty one knows nothing, and says so."""

    hardware: str = ""
    """What an hour is an hour of."""
    basis: str = "arithmetic"
    """measured, or arithmetic: what the rates are."""
    source: str = ""
    start_s: float = 0.0
    """Seconds before a job that loads a model works: interpreter, imports, weights."""
    tokens_per_s: dict[str, dict[str, float]] = field(default_factory=dict)
    """training | scoring | sampling -> a table's name of a model -> tokens a second of one device."""
    embedding_tokens_per_s: float | None = None
    judge_calls_per_s: float | None = None
    """Of a judge that runs on this hardware; an API judge holds no device."""
    data: dict[str, DataSize] = field(default_factory=dict)
    judge_tokens: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Evaluation (judging.py, label_of) -> mean prompt and completion tokens of one call."""
    judge_tokens_source: str = ""

    def rate(self, stage: str, model: str) -> float | None:
        """Tokens a second; scoring without a rate of its own is training without its backward pass."""
        found = self.tokens_per_s.get(stage, {}).get(model)
        if found is None and stage == "scoring":
            training = self.tokens_per_s.get("training", {}).get(model)
            return None if training is None else FORWARD_ONLY * training
        return found


def read_settings(scale: dict[str, Any], scale_name: str) -> Settings:
    """The scale's `forecast`; empty where it has none. Raises UserError with every problem found."""
    where, problems = f"config/scales/{scale_name}.yaml, forecast", []
    section = as_mapping(scale.get("forecast"), where, problems)
    known = [name for name in Settings.__slots__ if name != "judge_tokens_source"]
    problems += unknown_keys(section, known, where)
    values: dict[str, Any] = {name: section[name] for name in ("hardware", "source") if name in section}
    problems += [f"{where}: {name} is {text!r}; expected text" for name, text in values.items() if not is_text(text)]
    if "basis" in section:
        values["basis"] = section["basis"]
        if section["basis"] not in BASES:
            problems.append(f"{where}: basis is {section['basis']!r}; expected {' or '.join(BASES)}")
    for name in ("start_s", "embedding_tokens_per_s", "judge_calls_per_s"):
        if section.get(name) is not None:
            values[name] = section[name]
            problems += _number_problems(section[name], f"{where}: {name}", least=0 if name == "start_s" else None)
    values["tokens_per_s"] = _rates(
        section.get("tokens_per_s"), list(scale["models"]), f"{where}, tokens_per_s", problems
    )
    values["data"] = _sizes(section.get("data"), f"{where}, data", problems)
    asked = as_mapping(section.get("judge_tokens"), f"{where}, judge_tokens", problems)
    problems += unknown_keys(asked, ["source", "per_call"], f"{where}, judge_tokens")
    values["judge_tokens"] = _per_call(asked.get("per_call"), f"{where}, judge_tokens, per_call", problems)
    values["judge_tokens_source"] = asked.get("source", "")
    if "source" in asked and not is_text(asked["source"]):
        problems.append(f"{where}, judge_tokens: source is {asked['source']!r:.80}; expected text")
    report(problems)
    return Settings(**values)


def _rates(raw: Any, models: list[str], where: str, problems: list[str]) -> dict[str, dict[str, float]]:
    stages = as_mapping(raw, where, problems)
    problems += unknown_keys(stages, list(BY_MODEL), where)
    rates = {}
    for stage, given in stages.items():
        rates[stage] = as_mapping(given, f"{where}, {stage}", problems)
        problems += unknown_keys(rates[stage], models, f"{where}, {stage}")
        for model, rate in rates[stage].items():
            problems += _number_problems(rate, f"{where}, {stage}: {model}")
    return rates


def _sizes(raw: Any, where: str, problems: list[str]) -> dict[str, DataSize]:
    sizes = {}
    for name, given in as_mapping(raw, where, problems).items():
        here = f"{where}, {name}"
        entry = as_mapping(given, here, problems)
        problems += unknown_keys(entry, list(DataSize.__slots__), here)
        rows = as_mapping(entry.get("rows"), f"{here}, rows", problems)
        problems += unknown_keys(rows, list(PARTS), f"{here}, rows")
        numbers = {f"rows, {part}": n for part, n in rows.items()}
        numbers |= {key: entry[key] for key in entry if key not in ("rows", "source")}
        if "source" in entry and not is_text(entry["source"]):
            problems.append(f"{here}: source is {entry['source']!r:.80}; expected text")
        for key, number in numbers.items():
            problems += _number_problems(number, f"{here}: {key}", least=0)
        sizes[name] = DataSize(**{key: value for key, value in entry.items() if key in DataSize.__slots__})
    return sizes


def _per_call(raw: Any, where: str, problems: list[str]) -> dict[str, tuple[float, float]]:
    tokens = {}
    for label, given in as_mapping(raw, where, problems).items():
        if not isinstance(given, list) or len(given) != 2:
            problems.append(f"{where}: {label} is {given!r}; expected [prompt tokens, completion tokens]")
            continue
        for number in given:
            problems += _number_problems(number, f"{where}: {label}", least=0)
        tokens[label] = (given[0], given[1])
    return tokens


def _number_problems(value: Any, where: str, least: float | None = None) -> list[str]:
    """One problem where `value` is no number of at least `least`, or, without one, above 0."""
    if is_number(value) and (value > 0 if least is None else value >= least):
        return []
    return [f"{where} is {value!r}; expected a number {'> 0' if least is None else f'≥ {least:g}'}"]
