"""Texts that are made of a template. What it prints is escaped for its format, by its suffix, unless it is Markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from tabulate import tabulate

from prefrepro.tables.escape import html_text, latex_text, markdown_text

ESCAPES = {".md": markdown_text, ".tex": latex_text, ".html": html_text, ".txt": str}


def fill_template(path: Path, values: Mapping[str, Any]) -> str:
    """The text of a template file with its `[[ … ]]` filled in. Same values, same bytes."""
    return _environment(path.parent, path.suffix).get_template(path.name).render(values)


@cache
def _environment(folder: Path, suffix: str) -> Environment:
    escape = ESCAPES[suffix]
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
        loader=FileSystemLoader(folder),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else Markup(escape(str(value))),
    )
    environment.globals["pipe_table"] = _pipe_table
    environment.filters["item"] = lambda text: Markup(f"- {' '.join(text.split())}\n")
    """A block as one item of a list, however its lines are broken."""
    return environment


def _pipe_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """A Markdown table of plain texts."""
    texts = [[markdown_text(text) for text in row] for row in (head, *rows)]
    return Markup(tabulate(texts[1:], texts[0], tablefmt="pipe", disable_numparse=True))
