"""Blocks of the Markdown that our own commands write, so that a page can show them as text, never as HTML."""

from __future__ import annotations

from typing import Any

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

KINDS = {"heading": "heading", "paragraph": "text", "bullet_list": "list", "table": "table"}


def blocks(text: str) -> list[dict[str, Any]]:
    """{kind: heading | text | list | table, …} in the text's order."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    return [_block(node) for node in SyntaxTreeNode(parser.parse(text)).children]


def _block(node: SyntaxTreeNode) -> dict[str, Any]:
    kind = KINDS.get(node.type, "text")
    if kind == "heading":
        return {"kind": kind, "level": int(node.tag[1:]), "text": _plain(node)}
    if kind == "table":
        head, *rows = [[_plain(cell) for cell in row.children] for part in node.children for row in part.children]
        return {"kind": kind, "head": head, "rows": rows}
    if kind == "list":
        return {"kind": kind, "items": [_plain(item) for item in node.children]}
    return {"kind": kind, "text": _plain(node)}


def _plain(node: SyntaxTreeNode) -> str:
    """The text without marks of bold and code."""
    leaves = (leaf for leaf in node.walk() if leaf.type in ("text", "code_inline", "softbreak"))
    return " ".join("".join(leaf.content or " " for leaf in leaves).split())
