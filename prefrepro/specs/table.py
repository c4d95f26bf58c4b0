"""A table spec, paper_tables/<paper>/<table>.yaml: rows × columns to runs and evaluations, with what was printed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, Strict, ValidationInfo, field_validator, model_validator

from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT, show
from prefrepro.specs.files import checked, read_mapping
from prefrepro.specs.method import hparam_problems, read_method
from prefrepro.specs.problems import Problem, also, expecting, keys_of_file, missing, must, names_of, problem, refuse
from prefrepro.specs.settings import Sampling, Selection, Training
from prefrepro.specs.values import READER, Finite, Flag, Spec, Stated, Text, Texts

HeldOut = Literal["accuracy_pct", "top1_pct"]
HELD_OUT: tuple[HeldOut, ...] = get_args(HeldOut)
"""The metrics of a preference evaluation"""
Metric = Literal["win_rate_pct", "wr", "lc_wr", "mt_bench", "arena_hard_pct", "arena_hard_style_pct", HeldOut]
METRICS: tuple[Metric, ...] = get_args(Metric)
OF_TRAINING = ("method", "hparams", "training", "embedder", "pairs", "k")
"""What a row says of its training"""
Name = Annotated[Text, must(lambda name: "\n" not in name), expecting("a name")]
Reported = Annotated[Finite | None, expecting("a number, or null")]
SHARED = ("metric", "model", "dataset", "evaluation", "embedder")
"""What a table may say for all its columns"""


class _Entry(Spec):
    key: str = Field(default="", validation_alias=READER)
    """Its key in the table, which is its label where it has no other"""
    label: Text = ""


class Row(_Entry):
    """One row: a method with its hyper-parameters, or weights that nobody trains here, and what was printed."""

    method: Text = ""
    hparams: dict[str, Any] = {}
    training: Training = {}
    embedder: Name | None = None
    pairs: Selection | None = None
    """Which pairs a pairwise method is trained on where the data are ranked groups (data/select.py)"""
    k: Annotated[int, Strict(), Field(ge=2), expecting("a whole number of at least 2")] | None = None
    """Responses of each group that are trained on, where the data are ranked groups; None: all"""
    external: Name | None = None
    """A released model in place of a training: cited, or run (--config external=run)"""
    untrained: Flag = False
    """The column's model as it is, before any training"""
    samples: dict[str, dict[str, Any]] = Field(default={}, validation_alias=READER)
    """Column -> {file, map, …} (imported_rows.py): answers made elsewhere in place of a training"""
    evaluate: Flag = True
    """False: named in the paper without a number; trained, neither sampled nor judged, and no cell"""
    reported: Annotated[dict[str, Reported], names_of("columns")] = {}

    @model_validator(mode="after")
    def _method_fits(self, info: ValidationInfo) -> Self:
        if self.external and self.method:
            raise problem('"method" and "external" are both there; expected one of them')
        if self.untrained:
            given = [name for name in (*OF_TRAINING, "external") if getattr(self, name)]
            given += [] if self.evaluate else ["evaluate: false"]
            refuse(((), problem(f'"untrained" and "{name}" are both there; expected one of them')) for name in given)
        if self.external or self.untrained:
            return self
        refuse(missing(["method"] if self.method else [], ["method"]))
        try:
            method = read_method(self.method)
        except UserError as error:
            raise problem(str(error)) from None
        # Columns give hyper-parameters to every row; what is wrong with their form is told of the column.
        table: Any = info.context
        columns = [table["columns"][name] for name in keys_of_file(info, "columns")]
        shared = [column.get("hparams") for column in columns if isinstance(column, dict)]
        given = [self.hparams, *(values for values in shared if isinstance(values, dict))]
        refuse(((), problem(said)) for values in given for said in hparam_problems(method, values))
        return self


class Column(_Entry):
    """One column: a metric of an evaluation of a model trained on a dataset."""

    metric: Metric = ""  # pyright: ignore[reportAssignmentType] -- then the table says it
    model: Name = ""
    dataset: Name = ""
    evaluation: Name = ""
    """A name in paper.yaml, evaluations"""
    embedder: Name | None = None
    hparams: dict[str, Any] = {}
    training: Training = {}
    sampling: Sampling = {}
    prompt_sha256: Text = ""
    """In a table of kind samples: the prompt that is answered, data/shown.py"""

    @model_validator(mode="after")
    def _with_what_is_shared(self, info: ValidationInfo) -> Self:
        table: Any = info.context
        shared = {name: table.get(name) for name in SHARED if not getattr(self, name)}
        refuse(missing((), (name for name, value in shared.items() if value is None and name != "embedder")))
        return self.model_copy(update=shared)


class Setting(Spec):
    """A line of a table of settings."""

    label: Text
    value: Text
    """A path such as training.lr; plan/settings.py says what there is"""
    row: Name | None = None
    column: Name | None = None
    """Whose value it is; None: that of the first"""
    printed: Annotated[Finite | Text, expecting("a number or text")]


def _listed(entries: dict[str, _Entry]) -> list[Any]:
    return [entry.model_copy(update={"key": key, "label": entry.label or key}) for key, entry in entries.items()]


if TYPE_CHECKING:
    Rows = list[Row]
    Columns = list[Column]
else:
    Rows = Annotated[dict[str, Annotated[Row, Stated]], AfterValidator(_listed)]
    Columns = Annotated[dict[str, Annotated[Column, Stated]], AfterValidator(_listed)]


class Table(Spec):
    """One table."""

    path: Path = Field(default=Path(), validation_alias=READER)
    title: Text
    where: Text
    kind: Literal["cells", "configuration", "samples"] = "cells"
    metric: Metric | None = None
    model: Name | None = None
    dataset: Name | None = None
    evaluation: Name | None = None
    embedder: Name | None = None
    start: Literal["sft", "base"] | None = None
    """What alignment starts from; None: as paper.yaml says"""
    baseline: Name | None = None
    notes: Texts = []
    scales: Texts | None = None
    """Where it makes sense; None: at every scale"""
    compare: list[Literal["rows", "columns"]] = ["rows"]
    """What is compared in pairs: rows of a column, columns of a row, or both"""
    printed: Flag | None = None
    columns: Columns
    rows: Rows
    settings: list[Setting] = []
    """What a table of kind configuration shows"""

    @field_validator("baseline")
    @classmethod
    def _is_a_row(cls, baseline: str, info: ValidationInfo) -> str:
        if baseline not in (rows := keys_of_file(info, "rows")):
            raise problem(f'"{baseline:.80}" is no row.{nearest(baseline, rows)}')
        return baseline

    @property
    def paper(self) -> str:
        return self.path.parent.name

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def target(self) -> str:
        return target_of(self.path)

    def is_made_at(self, name: str, scale: Mapping[str, Any]) -> bool:
        """Whether the scale of this name has the table."""
        is_of_paper = not scale["papers"] or self.paper in scale["papers"]
        return is_of_paper and (self.scales is None or name in self.scales)

    def part(self, rows: str | None, columns: str | None) -> Table:
        """The table with the rows and columns of these keys, a,b, alone; -a,-b: without them.

        Raises UserError for a key that it lacks or, of those with a minus, that no table has.
        """
        chosen = {}
        for name, keys in (("rows", rows), ("columns", columns)):
            if keys is not None and self.kind != "configuration":
                entries = {entry.key: entry for entry in getattr(self, name)}
                given = [key.strip() for key in keys.split(",")]
                out, wanted = {key[1:] for key in given if key[:1] == "-"}, [key for key in given if key[:1] != "-"]
                strange = [key for key in wanted if key not in entries]
                if unknown := strange + [key for key in out - entries.keys() if key not in keys_of_all_tables(name)]:
                    said = f'{name}={keys}: "{unknown[0]}" is not there. Known: {", ".join(entries)}.'
                    raise UserError(f"{show(self.path)}: {said}{nearest(unknown[0], entries)}")
                chosen[name] = [
                    entry for key, entry in entries.items() if key not in out and (key in wanted or not wanted)
                ]
        return self.model_copy(update=chosen)

    @property
    def is_printed(self) -> bool:
        """False: no paper prints a number of it, so `tables` leaves it out."""
        return self.scales is None if self.printed is None else self.printed


def _of_kind(table: dict[str, Any]) -> list[Problem]:
    return missing(table, ["settings"] if table.get("kind") == "configuration" else [])


def target_of(path: Path) -> str:
    """The Snakemake target of a table spec, whatever it holds: table1 … for RPO, <paper>_table1 for the others."""
    return path.stem if path.parent.name == "rpo" else f"{path.parent.name}_{path.stem}"


def target_named(word: str) -> str:
    """The target of the table that a user names: table1, rpo/table1 or rpo_table1."""
    return word.strip("/").replace("/", "_").removeprefix("rpo_")


def address_of(word: str) -> str:
    """paper/table[/row[/column]] of an address whose first part may also be a table's target: table1/dpo."""
    head, slash, rest = word.strip("/").partition("/")
    found = next((path for path in table_files() if target_of(path) == target_named(head)), None)
    return f"{found.parent.name}/{found.stem}{slash}{rest}" if found else word.strip("/")


def table_files() -> list[Path]:
    """Every table spec of every paper."""
    return sorted(path for path in (ROOT / "paper_tables").glob("*/*.yaml") if path.stem not in ("paper", "claims"))


@cache
def keys_of_all_tables(name: str) -> frozenset[str]:
    """Keys of the rows, or of the columns, of every table spec that can be read."""
    found: set[str] = set()
    for path in table_files():
        with contextlib.suppress(UserError):
            entries = read_mapping(path).get(name)
            found |= entries.keys() if isinstance(entries, dict) else set()
    return frozenset(found)


def read_table(path: Path) -> Table:
    """A checked table spec. Raises UserError with every problem of the file."""
    shape = Annotated[Table, also(_of_kind), Stated]
    return checked(shape, read_mapping(path), show(path)).model_copy(update={"path": path})
