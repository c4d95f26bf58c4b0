"""User config, scales and papers, checked: all problems of one together. Tables stand in table_spec.py; plan.py expands
what is read here.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT, show
from prefrepro.specs.files import as_mapping, names_in, read_mapping, report, unknown_keys
from prefrepro.specs.method import hparam_problems, read_method
from prefrepro.specs.rules import COUNT, FLAG, TEXT, flags_of, is_number, is_text, is_whole, one_of
from prefrepro.specs.settings import EVALUATION, PLANNING, ROLLOUT, SAMPLING, SOURCE, TRAINING, keys_of, value_problems
from prefrepro.specs.sources import read_named
from prefrepro.specs.yaml_loader import load_yaml
from prefrepro.train.tracking import problem as track_problem

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
    if not is_whole(config.seeds, 1):
        problems.append(f"--config seeds is {config.seeds!r}; expected a whole number of at least 1")
    if config.judge is not None and config.judge not in names_in("judges"):
        judges = names_in("judges")
        problems.append(
            f'--config judge is "{config.judge}". Known: {", ".join(judges)}.{nearest(config.judge, judges)}'
        )
    problems += filter(None, [track_problem(config.track)])
    budget = config.budget_usd
    if budget is not None and not (is_number(budget) and budget >= 0):
        problems.append(f"--config budget_usd is {config.budget_usd!r}; expected a number of at least 0")
    report(problems)
    return config


def _plain(key: str, value: Any) -> Any:
    """Text from a command line as YAML reads it, but a path as it was typed; everything else as it is."""
    if key in ("hh_files", "published"):
        return None if value in (None, "", "null") else str(value)
    try:
        return load_yaml(value) if isinstance(value, str) else value
    except yaml.YAMLError as error:
        raise UserError(f"--config {key} is {value!r:.80}, which is not valid YAML: {error}") from None


STAND_INS = ["models", "datasets", "embedders", "judges"]
SETTINGS = ["training", "sft", "reward_model", "sampling"]
SAMPLING_DEFAULTS = {"engine": "transformers", "seed_per": "draw"}  # what is no paper's to say: docs/sampling.md
ROLLOUT_SOURCES = ["data", "policy", "reference"]
"""Sections of `rollout`: what a rollout method has beside or instead of `training`, by where responses come from;
`reference` is of responses that are rewarded once, before any training (prefrepro/model/reference_rewards.py)."""
REFERENCE_KEYS = ["samples", "max_new_tokens"]
"""Responses to each training prompt, and the most tokens of one."""
ROLLOUT_KEYS = ["ppo_epochs", "minibatches", "max_head_grad_norm", "max_new_tokens"]
"""prefrepro/model/training.py says what they mean."""
SCALE_KEYS = [
    "description", "is_comparable", *STAND_INS, "external", "files_judge", *SETTINGS, "rollout", "prompt_sets",
    "evaluations", "max_draws", "forecast", "resources", "pretrained_on", "engine",
]  # fmt: skip


_SCALE_RULES = {"description": TEXT, "is_comparable": FLAG, "files_judge": TEXT, "max_draws": COUNT}
_SCALE_RULES["engine"] = flags_of("activation_checkpointing", "compile")  # specs/runtime.py
PAPER_KEYS = [
    "title", "arxiv", *SETTINGS, "rollout", "prompt_sets", "start", "evaluations", "switches",
]  # fmt: skip
_PAPER_RULES = {"title": TEXT, "arxiv": TEXT, "start": one_of("sft", "base")}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What becomes part of a path."""


def read_scale(name: str) -> dict[str, Any]:
    """config/scales/<name>.yaml, checked."""
    return check_scale(read_named("scales", name, "--config scale"), f"config/scales/{name}.yaml")


def check_scale(scale: dict[str, Any], where: str) -> dict[str, Any]:
    """A scale with a mapping for each of its sections. Raises UserError with every problem.

    Which settings there are is the paper's to say, so that planning (plan.py) checks `training` and the like.
    """
    needed = ("description", "is_comparable", *STAND_INS)
    problems = unknown_keys(scale, SCALE_KEYS, where)
    problems += [f'{where}: "{key}" is missing' for key in needed if scale.get(key) is None]
    problems += value_problems(_SCALE_RULES, {k: scale[k] for k in _SCALE_RULES if scale.get(k) is not None}, where)
    sections = (*STAND_INS, *SETTINGS, "rollout", "external", "prompt_sets", "evaluations", "pretrained_on", "engine")
    mappings = {key: as_mapping(scale.get(key), f"{where}, {key}", problems) for key in sections}
    for section in (*STAND_INS, "external", "pretrained_on"):
        for key, value in mappings[section].items():
            if NAME.fullmatch(key) is None:
                problems.append(f"{where}, {section}: the name {key!r:.80} is not made of letters, digits, . _ and -")
            if not is_text(value):
                problems.append(f"{where}, {section}: {key} is {value!r:.80}; expected a name in config/")
    both = [*mappings["pretrained_on"], *map(str, mappings["pretrained_on"].values())]
    problems += unknown_keys(dict.fromkeys(both), list(mappings["datasets"]), f"{where}, pretrained_on")
    mappings["rollout"] = _rollout_sections(mappings["rollout"], where, problems)
    mappings["prompt_sets"] = _of_mappings(mappings["prompt_sets"], f"{where}, prompt_sets", problems)
    mappings["evaluations"] = _evaluations(mappings["evaluations"], f"{where}, evaluations", problems)
    for name, more in {"prompt_sets": mappings["datasets"], "evaluations": ()}.items():
        problems += unknown_keys(mappings[name], [*_names_in_papers(name), *more], f"{where}, {name}")
    report(problems)
    return scale | mappings | {"max_draws": scale.get("max_draws")}


def _names_in_papers(section: str) -> list[str]:
    """The names that any paper gives in a section; a paper whose file is broken is told by planning."""
    names: list[str] = []
    for path in sorted((ROOT / "paper_tables").glob("*/paper.yaml")):
        with contextlib.suppress(UserError):
            names += as_mapping(read_mapping(path).get(section), "", [])
    return list(dict.fromkeys(names))


def read_paper(path: Path) -> dict[str, Any]:
    """A paper's paper.yaml, checked."""
    return check_paper(read_mapping(path), show(path))


def check_paper(paper: dict[str, Any], where: str) -> dict[str, Any]:
    """A paper with the sections that planning needs. Raises UserError with every problem."""
    problems = unknown_keys(paper, PAPER_KEYS, where)
    lacking = [key for key in (*SETTINGS, "evaluations", "switches") if not isinstance(paper.get(key), dict)]
    problems += [f'{where}: "{key}" is missing, or no mapping' for key in lacking]
    rollout = _rollout_sections(as_mapping(paper.get("rollout"), f"{where}, rollout", problems), where, problems)
    prompt_sets = as_mapping(paper.get("prompt_sets"), f"{where}, prompt_sets", problems)
    evaluations = as_mapping(paper.get("evaluations"), f"{where}, evaluations", problems)
    problems += value_problems(_PAPER_RULES, {k: paper[k] for k in _PAPER_RULES if k in paper}, where)
    made = {
        "rollout": rollout,
        "prompt_sets": _of_mappings(prompt_sets, f"{where}, prompt_sets", problems),
        "evaluations": _evaluations(evaluations, f"{where}, evaluations", problems),
    }
    for name, evaluation in made["evaluations"].items():
        wanted = ("evaluation", "judge", "template" if evaluation.get("evaluation") == "pairwise" else "prompts")
        problems += [f'{where}, evaluations, {name}: "{key}" is missing' for key in wanted if key not in evaluation]
    training, sampling = (paper[key] if key not in lacking else {} for key in ("training", "sampling"))
    for key in SETTINGS:
        rules = SAMPLING if key == "sampling" else TRAINING
        if key not in lacking:
            problems += value_problems(rules, paper[key], f"{where}, {key}", training)
    for key, rules, values in (("training", TRAINING, training), ("sampling", SAMPLING, sampling)):
        known = (*(keys_of(values) if key == "training" else values), "generations", *SAMPLING_DEFAULTS)
        missing = [] if key in lacking else [rule for rule in rules if rule not in known]
        problems += unknown_keys(values, list(rules), f"{where}, {key}")
        problems += [f'{where}, {key}: "{name}" is missing' for name in missing]
    for name in ("sft", "reward_model"):
        if name not in lacking:
            problems += unknown_keys(paper[name], keys_of(training), f"{where}, {name}")
    problems += _rollout_problems(rollout, training, where)
    for name, values in made["prompt_sets"].items():
        problems += unknown_keys(values, list(SAMPLING), f"{where}, prompt_sets, {name}")
        problems += value_problems(SAMPLING, values, f"{where}, prompt_sets, {name}")
    problems += _switch_problems(paper.get("switches"), training, where)
    for name in ("prompt_sets", "evaluations"):
        for here, given in _sides_that_set(paper.get("switches"), name, where):
            problems += unknown_keys(given, list(made[name]), f"{here}, {name}")
    report(problems)
    return paper | made | {"sampling": SAMPLING_DEFAULTS | sampling}


SWITCH_SECTIONS = ["training", "sampling", "prompt_sets", "evaluations", "hparams", "source", "planning"]
"""What a side of a switch may set; readings.py says how each is applied."""


def _switch_problems(switches: Any, training: dict[str, Any], where: str) -> list[str]:
    problems: list[str] = []
    for name, raw in switches.items() if isinstance(switches, dict) else ():
        here = f"{where}, switch {name}"
        if name in {entry.name for entry in fields(Config)}:
            problems.append(f"{here}: the name is a key of --config; take another")
        switch = as_mapping(raw, here, problems)
        problems += [f'{here}: "{side}" is missing' for side in ("about", *READINGS) if side not in switch]
        for side, given in switch.items():
            if side in ("about", "protocol_id"):
                problems += [] if is_text(given) else [f"{here}: {side} is {given!r:.80}; expected text"]
                continue
            values = as_mapping(given, f"{here}, {side}", problems)
            problems += unknown_keys(values, ["says", *SWITCH_SECTIONS], f"{here}, {side}")
            if not is_text(values.get("says")):
                problems.append(f'{here}, {side}: "says" is missing, or no text')
            problems += _side_problems(values, training, f"{here}, {side}")
    return problems


def _sides_that_set(switches: Any, section: str, where: str) -> list[tuple[str, dict[str, Any]]]:
    """(where, what is set) of every side of a switch that sets something in `section`, by name."""
    named = switches.items() if isinstance(switches, dict) else ()
    sides = [(f"{where}, switch {n}, {s}", v) for n, w in named if isinstance(w, dict) for s, v in w.items()]
    return [(here, v[section]) for here, v in sides if isinstance(v, dict) and isinstance(v.get(section), dict)]


def _side_problems(values: dict[str, Any], training: dict[str, Any], where: str) -> list[str]:
    """Of what one side of a switch sets."""
    problems: list[str] = []
    plain = {"training": TRAINING, "sampling": SAMPLING, "source": SOURCE, "planning": PLANNING}
    for name, rules in plain.items():
        section = as_mapping(values.get(name), f"{where}, {name}", problems)
        known = keys_of(training) if name == "training" else list(rules)
        problems += unknown_keys(section, known, f"{where}, {name}")
        problems += value_problems(rules, section, f"{where}, {name}", training)
    for name, rules in (("prompt_sets", SAMPLING), ("evaluations", EVALUATION)):
        for key, raw in as_mapping(values.get(name), f"{where}, {name}", problems).items():
            section = as_mapping(raw, f"{where}, {name}, {key}", problems)
            problems += unknown_keys(section, list(rules), f"{where}, {name}, {key}")
            problems += value_problems(rules, section, f"{where}, {name}, {key}")
    for key, raw in as_mapping(values.get("hparams"), f"{where}, hparams", problems).items():
        given = as_mapping(raw, f"{where}, hparams, {key}", problems)
        try:
            problems += [f"{where}, hparams: {one}" for one in hparam_problems(read_method(key), given)]
        except UserError as error:
            problems.append(f"{where}, hparams: {error}")
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


def _rollout_problems(rollout: dict[str, dict[str, Any]], training: dict[str, Any], where: str) -> list[str]:
    """Of the sections of `rollout`: unknown settings, and values that make no sense."""
    problems = []
    for source in ROLLOUT_SOURCES:
        here = f"{where}, rollout, {source}"
        keys = REFERENCE_KEYS if source == "reference" else [*keys_of(training), *ROLLOUT_KEYS, "hparams"]
        problems += unknown_keys(rollout[source], keys, here)
        problems += value_problems(TRAINING | ROLLOUT, rollout[source], here, training)
    return problems


def settings_problems(scale: dict[str, Any], paper: dict[str, Any], where: str) -> list[str]:
    """Of a scale's settings, under a paper that says which there are: unknown ones, and values that make no sense."""
    problems, training = [], paper["training"]
    for section in SETTINGS:
        rules, known = (SAMPLING, list(SAMPLING)) if section == "sampling" else (TRAINING, keys_of(training))
        problems += unknown_keys(scale[section], known, f"{where}, {section}")
        problems += value_problems(rules, scale[section], f"{where}, {section}", training)
    for name, values in scale["prompt_sets"].items():
        problems += unknown_keys(values, list(SAMPLING), f"{where}, prompt_sets, {name}")
        problems += value_problems(SAMPLING, values, f"{where}, prompt_sets, {name}")
    return problems + _rollout_problems(scale["rollout"], training, where)


def _of_mappings(raw: dict[str, Any], where: str, problems: list[str]) -> dict[str, dict[str, Any]]:
    return {key: as_mapping(value, f"{where}, {key}", problems) for key, value in raw.items()}


def _evaluations(raw: dict[str, Any], where: str, problems: list[str]) -> dict[str, dict[str, Any]]:
    """Each evaluation's mapping, its keys and values checked."""
    made = _of_mappings(raw, where, problems)
    for name, values in made.items():
        problems += unknown_keys(values, list(EVALUATION), f"{where}, {name}")
        problems += value_problems(EVALUATION, values, f"{where}, {name}")
    return made


def stand_in(scale: dict[str, Any], scale_name: str, kind: str, name: str, wanted_by: str) -> str:
    """What stands in for a table's `name` at this scale."""
    known = scale[kind]
    if name not in known:
        raise UserError(
            f'{wanted_by} names the {kind[:-1]} "{name}", for which scale {scale_name} has nothing. '
            f"Known: {', '.join(known)}.{nearest(name, known)}"
        )
    return known[name]
