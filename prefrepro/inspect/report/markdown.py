"""Blocks of the Markdown that our own commands write, so that a page can show them as text, never as HTML.

Reads what tables/escape.py and tabulate write: headings, paragraphs, bullets, pipe tables. No other Markdown.
"""

from __future__ import annotations

import html
import re
from typing import Any

_CELLS = re.compile(r"(?<!\\)\|")


def blocks(text: str) -> list[dict[str, Any]]:
    """{kind: heading | text | list | table, …} in the text's order."""
    found: list[dict[str, Any]] = []
    for part in re.split(r"\n\s*\n", text.strip()):
        lines = part.splitlines()
        while lines:
            kind, taken = _kind(lines[0]), 1
            while taken < len(lines) and kind != "heading" and _kind(lines[taken]) in (kind, "more"):
                taken += 1
            found.append(_block(kind, lines[:taken]))
            lines = lines[taken:]
    return found


def _kind(line: str) -> str:
    if line.startswith("#"):
        return "heading"
    if line.startswith("|"):
        return "table"
    return "list" if line.startswith("- ") else "more" if line.startswith("  ") else "text"


def _block(kind: str, lines: list[str]) -> dict[str, Any]:
    if kind == "heading":
        marks, _, title = lines[0].partition(" ")
        return {"kind": kind, "level": len(marks), "text": _plain(title)}
    if kind == "table":
        rows = [[_plain(cell) for cell in _CELLS.split(line.strip())[1:-1]] for line in lines]
        return {"kind": kind, "head": rows[0], "rows": rows[2:]}
    if kind == "list":
        items = re.split(r"^- ", "\n".join(lines), flags=re.MULTILINE)[1:]
        return {"kind": kind, "items": [_plain(item) for item in items]}
    return {"kind": "text", "text": _plain(" ".join(lines))}


def _plain(text: str) -> str:
    """Without the marks of bold and code, and with what was escaped as it was."""
    unmarked = re.sub(r"(?<!\\)(\*\*|`)", "", " ".join(text.split()))
    return html.unescape(re.sub(r"\\([\\`*_\[\]|~#])", r"\1", unmarked))
