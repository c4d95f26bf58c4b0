"""Text as each format wants it, so that a label is never a command. Line breaks and control characters go."""

from __future__ import annotations

import html
import re
import unicodedata

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
