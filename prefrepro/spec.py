"""What people write in YAML, read and checked: user config, scales, models, datasets, table specs.

Collects all problems of a specification and reports them together. Knows nothing of runs: plan.py expands what is
read here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from prefrepro.data.select import SELECTIONS
from prefrepro.data.source_schema import check_named
from prefrepro.errors import UserError, nearest
from prefrepro.introspect import ROOT, hparam_problems, read_method, show

READINGS = ("paper", "code")
PROTOCOLS = ("paper", "robust")
METRICS = ("win_rate_pct",)
TEMPLATES = ("dialogue", "summarization")


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

    def arguments(self) -> list[str]:
        """KEY=VALUE for everything that is not default: how a job is told what its workflow was told."""
        default = asdict(Config())
        return [f"{key}={value}" for key, value in asdict(self).items() if value != default[key]]


def make_config(given: dict[str, Any]) -> Config:
    """A checked Config. Raises UserError with every problem found."""
    problems = unknown_keys(given, [field.name for field in fields(Config)], "--config")
    known = {field.name for field in fields(Config)}
    values = {key: _plain(key, value) for key, value in given.items() if key in known}
    config = Config(**{key: value for key, value in values.items() if value is not None})
    scales = names_in("scales")
    if config.scale not in scales:
        problems.append(
            f'--config scale is "{config.scale}". Known: {", ".join(scales)}.{nearest(config.scale, scales)}'
        )
    for key, allowed in (("reading", READINGS), ("protocol", PROTOCOLS)):
        if getattr(config, key) not in allowed:
            problems.append(f'--config {key} is "{getattr(config, key)}"; expected {" or ".join(allowed)}')
    if not isinstance(config.seeds, int) or isinstance(config.seeds, bool) or config.seeds < 1:
        problems.append(f"--config seeds is {config.seeds!r}; expected a whole number of at least 1")
    if config.judge is not None and config.judge not in names_in("judges"):
        judges = names_in("judges")
        problems.append(
            f'--config judge is "{config.judge}". Known: {", ".join(judges)}.{nearest(config.judge, judges)}'
        )
    budget = config.budget_usd
    if budget is not None and not (isinstance(budget, int | float) and not isinstance(budget, bool) and budget >= 0):
        problems.append(f"--config budget_usd is {config.budget_usd!r}; expected a number of at least 0")
    report(problems)
    return config


def _plain(key: str, value: Any) -> Any:
    """Text from a command line as YAML reads it, but a path as it was typed; everything else as it is."""
    if key == "hh_files":
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
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{show(path)} does not exist") from None
    except yaml.YAMLError as error:
        raise UserError(f"{show(path)} is not valid YAML: {error}") from None


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises UserError."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{show(path)}: expected a mapping, found {'nothing' if content is None else repr(content)}")
    return content


def _mapping(value: Any, where: str, problems: list[str]) -> dict[str, Any]:
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
ROLLOUT_SOURCES = ["data", "policy"]
"""Sections of `rollout`: what a rollout method has beside or instead of `training`, by where responses come from."""
ROLLOUT_KEYS = ["ppo_epochs", "minibatches", "max_head_grad_norm", "max_new_tokens"]
"""prefrepro/train/rollout.py says what they mean."""
SCALE_KEYS = ["description", "is_comparable", *STAND_INS, "files_judge", *SETTINGS, "rollout"]


def read_scale(name: str) -> dict[str, Any]:
    """config/scales/<name>.yaml, checked for unknown and missing keys."""
    scale, where = read_named("scales", name, "--config scale"), f"config/scales/{name}.yaml"
    needed = ("description", "is_comparable", *STAND_INS)
    problems = unknown_keys(scale, SCALE_KEYS, where)
    problems += [f'{where}: "{key}" is missing' for key in needed if scale.get(key) is None]
    sections = (*STAND_INS, *SETTINGS, "rollout")
    mappings = {key: _mapping(scale.get(key), f"{where}, {key}", problems) for key in sections}
    mappings["rollout"] = _rollout_sections(mappings["rollout"], where, problems)
    report(problems)
    return scale | mappings


def read_paper(path: Path) -> dict[str, Any]:
    """A paper's paper.yaml, checked for the sections that planning needs."""
    paper = read_mapping(path)
    lacking = [key for key in (*SETTINGS, "readings") if not isinstance(paper.get(key), dict)]
    problems = [f'{show(path)}: "{key}" is missing, or no mapping' for key in lacking]
    raw = _mapping(paper.get("rollout"), f"{show(path)}, rollout", problems)
    rollout = _rollout_sections(raw, show(path), problems)
    report(problems)
    return paper | {"rollout": rollout}


def _rollout_sections(raw: dict[str, Any], where: str, problems: list[str]) -> dict[str, dict[str, Any]]:
    """A mapping for each source of responses, empty where nothing is said."""
    problems += unknown_keys(raw, ROLLOUT_SOURCES, f"{where}, rollout")
    return {name: _mapping(raw.get(name), f"{where}, rollout, {name}", problems) for name in ROLLOUT_SOURCES}


def stand_in(scale: dict[str, Any], scale_name: str, kind: str, name: str, wanted_by: str) -> str:
    """What stands in for a table's `name` at this scale."""
    known = scale[kind]
    if name not in known:
        raise UserError(
            f'{wanted_by} names the {kind[:-1]} "{name}", for which scale {scale_name} has nothing. '
            f"Known: {', '.join(known)}.{nearest(name, known)}"
        )
    return known[name]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: a method with its hyper-parameters, and what was printed."""

    key: str
    label: str
    method: str
    hparams: dict[str, Any]
    training: dict[str, Any]
    embedder: str | None
    pairs: str | None
    """Which pairs a pairwise method is trained on where the data are ranked groups (data/select.py)."""
    reported: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: a metric of an evaluation of a model on a dataset."""

    key: str
    label: str
    metric: str
    model: str
    dataset: str
    judge: str
    template: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table spec, paper_tables/<paper>/<name>.yaml."""

    paper: str
    name: str
    title: str
    where: str
    baseline: str | None
    notes: list[str]
    columns: list[Column]
    rows: list[Row]
    scales: list[str] | None
    """Where it makes sense; None: at every scale. A table with scales is no paper's: `tables` leaves it out."""

    @property
    def target(self) -> str:
        """Its Snakemake target: table1 … for RPO, <paper>_table1 for the others."""
        return self.name if self.paper == "rpo" else f"{self.paper}_{self.name}"


TABLE_KEYS = [
    "title",
    "where",
    "model",
    "dataset",
    "embedder",
    "judge",
    "template",
    "baseline",
    "notes",
    "scales",
    "columns",
    "rows",
]
COLUMN_KEYS = ["label", "metric", "model", "dataset", "judge", "template"]
ROW_KEYS = ["label", "method", "hparams", "training", "embedder", "pairs", "reported"]


def table_files() -> list[Path]:
    """Every table spec of every paper."""
    return sorted(path for path in (ROOT / "paper_tables").glob("*/*.yaml") if path.stem != "paper")


def read_table(path: Path) -> Table:
    """A checked table spec. Raises UserError with every problem of the file."""
    raw, where = read_mapping(path), show(path)
    problems = unknown_keys(raw, TABLE_KEYS, where)
    problems += [f'{where}: "{key}" is missing' for key in ("title", "where", "columns", "rows") if not raw.get(key)]
    raw_columns, raw_rows = (_mapping(raw.get(key), f"{where}, {key}", problems) for key in ("columns", "rows"))
    columns = [_column(key, value, raw, where, problems) for key, value in raw_columns.items()]
    rows = [_row(key, value, raw, list(raw_columns), where, problems) for key, value in raw_rows.items()]
    baseline = raw.get("baseline")
    if baseline is not None and baseline not in raw_rows:
        problems.append(f'{where}: baseline "{baseline}" is no row.{nearest(str(baseline), raw_rows)}')
    report(problems)
    return Table(
        path.parent.name,
        path.stem,
        raw["title"],
        raw["where"],
        baseline,
        raw.get("notes") or [],
        columns,
        rows,
        raw.get("scales"),
    )


def _column(key: str, given: Any, table: dict[str, Any], where: str, problems: list[str]) -> Column:
    here = f"{where}, column {key}"
    raw = _mapping(given, here, problems)
    problems += unknown_keys(raw, COLUMN_KEYS, here)
    merged: dict[str, Any] = {name: raw.get(name, table.get(name)) for name in COLUMN_KEYS}
    problems += [
        f'{here}: "{name}" is missing, here and for the whole table' for name in COLUMN_KEYS if merged[name] is None
    ]
    for name, allowed in (("metric", METRICS), ("template", TEMPLATES)):
        if merged[name] is not None and merged[name] not in allowed:
            problems.append(f'{here}: {name} is "{merged[name]}"; expected {" or ".join(allowed)}')
    return Column(key=key, **merged)


def _row(key: str, given: Any, table: dict[str, Any], columns: list[str], where: str, problems: list[str]) -> Row:
    here = f"{where}, row {key}"
    raw = _mapping(given, here, problems)
    problems += unknown_keys(raw, ROW_KEYS, here)
    hparams, training, reported = (
        _mapping(raw.get(name), f"{here}, {name}", problems) for name in ("hparams", "training", "reported")
    )
    method = raw.get("method")
    if not isinstance(method, str):
        problems.append(f'{here}: "method" is {"missing" if method is None else f"{method!r}, expected a name"}')
    else:
        try:
            problems += [f"{here}: {problem}" for problem in hparam_problems(read_method(method), hparams)]
        except UserError as error:
            problems.append(f"{here}: {error}")
    pairs = raw.get("pairs")
    if pairs is not None and pairs not in SELECTIONS:
        problems.append(f'{here}: pairs is "{pairs}". Known: {", ".join(SELECTIONS)}.{nearest(str(pairs), SELECTIONS)}')
    problems += unknown_keys(reported, columns, f"{here}, reported")
    for column, value in reported.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            problems.append(f"{here}, reported {column}: {value!r} is no number")
    return Row(
        key=key,
        label=raw.get("label", key),
        method=str(method),
        hparams=hparams,
        training=training,
        embedder=raw.get("embedder", table.get("embedder")),
        pairs=pairs,
        reported=reported,
    )
