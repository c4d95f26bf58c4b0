"""`python tests/judge/failures_page.py` puts the table of failures into docs/judging.md."""

from __future__ import annotations

from pathlib import Path

from prefrepro.judge.failures import RULES, Rule

PAGE = Path(__file__).parents[2] / "docs" / "judging.md"
BEGIN, END = "<!-- failures -->\n", "<!-- end of failures -->\n"
HEADER = """| what | HTTP status, words | exception of the client | asked again | then | booked without usage | next |
|---|---|---|---|---|---|---|
"""
THEN = {
    "row": "the row is invalid",
    "open": "the row stays open, the set is not finished",
    "set": "everything stops",
    "ask": "a harmless question: answered, the row is invalid; refused, everything stops",
}


def with_table(page: str) -> str:
    """The page with today's table between its marks."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + HEADER + "".join(map(_line, RULES)) + END + rest.partition(END)[2]


def _line(rule: Rule) -> str:
    words = " or ".join(f"`{word}`" for word in rule.words.split("|")) if "(" not in rule.words else f"`{rule.words}`"
    status = ", ".join(map(str, rule.status)) + (f": {words}".replace("|", "\\|") if rule.words else "")
    again = "yes" if rule.retry else ""
    cells = (rule.what, status, rule.exception, again, THEN[rule.then], rule.bill.replace("nothing", ""), rule.next)
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
