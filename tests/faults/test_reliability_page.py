"""docs/reliability.md: each promise names a test that exists, and its table tells of no loss."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from reliability import BEGIN, COUNTS, END, PAGE, ROOT, table

TEXT = PAGE.read_text(encoding="utf-8")


def names_in(path: Path) -> set[str]:
    found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.name for node in found if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_promise_names_a_test_that_exists() -> None:
    promises = TEXT.partition("## Promises")[2]
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", promises)
    assert len(named) > 20
    assert [f"{file}::{name}" for file, name in named if name not in names_in(ROOT / file)] == []
    paragraphs = re.split(r"\n\n(?=\*\*)|\n- ", promises)[1:]
    assert [part for part in paragraphs if "`tests/" not in part and not part.rstrip("* \n").endswith(".")] == []


def test_the_table_tells_of_no_loss() -> None:
    figures = TEXT.partition(BEGIN)[2].partition(END)[0]
    assert re.match(r"Run on \d{4}-\d\d-\d\d, commit [0-9a-f]{7,}", figures)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in figures.splitlines() if line.startswith("|")]
    bad = [1 + COUNTS.index(name) for name in ("lost", "wrong", "unbooked")]
    assert len(rows) > 10
    for row in rows[2:]:
        assert [row[place] for place in bad] == ["0", "0", "0"], row
        assert int(row[1]) == int(row[2]) + int(row[3]), row


def test_lines_of_one_fault_are_added_up() -> None:
    told = dict.fromkeys(COUNTS, 2) | {"fault": "flood", "test": "tests/x.py::test_a[b]"}
    rows = table([json.dumps(told), json.dumps(told | {"injected": 3})]).splitlines()
    assert rows[2] == "| flood | 5 | 4 | 4 | 4 | 4 | 4 | 4 | `test_a` |"
    assert rows[3].startswith("| **all** | 5 |")
