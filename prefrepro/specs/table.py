"""A table spec, paper_tables/<paper>/<table>.yaml: rows × columns to runs and evaluations, with what was printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, ValidationInfo, field_validator
from pydantic import model_validator

from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT, show
from prefrepro.specs.files import checked, read_mapping
from prefrepro.specs.method import hparam_problems, read_method
from prefrepro.specs.settings import Sampling, Selection, Training
from prefrepro.specs.values import Filled, Finite, Flag, Spec, Text, Texts, expecting, keys_of_file, names_of
from prefrepro.specs.values import missing, problem, refuse

Metric = Literal["win_rate_pct", "wr", "lc_wr", "mt_bench", "arena_hard_pct"]
METRICS: tuple[Metric, ...] = get_args(Metric)
Name = Annotated[Text, Field(pattern=r"^[^\n]*$"), expecting("a name")]
Reported = Annotated[Finite | None, expecting("a number, or null")]
SHARED = ("metric", "model", "dataset", "evaluation", "embedder")
"""What a table may say for all its columns; all but the embedder are needed, here or there"""


class _Entry(Spec):
    label: Text = ""
    _key: str = PrivateAttr("")

    @property
    def key(self) -> str:
        """Its key in the table, which is its label where it has no other."""
        return self._key

    def keyed(self, key: str) -> Self:
        made = self.model_copy(update={"label": self.label or key})
        made._key = key
        return made


class Row(_Entry):
    """One row: a method with its hyper-parameters, or weights that others released, and what was printed."""

    method: Text = ""
    hparams: dict[str, Any] = {}
    training: Training = {}
    embedder: Name | None = None
    pairs: Selection | None = None
    """Which pairs a pairwise method is trained on where the data are ranked groups (data/select.py)"""
    external: Name | None = None
    """A released model in place of a training: cited, or run (--config external=run)"""
    evaluate: Flag = True
    """False: named in the paper without a number; trained, neither sampled nor judged, and no cell"""
    reported: Annotated[dict[str, Reported], names_of("columns")] = {}
    _samples: dict[str, dict[str, Any]] = PrivateAttr({})

    @property
    def samples(self) -> dict[str, dict[str, Any]]:
        """Column -> {file, map, ignore_extra}: answers made elsewhere in place of a training (imported_rows.py)."""
        return self._samples

    @classmethod
    def of_samples(
        cls, key: str, label: str, reported: dict[str, float | None], samples: dict[str, dict[str, Any]]
    ) -> Row:
        """A row whose answers were made elsewhere; trained and sampled nowhere here."""
        made = cls.model_construct(label=label, reported=reported).keyed(key)
        made._samples = samples
        return made

    @model_validator(mode="after")
    def _method_fits(self, info: ValidationInfo) -> Self:
        if self.external and self.method:
            refuse([((), problem('"method" and "external" are both there; expected one of them'))])
        if self.external or info.context is None:
            return self
        if not self.method:
            refuse([((), problem('"method" is missing'))])
        try:
            method = read_method(self.method)
        except UserError as error:
            refuse([(("method",), problem(str(error)))])
            raise
        # Columns give their hyper-parameters to every row; what is wrong with their form is told of the column.
        columns = info.context.get("columns")
        shared = [c.get("hparams") for c in columns.values() if isinstance(c, dict)] if isinstance(columns, dict) else []
        given = [(("hparams",), self.hparams), *(((), values) for values in shared if isinstance(values, dict))]
        refuse((place, problem(said)) for place, values in given for said in hparam_problems(method, values))
        return self


class Column(_Entry):
    """One column: a metric of an evaluation of a model trained on a dataset."""

    metric: Metric = ""  # pyright: ignore[reportAssignmentType] -- the table's
    model: Name = ""
    dataset: Name = ""
    evaluation: Name = ""
    """A name in paper.yaml, evaluations"""
    embedder: Name | None = None
    hparams: dict[str, Any] = {}
    training: Training = {}
    sampling: Sampling = {}

    @model_validator(mode="after")
    def _of_table(self, info: ValidationInfo) -> Self:
        """What the column does not say, its table says for all of them."""
        table = info.context or {}
        shared = {name: table.get(name) for name in SHARED if not getattr(self, name)}
        refuse(missing(table, (name for name, value in shared.items() if value is None and name != "embedder")))
        return self.model_copy(update=shared)


class Setting(Spec):
    """A line of a table of settings."""

    label: Text
    value: Text
    """A path such as training.lr"""
    printed: Annotated[Finite | Text, expecting("a number or text")]


def _listed(entries: dict[str, Any]) -> list[Any]:
    return [entry.keyed(key) for key, entry in entries.items()]


if TYPE_CHECKING:
    Columns, Rows = list[Column], list[Row]
else:
    Columns = Annotated[dict[str, Annotated[Column, Filled]], AfterValidator(_listed)]
    Rows = Annotated[dict[str, Annotated[Row, Filled]], AfterValidator(_listed)]


class Table(Spec):
    """One table."""

    title: Text
    where: Text
    kind: Literal["cells", "configuration"] = "cells"
    metric: Metric | None = None
    model: Name | None = None
    dataset: Name | None = None
    evaluation: Name | None = None
    embedder: Name | None = None
    baseline: Name | None = None
    notes: Texts = []
    scales: Texts | None = None
    """Where it makes sense; None: at every scale"""
    printed: Flag | None = None
    columns: Columns
    rows: Rows
    settings: list[Setting] = []
    """Of kind configuration, which names one row and one column whose settings it shows"""
    _path: Path = PrivateAttr(Path())

    @field_validator("baseline")
    @classmethod
    def _is_a_row(cls, baseline: str, info: ValidationInfo) -> str:
        if baseline not in (rows := keys_of_file(info, "rows")):
            raise problem(f'"{baseline:.80}" is no row.{nearest(baseline, rows)}')
        return baseline

    @property
    def paper(self) -> str:
        return self._path.parent.name

    @property
    def name(self) -> str:
        return self._path.stem

    @property
    def target(self) -> str:
        """Its Snakemake target: table1 … for RPO, <paper>_table1 for the others."""
        return target_of(self._path)

    @property
    def is_printed(self) -> bool:
        """False: no paper prints a number of it, so `tables` leaves it out."""
        return self.scales is None if self.printed is None else self.printed


def target_of(path: Path) -> str:
    """The Snakemake target of a table spec, whatever it holds."""
    return path.stem if path.parent.name == "rpo" else f"{path.parent.name}_{path.stem}"


def table_files() -> list[Path]:
    """Every table spec of every paper."""
    return sorted(path for path in (ROOT / "paper_tables").glob("*/*.yaml") if path.stem != "paper")


def _stated(raw: dict[str, Any]) -> dict[str, Any]:
    """A table without keys that hold nothing; `settings` are needed where it is made of them."""
    stated = {key: value for key, value in raw.items() if value not in (None, "", [], {})}
    if raw.get("kind") == "configuration" and "settings" not in stated:
        refuse(missing(raw, ("settings",)))
    return stated


def read_table(path: Path) -> Table:
    """A checked table spec. Raises UserError with every problem of the file."""
    table = checked(Annotated[Table, BeforeValidator(_stated)], read_mapping(path), show(path))
    table._path = path
    return table
