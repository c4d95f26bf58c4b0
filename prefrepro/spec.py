"""What people write in YAML, read and checked: user config, scales, papers, models, datasets.

Collects all problems of a specification and reports them together. Tables stand in table_spec.py; plan.py expands
what is read here.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from prefrepro.data.source_schema import check_named
from prefrepro.errors import UserError, nearest
from prefrepro.introspect import ROOT, show
from prefrepro.train.track import problem as track_problem

READINGS = ("paper", "code")
PROTOCOLS = ("paper", "robust")
EXTERNAL = ("cite", "run")


@dataclass(frozen=True, slots=True)
class Config:
    """What a user sets with --config; config/config.yaml says what each means."""

    scale: str = "embedded"
    reading: str = "paper"
    protocol: str = "paper"
    seeds: int = 1
    judge: str | None = None
    hh_files: str | None = None
    budget_usd: float | None = None
    published: str | None = None
    external: str = "cite"
    track: str | None = None
    switches: dict[str, str] = field(default_factory=dict)
    """Switch of a paper -> its side, where that is not the reading's. On a command line each is a key of its own."""

    def arguments(self) -> list[str]:
        """KEY=VALUE for everything that is not default: how a job is told what its workflow was told."""
        default, own = asdict(Config()), asdict(self)
        chosen = own.pop("switches")
        return [f"{key}={value}" for key, value in ({k: v for k, v in own.items() if v != default[k]} | chosen).items()]


def make_config(given: dict[str, Any]) -> Config:
    """A checked Config. Raises UserError with every problem found."""
    sides = switch_sides()
    known = [entry.name for entry in fields(Config) if entry.name != "switches"]
    problems = unknown_keys(given, [*known, *sides], "--config")
    values = {key: _plain(key, value) for key, value in given.items() if key in known}
    chosen = {key: str(given[key]) for key in sorted(sides) if given.get(key) not in (None, "", "null")}
    config = Config(**{key: value for key, value in values.items() if value is not None}, switches=chosen)
    problems += [
        f'--config {key} is "{side}"; expected {" or ".join(sides[key])}'
        for key, side in chosen.items()
        if side not in sides[key]
    ]
    scales = names_in("scales")
    if config.scale not in scales:
        problems.append(
            f'--config scale is "{config.scale}". Known: {", ".join(scales)}.{nearest(config.scale, scales)}'
        )
    for key, allowed in (("reading", READINGS), ("protocol", PROTOCOLS), ("external", EXTERNAL)):
        if getattr(config, key) not in allowed:
            problems.append(f'--config {key} is "{getattr(config, key)}"; expected {" or ".join(allowed)}')
    if not isinstance(config.seeds, int) or isinstance(config.seeds, bool) or config.seeds < 1:
        problems.append(f"--config seeds is {config.seeds!r}; expected a whole number of at least 1")
    if config.judge is not None and config.judge not in names_in("judges"):
        judges = names_in("judges")
        problems.append(
            f'--config judge is "{config.judge}". Known: {", ".join(judges)}.{nearest(config.judge, judges)}'
        )
    problems += filter(None, [track_problem(config.track)])
    budget = config.budget_usd
    if budget is not None and not (isinstance(budget, int | float) and not isinstance(budget, bool) and budget >= 0):
        problems.append(f"--config budget_usd is {config.budget_usd!r}; expected a number of at least 0")
    report(problems)
    return config


def _plain(key: str, value: Any) -> Any:
    """Text from a command line as YAML reads it, but a path as it was typed; everything else as it is."""
    if key in ("hh_files", "published"):
        return None if value in (None, "", "null") else str(value)
    try:
        plain = yaml.safe_load(value) if isinstance(value, str) else value
        # 1e-05 is a number to everybody but YAML 1.1.
        return float(plain) if key == "budget_usd" and isinstance(plain, str) else plain
    except yaml.YAMLError as error:
        raise UserError(f"--config {key} is {value!r}, which is not valid YAML: {error}") from None
    except ValueError:
        return value


def report(problems: list[str]) -> None:
    """Raise one UserError that lists every problem once; nothing where there is none."""
    problems = list(dict.fromkeys(problems))
    if len(problems) == 1:
        raise UserError(problems[0])
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise UserError(f"{len(problems)} problems:\n{listed}", problems)


def unknown_keys(mapping: dict[str, Any], known: list[str], where: str) -> list[str]:
    """One problem for each key that nobody reads."""
    return [
        f'{where}: "{key}" is unknown. Known: {", ".join(known)}.{nearest(str(key), known)}'
        for key in mapping
        if key not in known
    ]


@cache
def read_yaml(path: Path) -> Any:
    """A YAML file's content. Raises UserError naming file, line and column."""
    try:
        return _load_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{show(path)} does not exist") from None
    except yaml.YAMLError as error:
        raise UserError(f"{show(path)} is not valid YAML: {error}") from None


def _load_yaml(text: str) -> Any:
    """What yaml.safe_load makes of `text`, by libyaml where PyYAML has it: ten times as fast."""
    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return yaml.safe_load(text)  # its messages show the line


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises UserError."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{show(path)}: expected a mapping, found {'nothing' if content is None else repr(content)}")
    return content


def as_mapping(value: Any, where: str, problems: list[str]) -> dict[str, Any]:
    """`value`, or an empty mapping where it is none; that is a problem unless nothing is given."""
    if value is None or isinstance(value, dict):
        return value or {}
    problems.append(f"{where}: expected a mapping, found {value!r}")
    return {}


def names_in(folder: str) -> list[str]:
    """The names that config/<folder>/ defines, one file each."""
    return sorted(path.stem for path in (ROOT / "config" / folder).glob("*.yaml"))


def read_named(folder: str, name: str, wanted_by: str) -> dict[str, Any]:
    """config/<folder>/<name>.yaml. Raises UserError that says who wanted it and what there is."""
    known = names_in(folder)
    if name not in known:
        raise UserError(
            f'{wanted_by} names "{name}", but config/{folder}/{name}.yaml does not exist. '
            f"Known: {', '.join(known)}.{nearest(name, known)}"
        )
    mapping = read_mapping(ROOT / "config" / folder / f"{name}.yaml")
    check_named(folder, name, mapping)
    return mapping


STAND_INS = ["models", "datasets", "embedders", "judges"]
SETTINGS = ["training", "sft", "reward_model", "sampling"]
ROLLOUT_SOURCES = ["data", "policy", "reference"]
"""Sections of `rollout`: what a rollout method has beside or instead of `training`, by where responses come from;
`reference` is of responses that are rewarded once, before any training (prefrepro/train/reference_rewards.py)."""
REFERENCE_KEYS = ["samples", "max_new_tokens"]
"""Responses to each training prompt, and the most tokens of one."""
ROLLOUT_KEYS = ["ppo_epochs", "minibatches", "max_head_grad_norm", "max_new_tokens"]
"""prefrepro/train/rollout.py says what they mean."""
SCALE_KEYS = [
    "description", "is_comparable", *STAND_INS, "external", "files_judge", *SETTINGS, "rollout", "prompt_sets",
    "evaluations", "max_draws", "forecast", "pretrained_on",
]  # fmt: skip


def read_scale(name: str) -> dict[str, Any]:
    """config/scales/<name>.yaml, checked for unknown and missing keys."""
    scale, where = read_named("scales", name, "--config scale"), f"config/scales/{name}.yaml"
    needed = ("description", "is_comparable", *STAND_INS)
    problems = unknown_keys(scale, SCALE_KEYS, where)
    problems += [f'{where}: "{key}" is missing' for key in needed if scale.get(key) is None]
    sections = (*STAND_INS, *SETTINGS, "rollout", "external", "prompt_sets", "evaluations", "pretrained_on")
    mappings = {key: as_mapping(scale.get(key), f"{where}, {key}", problems) for key in sections}
    mappings["rollout"] = _rollout_sections(mappings["rollout"], where, problems)
    most = scale.get("max_draws")
    if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 1):
        problems.append(f"{where}: max_draws is {most!r}; expected a whole number of at least 1, or null")
    report(problems)
    return scale | mappings | {"max_draws": most}


def read_paper(path: Path) -> dict[str, Any]:
    """A paper's paper.yaml, checked for the sections that planning needs."""
    paper = read_mapping(path)
    lacking = [key for key in (*SETTINGS, "evaluations", "switches") if not isinstance(paper.get(key), dict)]
    problems = [f'{show(path)}: "{key}" is missing, or no mapping' for key in lacking]
    raw = as_mapping(paper.get("rollout"), f"{show(path)}, rollout", problems)
    rollout = _rollout_sections(raw, show(path), problems)
    prompt_sets = as_mapping(paper.get("prompt_sets"), f"{show(path)}, prompt_sets", problems)
    problems += _switch_problems(paper.get("switches"), show(path))
    report(problems)
    return paper | {"rollout": rollout, "prompt_sets": prompt_sets}


SWITCH_SECTIONS = ["training", "sampling", "prompt_sets", "evaluations", "hparams", "source", "planning"]
"""What a side of a switch may set; readings.py says how each is applied."""


def _switch_problems(switches: Any, where: str) -> list[str]:
    problems: list[str] = []
    for name, raw in switches.items() if isinstance(switches, dict) else ():
        here = f"{where}, switch {name}"
        switch = as_mapping(raw, here, problems)
        problems += [f'{here}: "{side}" is missing' for side in ("about", *READINGS) if side not in switch]
        for side, given in switch.items():
            if side not in ("about", "protocol_id"):
                values = as_mapping(given, f"{here}, {side}", problems)
                problems += unknown_keys(values, ["says", *SWITCH_SECTIONS], f"{here}, {side}")
                problems += [f'{here}, {side}: "says" is missing'] if "says" not in values else []
    return problems


@cache
def switch_sides() -> dict[str, list[str]]:
    """Every switch of every paper and the sides it knows; papers whose file is broken are told by planning."""
    sides: dict[str, list[str]] = {}
    for path in sorted((ROOT / "paper_tables").glob("*/paper.yaml")):
        with contextlib.suppress(UserError):
            for name, switch in read_paper(path)["switches"].items():
                known = [side for side in switch if side not in ("about", "protocol_id")]
                sides[name] = list(dict.fromkeys([*sides.get(name, []), *known]))
    return sides


def _rollout_sections(raw: dict[str, Any], where: str, problems: list[str]) -> dict[str, dict[str, Any]]:
    """A mapping for each source of responses, empty where nothing is said."""
    problems += unknown_keys(raw, ROLLOUT_SOURCES, f"{where}, rollout")
    return {name: as_mapping(raw.get(name), f"{where}, rollout, {name}", problems) for name in ROLLOUT_SOURCES}


def stand_in(scale: dict[str, Any], scale_name: str, kind: str, name: str, wanted_by: str) -> str:
    """What stands in for a table's `name` at this scale."""
    known = scale[kind]
    if name not in known:
        raise UserError(
            f'{wanted_by} names the {kind[:-1]} "{name}", for which scale {scale_name} has nothing. '
            f"Known: {', '.join(known)}.{nearest(name, known)}"
        )
    return known[name]
