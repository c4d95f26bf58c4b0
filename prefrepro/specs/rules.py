"""What a key of a YAML file may hold: the accepted values, and the words for them. Knows no file and no key."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from prefrepro.errors import nearest

Accepts = Callable[[Any], bool]


class Key(NamedTuple):
    """What one key of a file may hold."""

    accepts: Accepts
    expected: str
    is_needed: bool = False

    @property
    def needed(self) -> Key:
        return self._replace(is_needed=True)

    @property
    def or_null(self) -> Key:
        return self._replace(
            accepts=lambda value: value is None or self.accepts(value), expected=f"{self.expected}, or null"
        )


def one_of(*values: str) -> Key:
    """One of several words."""
    return Key(lambda value: isinstance(value, str) and value in values, " or ".join(values))


def is_text(value: Any) -> bool:
    """Text that is more than blanks, that UTF-8 can hold and that has no NUL."""
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value and not _has_surrogate(value)


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def is_whole(value: Any, low: int) -> bool:
    """A whole number that is not below `low`, and that 64 bits can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value < 2**63


def is_number(value: Any) -> bool:
    """A finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


TEXT = Key(is_text, "text")
SEED = Key(lambda value: is_whole(value, 0), "a whole number of at least 0")
COUNT = Key(lambda value: is_whole(value, 1), "a whole number of at least 1")
NUMBER = Key(lambda value: is_number(value) and value > 0, "a number above 0")
FLAG = Key(lambda value: isinstance(value, bool), "true or false")
MAPPING = Key(lambda value: isinstance(value, dict) and bool(value), "a mapping")
TEXTS = Key(lambda value: isinstance(value, list) and bool(value) and all(map(is_text, value)), "a list of texts")


def key_problems(keys: Mapping[str, Key], mapping: Mapping[str, Any], known: list[str] | None = None) -> list[str]:
    """Every unknown key, needed key that is missing, and value that is not accepted, one sentence each."""
    known = list(keys) if known is None else known
    problems = [
        f'"{key}" is unknown. Known: {", ".join(known)}.{nearest(str(key), known)}'
        for key in mapping
        if key not in known
    ]
    problems += [
        f'"{key}" is missing; expected {rule.expected}'
        for key, rule in keys.items()
        if rule.is_needed and key not in mapping
    ]
    return problems + [
        f"{key} is {mapping[key]!r:.80}; expected {rule.expected}"
        for key, rule in keys.items()
        if key in mapping and not rule.accepts(mapping[key])
    ]


def flags_of(*names: str) -> Key:
    """A mapping of any of these names to true or false."""

    def accepts(value: Any) -> bool:
        return isinstance(value, dict) and all(key in names and isinstance(flag, bool) for key, flag in value.items())

    return Key(accepts, f"a mapping of {', '.join(names)} to true or false")
