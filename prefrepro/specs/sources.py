"""What config/datasets, config/models and config/embedders may hold, by kind. A judge's file is judge.py's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, with_config
from typing_extensions import NotRequired, Required, TypedDict

from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT
from prefrepro.specs.files import checked, names_in, read_mapping
from prefrepro.specs.judge import JudgeConfig
from prefrepro.specs.settings import EndToKeep, ScoreField, Training, Turns
from prefrepro.specs.values import CLOSED, Count, Flag, ModelName, Number, Seed, Share, Text, Texts, expecting, problem
from prefrepro.specs.values import missing, refuse


def _sum_to_one(shares: dict[str, float]) -> dict[str, float]:
    if not math.isclose(sum(shares.values()), 1):
        raise ValueError(shares)
    return shares


Parts = Annotated[
    dict[Literal["train", "eval", "judge"], Share],
    AfterValidator(_sum_to_one),
    expecting("shares of train, eval and judge that sum to 1"),
]
Rows = Annotated[
    dict[Literal["pretrain", "train", "eval", "judge"], Seed],
    Field(min_length=4),
    expecting("how many rows pretrain, train, eval and judge have"),
]
Splits = Annotated[
    dict[Literal["train", "eval"], Text | None], expecting("{train: NAME, eval: NAME}; null: every file")
]
Files = Annotated[
    Text | list[Text] | Annotated[dict[str, Text], Field(min_length=1)] | None,
    expecting("a path, a list of paths, or {name: path}"),
]
Mapped = Annotated[dict[str, Any], Field(min_length=1), expecting("a mapping")]
Revision = Annotated[Text | None, expecting("a commit, a branch, or null")]


@with_config(CLOSED)
class About(TypedDict, total=False):
    kind: Required[str]
    label: Text
    note: Text


class Place(About, total=False):
    """Where the files of a data set are: a hub id or local files."""

    repo: Text
    revision: Revision
    repo_type: Literal["dataset", "space"]
    patterns: Texts
    files: Files


class Cut(Place, total=False):
    """A data set that has rows to train on."""

    on_bad_row: Required[Literal["stop", "skip"]]
    parts: Required[Parts]
    splits: Splits
    eval_rows: Count
    pretrain: Flag
    truncation_mode: EndToKeep


class Hh(Cut, total=False):
    turns: Turns


class Ultrafeedback(Cut):
    form: Literal["ranked"]
    score_field: ScoreField


class RowFiles(Cut):
    form: Literal["pairs", "ranked"]


class Instructions(Place, total=False):
    set: Required[Literal["alpaca_eval", "mt_bench", "arena_hard"]]
    n: Count
    questions: Text
    answers: Text


class World(About, total=False):
    """Generated preferences."""

    form: Required[Literal["pairs", "ranked", "instructions", "mt_bench", "arena_hard"]]
    seed: Required[Seed]
    task: Literal["dialogue", "summary"]
    temperature: Number
    rows: Rows
    parts: Required[Parts]


class Hub(About):
    repo: Text
    revision: NotRequired[Revision]


class HubModel(Hub, total=False):
    licence: Text
    template: Literal["role_tags", "chat"]


class Scratch(About):
    """A model that is trained here from random weights."""

    vocab_size: Count
    config: Mapped
    seed: Seed
    pretraining: Annotated[Training, Field(min_length=1)]


class Instructed(About):
    """SFT of a model that is trained here."""

    base: ModelName


class Cost(About):
    batch_size: Count
    threads: Count


class SentenceTransformers(Hub, Cost):
    package: NotRequired[Text]


class PooledTransformer(SentenceTransformers):
    layers: Count
    pooling: Literal["mean", "cls", "max"]
    max_seq_length: NotRequired[Count]


def _placed(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    if "repo" not in mapping and "files" not in mapping:
        refuse([((), problem('neither "repo" nor "files" is there; expected a hub id or local files'))])
    return mapping


def _made(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a form of the embedded world wants."""
    wanted = {"pairs": ("task", "rows", "temperature"), "ranked": ("task", "rows")}
    refuse(missing(mapping, wanted.get(mapping["form"], ())))
    return mapping


PLACED = AfterValidator(_placed)
SHAPES: dict[str, dict[str, Any]] = {
    "datasets": {
        "world": Annotated[World, AfterValidator(_made)],
        "hh": Annotated[Hh, PLACED],
        "tldr": Annotated[Cut, PLACED],
        "ultrafeedback": Annotated[Ultrafeedback, PLACED],
        "rows": Annotated[RowFiles, PLACED],
        "instructions": Annotated[Instructions, PLACED],
    },
    "models": {"hub": HubModel, "scratch": Scratch, "instructed": Instructed},
    "embedders": {
        "sentence-transformers": SentenceTransformers, "pooled-transformer": PooledTransformer, "bag-of-words": Cost,
    },
}  # fmt: skip
"""Folder of config/ -> kind -> what its files hold"""


def check_named(folder: str, name: str, mapping: Mapping[str, Any]) -> None:
    """Check config/<folder>/<name>.yaml. Raises one UserError with all its problems."""
    where = f"config/{folder}/{name}.yaml"
    if folder == "judges":
        checked(JudgeConfig, mapping, where)
        return
    kind, kinds = mapping.get("kind"), SHAPES[folder]
    if not isinstance(kind, str) or kind not in kinds:
        found = "is missing" if kind is None else f"is {kind!r:.80}"
        raise UserError(f"{where}: kind {found}. Known: {', '.join(kinds)}.{nearest(str(kind), kinds)}")
    checked(kinds[kind], mapping, where)


@cache
def read_named(folder: str, name: str, wanted_by: str) -> dict[str, Any]:
    """config/<folder>/<name>.yaml, checked. Raises UserError that says who wanted it and what there is."""
    known = names_in(folder)
    if name not in known:
        shown = str(name)[:100]
        raise UserError(
            f'{wanted_by} names "{shown}", but config/{folder}/{shown}.yaml does not exist. '
            f"Known: {', '.join(known)}.{nearest(name, known)}"
        )
    mapping = read_mapping(ROOT / "config" / folder / f"{name}.yaml")
    check_named(folder, name, mapping)
    return mapping
