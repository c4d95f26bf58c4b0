"""What makes a value text or a whole number, of settings and of data alike. Imports nothing heavy."""

from __future__ import annotations

from typing import Any


def is_text(value: Any) -> bool:
    """Text that is more than blanks, that UTF-8 can hold and that has no NUL."""
    has_surrogate = isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value)
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value and not has_surrogate


def is_whole(value: Any, low: int) -> bool:
    """A whole number that is not below `low`, and that 64 bits can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value < 2**63
