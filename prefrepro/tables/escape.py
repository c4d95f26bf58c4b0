"""Text as each format wants it, so that a label is never a command. Line breaks and control characters go.

What a template of templates/ prints is escaped for its format, by its suffix, unless it is Markup.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from tabulate import tabulate

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "†": r"$^{\dagger}$",
    "×": r"$\times$",
    "−": "$-$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "±": r"$\pm$",
    "–": "--",
    **{character: f"\\{character}" for character in "{}$&#%_"},
}
_CAPITALS = {"gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega"}
"""Greek capitals with a command; the others look Latin and have none."""


def plain_text(text: str) -> str:
    """One line, without control characters."""
    visible = "".join(" " if unicodedata.category(character) in ("Cc", "Cs") else character for character in text)
    return " ".join(visible.split())


def csv_text(text: str) -> str:
    """A leading apostrophe keeps a spreadsheet from taking text for a formula."""
    line = plain_text(text)
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


def html_text(text: str) -> str:
    """Safe as content and within a quoted attribute."""
    return html.escape(plain_text(text), quote=True)


def markdown_text(text: str) -> str:
    """Safe within a cell of a pipe table; HTML in it is shown, not run."""
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", html.escape(plain_text(text), quote=False))


def latex_text(text: str) -> str:
    """Specials as commands, Greek letters as mathematics."""
    return "".join(_latex_character(character) for character in plain_text(text))


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(character, ""))
    name = greek[2].lower().replace("lamda", "lambda") if greek else ""
    if greek and greek[1] == "SMALL" and name != "omicron":
        return f"$\\{name}$"
    return f"$\\{name.capitalize()}$" if greek and name in _CAPITALS else character


def fill_template(name: str, values: Mapping[str, Any]) -> str:
    """The text of a file in templates/ with its `[[ … ]]` filled in. Same values, same bytes."""
    return _environment(Path(name).suffix).get_template(name).render(values)


@cache
def _environment(suffix: str) -> Environment:
    escape = {".md": markdown_text, ".tex": latex_text, ".html": html_text}[suffix]
    environment = Environment(
        variable_start_string="[[",
        variable_end_string="]]",
        block_start_string="[%",
        block_end_string="%]",
        comment_start_string="[#",
        comment_end_string="#]",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else Markup(escape(str(value))),
    )
    environment.globals["pipe_table"] = _pipe_table
    return environment


def _pipe_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """A Markdown table of plain texts."""
    texts = [[markdown_text(text) for text in row] for row in (head, *rows)]
    return Markup(tabulate(texts[1:], texts[0], tablefmt="pipe", disable_numparse=True))
