"""One exception for everything that a user can mend, shown as a message and never as a traceback."""

from __future__ import annotations

import difflib
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable

EXIT_USER_ERROR = 2


class UserError(Exception):
    """Says what was found, what was expected, where, and what to do next; `problems` are the parts of a list."""

    def __init__(self, message: str, problems: list[str] | None = None) -> None:
        super().__init__(message)
        self.problems = problems or [message]


def nearest(name: object, known: Iterable[str]) -> str:
    """« Did you mean x?» with a leading blank, or nothing where no known name is near."""
    close = difflib.get_close_matches(str(name)[:80], list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def visible(text: str) -> str:
    """`text` whose control characters are spelled out: what a message quotes must not command the terminal."""
    return "".join(
        ascii(one)[1:-1] if unicodedata.category(one).startswith("C") and one not in "\n\t" else one for one in text
    )


def exit_on_user_error(main: Callable[[], None]) -> None:
    """Run `main`; a UserError becomes its message on stderr and exit code 2."""
    try:
        try:
            main()
        finally:
            sys.stdout.flush()  # what --help prints too; at the interpreter's end nobody could handle an error
    except UserError as error:
        sys.stderr.write(f"error: {visible(str(error))}\n")
        sys.exit(EXIT_USER_ERROR)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
