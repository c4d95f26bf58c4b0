"""What config/datasets, config/models and config/embedders may hold: keys by kind, their form, which must be there.

Read at planning, so that a misspelt or missing key is one message before anything starts. Judges and scales have
checks of their own (judge/config.py, spec.py). Imports nothing heavy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT
from prefrepro.specs.files import names_in, read_mapping
from prefrepro.specs.rules import (
    COUNT,
    FLAG,
    MAPPING,
    NUMBER,
    SEED,
    TEXT,
    TEXTS,
    Key,
    is_number,
    is_text,
    is_whole,
    key_problems,
    one_of,
)
from prefrepro.specs.settings import TRAINING, value_problems


def _are_shares(value: Any) -> bool:
    if not isinstance(value, dict) or not value or set(value) - {"train", "eval", "judge"}:
        return False
    return all(is_number(share) and 0 <= share <= 1 for share in value.values()) and math.isclose(
        sum(value.values()), 1
    )


def _are_rows(value: Any) -> bool:
    names = {"pretrain", "train", "eval", "judge"}
    return isinstance(value, dict) and set(value) == names and all(is_whole(n, 0) for n in value.values())


def _are_splits(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and not set(value) - {"train", "eval"}
        and all(name is None or is_text(name) for name in value.values())
    )


def _are_files(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(is_text(path) for path in value.values())
    return value is None or is_text(value) or (isinstance(value, list) and all(map(is_text, value)))


PARTS = Key(_are_shares, "shares of train, eval and judge that sum to 1")
ROWS = Key(_are_rows, "how many rows pretrain, train, eval and judge have")
SPLITS = Key(_are_splits, "{train: NAME, eval: NAME}; null: every file")
FILES = Key(_are_files, "a path, a list of paths, or {name: path}")
BAD_ROW = one_of("stop", "skip")
REVISION = Key(lambda value: value is None or is_text(value), "a commit, a branch, or null")
ABOUT = {"label": TEXT, "note": TEXT}
PLACE = {
    "repo": TEXT,
    "revision": REVISION,
    "repo_type": one_of("dataset", "space"),
    "patterns": TEXTS,
    "files": FILES,
}
CUT = {
    "on_bad_row": BAD_ROW.needed,
    "parts": PARTS.needed,
    "splits": SPLITS,
    "eval_rows": COUNT,
    "pretrain": FLAG,
    "truncation_mode": one_of("keep_start", "keep_end"),
}
"""Of data sets that have rows to train on."""
HUB = {"repo": TEXT.needed, "revision": REVISION}
COST = {"batch_size": COUNT.needed, "threads": COUNT.needed}
WORLD_FORMS = one_of("pairs", "ranked", "instructions", "mt_bench", "arena_hard")
SCORE = one_of("overall_score", "overall_score_corrected", "fine_grained_mean")

SCHEMA: dict[str, dict[str, dict[str, Key]]] = {
    "datasets": {
        "world": {
            **ABOUT, "form": WORLD_FORMS.needed, "seed": SEED.needed, "task": one_of("dialogue", "summary"),
            "temperature": NUMBER, "rows": ROWS, "parts": PARTS.needed,
        },
        "hh": {**ABOUT, **PLACE, **CUT, "turns": one_of("all", "single")},
        "tldr": {**ABOUT, **PLACE, **CUT},
        "ultrafeedback": {**ABOUT, **PLACE, **CUT, "form": one_of("ranked").needed, "score_field": SCORE.needed},
        "rows": {**ABOUT, **PLACE, **CUT, "form": one_of("pairs", "ranked").needed},
        "instructions": {
            **ABOUT, **PLACE, "set": one_of("alpaca_eval", "mt_bench", "arena_hard").needed, "n": COUNT,
            "questions": TEXT, "answers": TEXT,
        },
    },
    "models": {
        "hub": {**ABOUT, **HUB, "licence": TEXT, "template": one_of("role_tags", "chat")},
        "scratch": {
            **ABOUT, "vocab_size": COUNT.needed, "config": MAPPING.needed, "seed": SEED.needed,
            "pretraining": MAPPING.needed,
        },
        "instructed": {**ABOUT, "base": TEXT.needed},
    },
    "embedders": {
        "sentence-transformers": {**ABOUT, **HUB, **COST, "package": TEXT},
        "pooled-transformer": {
            **ABOUT, **HUB, **COST, "package": TEXT, "layers": COUNT.needed,
            "pooling": one_of("mean", "cls", "max").needed, "max_seq_length": COUNT,
        },
        "bag-of-words": {**ABOUT, **COST},
    },
}  # fmt: skip
"""Folder of config/ -> kind -> key."""


def check_named(folder: str, name: str, mapping: Mapping[str, Any]) -> None:
    """Check config/<folder>/<name>.yaml. Raises one UserError with all its problems; other folders pass."""
    if folder not in SCHEMA:
        return
    where, kinds = f"config/{folder}/{name}.yaml", SCHEMA[folder]
    kind = mapping.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        found = "is missing" if kind is None else f"is {kind!r}"
        raise UserError(f"{where}: kind {found}. Known: {', '.join(kinds)}.{nearest(str(kind), kinds)}")
    problems = [f"{where}: {problem}" for problem in key_problems(kinds[kind], mapping, ["kind", *kinds[kind]])]
    problems += [f"{where}: {problem}" for problem in _beyond_keys(folder, mapping)]
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise UserError(problems[0] if len(problems) == 1 else f"{len(problems)} problems:\n{listed}", problems)


def _beyond_keys(folder: str, mapping: Mapping[str, Any]) -> list[str]:
    """What one key says of another."""
    if mapping["kind"] == "scratch" and isinstance(mapping.get("pretraining"), dict):
        given = mapping["pretraining"]
        unknown = [f'pretraining: "{key}" is unknown.{nearest(key, TRAINING)}' for key in given if key not in TRAINING]
        return unknown + value_problems(TRAINING, given, "pretraining")
    if folder != "datasets":
        return []
    if mapping["kind"] == "world":
        made = mapping.get("form") in ("pairs", "ranked")
        wanted = ("task", "rows", *(["temperature"] if mapping.get("form") == "pairs" else [])) if made else ()
        return [f'"{key}" is missing: form {mapping["form"]} wants it' for key in wanted if key not in mapping]
    if "repo" not in mapping and "files" not in mapping:
        return ['neither "repo" nor "files" is there; expected a hub id or local files']
    return []


def read_named(folder: str, name: str, wanted_by: str) -> dict[str, Any]:
    """config/<folder>/<name>.yaml. Raises UserError that says who wanted it and what there is."""
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
