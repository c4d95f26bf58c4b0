"""Which variant of a table a config makes: what it sets that changes a table's numbers, as KEY=VALUE words.

Each variant has files of its own; those of the default are named after the table alone. The scale is no part of a
variant: it has a folder of its own.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a job that records a table reads no config
    from prefrepro.specs.config import Config

DEFAULT = "default"
NO_PART = ("scale", "data", "budget_usd", "published", "track")
"""Keys of --config that change no number of a table"""
PLAIN = re.compile(r"[\w= -]{1,60}", re.ASCII)


def variant_of(config: Config) -> str:
    """`seeds=3 judge=openai`, as a shell takes it; `default` where nothing is set."""
    words = [word for word in config.arguments() if word.partition("=")[0] not in NO_PART]
    return shlex.join(words) or DEFAULT


def config_of(variant: str) -> dict[str, str]:
    """What --config was given for a variant: the other way round."""
    words = [] if variant == DEFAULT else shlex.split(variant)
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def table_name(table: Mapping[str, Any]) -> str:
    """The name of a table's files, from `paper`, `table` and `variant`: rpo_table1, rpo_table1__seeds-3."""
    variant = table.get("variant") or DEFAULT
    settings = re.sub(r"\W+", "-", variant, flags=re.ASCII).strip("-")
    if not PLAIN.fullmatch(variant) or "=-" in variant or ",-" in variant:
        settings = f"{settings[:40]}-{hashlib.sha256(variant.encode()).hexdigest()[:6]}"
    return f"{table['paper']}_{table['table']}" + ("" if variant == DEFAULT else f"__{settings}")
