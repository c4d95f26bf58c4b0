"""A table spec, paper_tables/<paper>/<table>.yaml: rows × columns to runs and evaluations, with what was printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefrepro.data.select import SELECTIONS
from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT, show
from prefrepro.specs.files import as_mapping, read_mapping, report, unknown_keys
from prefrepro.specs.method import hparam_problems, read_method
from prefrepro.specs.rules import FLAG, TEXT, TEXTS, Key, is_number, is_text, one_of
from prefrepro.specs.settings import value_problems

METRICS = ("win_rate_pct", "wr", "lc_wr", "mt_bench", "arena_hard_pct")
KINDS = ("cells", "configuration")
COMPARED = [["rows"], ["columns"], ["rows", "columns"]]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a method with its hyper-parameters, or weights that others released, and what was printed."""

    key: str
    label: str
    method: str
    hparams: dict[str, Any]
    training: dict[str, Any]
    embedder: str | None
    pairs: str | None
    """Which pairs a pairwise method is trained on where the data are ranked groups (data/select.py)."""
    external: str | None
    """A released model in place of a training: cited, or run (--config external=run)."""
    samples: dict[str, dict[str, Any]]
    """Column -> {file, map, ignore_extra}: answers made elsewhere in place of a training (imported_rows.py)."""
    is_evaluated: bool
    """False: named in the paper without a number; trained, neither sampled nor judged, and no cell."""
    reported: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: a metric of an evaluation of a model trained on a dataset."""

    key: str
    label: str
    metric: str
    model: str
    dataset: str
    evaluation: str
    """A name in paper.yaml, evaluations."""
    hparams: dict[str, Any]
    training: dict[str, Any]
    embedder: str | None
    sampling: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """One table."""

    paper: str
    name: str
    title: str
    where: str
    baseline: str | None
    notes: list[str]
    columns: list[Column]
    rows: list[Row]
    scales: list[str] | None
    """Where it makes sense; None: at every scale."""
    compare: list[str]
    """What is compared in pairs: rows of a column, columns of a row, or both."""
    is_printed: bool
    """False: no paper prints a number of it, so `tables` leaves it out."""
    settings: list[dict[str, Any]]
    """Of kind configuration: {label, value (a path such as training.lr), printed}."""

    @property
    def target(self) -> str:
        """Its Snakemake target: table1 … for RPO, <paper>_table1 for the others."""
        return _target(self.paper, self.name)


def target_of(path: Path) -> str:
    """The Snakemake target of a table spec, whatever it holds."""
    return _target(path.parent.name, path.stem)


def _target(paper: str, name: str) -> str:
    return name if paper == "rpo" else f"{paper}_{name}"


COLUMN_KEYS = ["label", "metric", "model", "dataset", "evaluation", "hparams", "training", "embedder", "sampling"]
ROW_KEYS = [
    "label", "method", "hparams", "training", "embedder", "pairs", "external", "evaluate", "reported",
]  # fmt: skip
TABLE_KEYS = [
    "title", "where", "kind", "metric", "model", "dataset", "embedder", "evaluation", "baseline", "notes", "scales",
    "compare", "printed", "columns", "rows", "settings",
]  # fmt: skip
_NAME = Key(lambda value: is_text(value) and "\n" not in value, "a name")
_METRIC = one_of(*METRICS)
_SETTING = {"label", "value", "printed"}
TABLE_RULES = {
    "title": TEXT, "where": TEXT, "kind": one_of(*KINDS), "metric": _METRIC, "model": _NAME, "dataset": _NAME,
    "embedder": _NAME, "evaluation": _NAME, "baseline": _NAME.or_null,
    "notes": TEXTS, "scales": TEXTS, "printed": FLAG,
    "compare": Key(lambda value: value in COMPARED, f"one of {COMPARED}"),
    "settings": Key(
        lambda value: isinstance(value, list) and bool(value) and all(map(_is_setting, value)),
        "a list of {label: TEXT, value: PATH, printed: NUMBER or TEXT}",
    ),
}  # fmt: skip
COLUMN_RULES = {
    "label": TEXT, "metric": _METRIC, "model": _NAME, "dataset": _NAME, "evaluation": _NAME, "embedder": _NAME,
}  # fmt: skip
ROW_RULES = {
    "label": TEXT, "embedder": _NAME, "pairs": one_of(*SELECTIONS), "external": _NAME, "evaluate": FLAG,
}  # fmt: skip


def _is_setting(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != _SETTING:
        return False
    printed = value["printed"]
    return is_text(value["label"]) and is_text(value["value"]) and (is_text(printed) or is_number(printed))


NEEDED = ("metric", "model", "dataset", "evaluation")
"""Of a column, where its table does not say it for all."""


def table_files() -> list[Path]:
    """Every table spec of every paper."""
    return sorted(path for path in (ROOT / "paper_tables").glob("*/*.yaml") if path.stem != "paper")


def read_table(path: Path) -> Table:
    """A checked table spec. Raises UserError with every problem of the file."""
    raw, where = read_mapping(path), show(path)
    problems = unknown_keys(raw, TABLE_KEYS, where)
    kind = raw.get("kind", "cells")
    problems += value_problems(TABLE_RULES, {key: raw[key] for key in TABLE_RULES if key in raw}, where)
    needed = ("title", "where", "settings") if kind == "configuration" else ("title", "where", "columns", "rows")
    problems += [f'{where}: "{key}" is missing' for key in needed if raw.get(key) in (None, "", [], {})]
    raw_columns, raw_rows = (as_mapping(raw.get(key), f"{where}, {key}", problems) for key in ("columns", "rows"))
    columns = [_column(key, value, raw, where, problems) for key, value in raw_columns.items()]
    rows = [_row(key, value, raw, raw_columns, where, problems) for key, value in raw_rows.items()]
    if kind == "configuration" and not (columns and rows):
        problems.append(f"{where}: a table of settings names the row and the column whose settings it shows")
    baseline = raw.get("baseline")
    if isinstance(baseline, str) and baseline not in raw_rows:
        problems.append(f'{where}: baseline "{baseline}" is no row.{nearest(str(baseline), raw_rows)}')
    report(problems)
    return Table(
        paper=path.parent.name,
        name=path.stem,
        title=raw["title"],
        where=raw["where"],
        baseline=baseline,
        notes=raw.get("notes") or [],
        columns=columns,
        rows=rows,
        scales=raw.get("scales"),
        compare=raw.get("compare") or ["rows"],
        is_printed=raw.get("printed", raw.get("scales") is None),
        settings=raw.get("settings") or [],
    )


def _column(key: str, given: Any, table: dict[str, Any], where: str, problems: list[str]) -> Column:
    here = f"{where}, column {key}"
    raw = as_mapping(given, here, problems)
    problems += unknown_keys(raw, COLUMN_KEYS, here)
    problems += value_problems(COLUMN_RULES, {name: raw[name] for name in COLUMN_RULES if name in raw}, here)
    merged: dict[str, Any] = {name: raw.get(name, table.get(name)) for name in NEEDED}
    problems += [
        f'{here}: "{name}" is missing, here and for the whole table' for name in NEEDED if merged[name] is None
    ]
    sections: dict[str, Any] = {
        name: as_mapping(raw.get(name), f"{here}, {name}", problems) for name in ("hparams", "training", "sampling")
    }
    embedder = raw.get("embedder", table.get("embedder"))
    return Column(key=key, label=raw.get("label", key), embedder=embedder, **(merged | sections))


def _row(key: str, given: Any, table: dict[str, Any], columns: dict[str, Any], where: str, problems: list[str]) -> Row:
    here = f"{where}, row {key}"
    raw = as_mapping(given, here, problems)
    problems += unknown_keys(raw, ROW_KEYS, here)
    problems += value_problems(ROW_RULES, {name: raw[name] for name in ROW_RULES if name in raw}, here)
    hparams, training, reported = (
        as_mapping(raw.get(name), f"{here}, {name}", problems) for name in ("hparams", "training", "reported")
    )
    method, external = raw.get("method"), raw.get("external")
    if external is not None and method is not None:
        problems.append(f'{here}: "method" and "external" are both there; expected one of them')
    if external is None:
        # What is wrong with a column is said of the column.
        raw_columns = [as_mapping(column, where, []) for column in columns.values()]
        shared = [as_mapping(column.get("hparams"), where, []) for column in raw_columns]
        problems += _method_problems(method, [hparams, *shared], lambda text: f"{here}: {text}")
    pairs = raw.get("pairs")
    problems += unknown_keys(reported, list(columns), f"{here}, reported")
    for column, value in reported.items():
        if value is not None and not is_number(value):
            problems.append(f"{here}, reported {column}: {value!r} is no number")
    return Row(
        key=key,
        label=raw.get("label", key),
        method=str(method),
        hparams=hparams,
        training=training,
        embedder=raw.get("embedder"),
        pairs=pairs,
        external=external,
        samples={},
        is_evaluated=raw.get("evaluate", True),
        reported=reported,
    )


def _method_problems(method: Any, hparams: list[dict[str, Any]], say: Callable[[str], str]) -> list[str]:
    """Of a row's method and the hyper-parameters that row and columns give it."""
    if not isinstance(method, str):
        return [say(f'"method" is {"missing" if method is None else f"{method!r}, expected a name"}')]
    try:
        header = read_method(method)
    except UserError as error:
        return [say(str(error))]
    return [say(problem) for given in hparams for problem in hparam_problems(header, given)]
