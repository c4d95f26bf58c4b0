"""Cases that are near to something valid: one place of a value, or of a file's bytes, is made wrong.

What is wrong for certain is marked, so that a test can insist on a refusal.
"""

from __future__ import annotations

import copy
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from prefrepro.errors import UserError

Path = tuple[str | int, ...]
CPU_S = 20
"""Processor seconds of one case, after which it hangs. A machine that stands still takes none."""
LONGEST_MESSAGE = 20_000
HOSTILE_TEXT = [
    "", " ", "\0", "a\nb", "../../etc/passwd", "/dev/zero", "$(id)", "; rm -rf .", "=1+1", "\x1b[31m", "{x}", "%s",
    "<script>", "\\input{x}", "<|im_end|>", "x" * 10_000, "é\u202e\ufeff", "null", "true", "1e400", "nan", "1:30",
]  # fmt: skip
HOSTILE: list[Any] = [
    None, True, False, 0, -1, 1, 2**63, 10**17, -0.0, 1e-300, 1e308, math.inf, -math.inf, math.nan,
    [], {}, [None], [[]], {"": None}, {"kind": "hub"}, *HOSTILE_TEXT,
]  # fmt: skip
SPOILING = [
    b"\0", b"\xff\xfe", b"\xc3", b"\t", b"\n", b"\r", b"{", b"[" * 2000, b"&a ", b"*a", b"!!x ", b"'", b'"', b": ",
    b"- ", b"#", b"1e999", b"NaN", b"\\ud800", b"<<: ", b"9" * 5000, b"\xef\xbb\xbf", b"---\n",
]  # fmt: skip
FEW = settings(max_examples=settings().max_examples // 4)
"""A quarter of what other properties are drawn: every run of the suite affords these, and `make fuzz` 1,000 of each."""


@dataclass(frozen=True)
class Case:
    """A value with one place changed."""

    value: Any
    path: Path
    change: str
    is_wrong: bool
    """It must be refused."""

    def __repr__(self) -> str:
        return f"{self.change} at {'.'.join(map(str, self.path)) or 'the top'}"


def places(value: Any, at: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every place of a value of mappings, lists and scalars."""
    yield at, value
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*at, key))


def other_kinds(value: Any) -> list[Any]:
    """Values of a kind that nobody takes for that of `value`."""
    if value is None:
        return []
    if isinstance(value, bool):
        return ["maybe", 3, 0.5, [True], {"a": True}]
    if isinstance(value, int | float):
        return ["much", "", True, math.nan, math.inf, -math.inf, [value], {"a": value}]
    if isinstance(value, str):
        return [3, 0.5, True, [1], {"a": 1}, math.nan]
    return ["text", 3, 0.5, True]


@st.composite
def cases(draw: st.DrawFn, base: Any, *, is_free: Callable[[Path], bool] = lambda _: False) -> Case:
    """One change of `base`. What stands at a place that `is_free` may be anything, or may be more than one kind."""
    path, found = draw(st.sampled_from(list(places(base))))
    value = copy.deepcopy(base)
    free = any(is_free(path[:n]) for n in range(len(path) + 1))
    fitting = {"delete": bool(path), "unknown key": isinstance(found, dict)}
    change = draw(st.sampled_from(["hostile", "other kind", *(name for name, fits in fitting.items() if fits)]))
    if change == "unknown key":
        key = draw(st.sampled_from(["unknown", "modle", "Title", "__class__", "x" * 200]))
        at(value, path)[key] = draw(st.sampled_from([3, True, ["x"]]))
        return Case(value, (*path, key), change, not free)
    if change == "delete":
        del at(value, path[:-1])[path[-1]]
        return Case(value, path, change, False)
    kinds = other_kinds(found)
    is_wrong = change == "other kind" and bool(kinds) and not free
    new = draw(st.sampled_from(kinds if change == "other kind" and kinds else HOSTILE))
    if not path:
        return Case(new, path, change, is_wrong)
    at(value, path[:-1])[path[-1]] = copy.deepcopy(new)
    return Case(value, path, f"{change} {new!r:.40}", is_wrong)


def at(value: Any, path: Path) -> Any:
    """What stands at a place."""
    for key in path:
        value = value[key]
    return value


@st.composite
def spoiled_bytes(draw: st.DrawFn, base: bytes) -> bytes:
    """A file's bytes with one or two stretches cut out, doubled or replaced."""
    for _ in range(draw(st.integers(1, 2))):
        start = draw(st.integers(0, len(base)))
        end = min(len(base), start + draw(st.sampled_from([0, 1, 2, 8, 64, 4096])))
        new = draw(st.sampled_from([b"", *SPOILING, base[start:end] * 2]) | st.binary(max_size=12))
        base = base[:start] + new + base[end:]
    return base


@contextmanager
def no_hang() -> Iterator[None]:
    """Fail where the body takes more than CPU_S of processor time."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"more than {CPU_S} s of processor time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def refusal(call: Callable[[], Any], *, is_wrong: bool = False, names: tuple[str, ...] = ()) -> str | None:
    """The message of a UserError, which names one of `names`; None where the case was taken.

    Any other exception is a traceback and goes through; what `is_wrong` must not be taken.
    """
    try:
        with no_hang():
            call()
    except UserError as error:
        message = str(error)
        assert message.strip() and len(message) < LONGEST_MESSAGE, f"{len(message)} characters: {message[:500]}"
        assert not names or any(name in message for name in names), f"names none of {names}: {message[:500]}"
        return message
    assert not is_wrong, "taken without a word"
    return None
