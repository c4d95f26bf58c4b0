"""audit.md: findings first, then one section per table. Its text stands in templates/audit.md."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from prefrepro.specs.paper import EQUIVALENCE_MARGIN
from prefrepro.stats.intervals import ALPHA
from prefrepro.stats.paired import holm
from prefrepro.studies.audit.audit import DROPS, Audited
from prefrepro.studies.audit.counts import chance
from prefrepro.studies.audit.differences import (
    detectable,
    p_value,
    prompts_for_equivalence,
    prompts_needed,
    smallest_significant,
)
from prefrepro.studies.audit.printed import Printed
from prefrepro.tables.template import fill_template

TEMPLATE = Path(__file__).parent / "templates" / "audit.md"
EXAMPLE_RATE = 70.0
CORRELATIONS = (0.18, 0.42)
"""How far two rows' wins on one prompt correlate, by published judges"""
HEAD = ["row", "column", "printed", "n", "k/n", "against baseline", "p", "prompts for 80 % power"]


def page(audited: Sequence[Audited]) -> str:
    """The whole page, Markdown."""
    tables: dict[tuple[str, str], list[Audited]] = defaultdict(list)
    for one in audited:
        tables[one.printed.paper, one.printed.table].append(one)
    values = {
        "overall": _overall(audited, tables.values()),
        "tables": [{"paper": paper, "table": table, **_of_table(rows)} for (paper, table), rows in tables.items()],
        "rate": EXAMPLE_RATE,
        "margin": EQUIVALENCE_MARGIN,
        "head": HEAD,
    }
    return fill_template(TEMPLATE, values)


def adjacent(rows: Sequence[Audited]) -> dict[str, list[float]]:
    """p values of neighbours: rows of each column, by its label; columns, where a table has one row.

    Fitted numbers have no test.
    """
    lines: dict[str, list[Audited]] = defaultdict(list)
    tested = [one for one in rows if one.printed.kind != "fitted"]
    is_one_row = len({one.printed.row for one in tested}) == 1
    for one in tested:
        lines[one.printed.row_label if is_one_row else one.printed.column_label].append(one)
    return {
        label: [p_value(a.printed.reported, b.printed.reported, b.printed.n) for a, b in pairwise(line)]
        for label, line in lines.items()
    }


def _overall(audited: Sequence[Audited], tables: Any) -> dict[str, Any]:
    groups: dict[tuple[str, int], list[Audited]] = defaultdict(list)
    for one in audited:
        if one.printed.kind == "count":
            groups[one.printed.evaluation, one.printed.n].append(one)
    means = [one for one in audited if one.printed.kind == "mean"]
    tested = [one for one in audited if one.p is not None]
    unique = list({one.comparison: one for one in reversed(tested)}.values())
    return {
        "counts": [
            {
                "evaluation": evaluation,
                "chance": chance(max(one.printed.decimals for one in ones), n, evaluation in DROPS),
                **_counted(ones, n),
            }
            for (evaluation, n), ones in groups.items()
        ],
        "means": len(means),
        "as_counts": sum(any(count.wins % 1 == 0 for count in one.found[one.printed.n]) for one in means),
        "fitted": sum(one.printed.kind == "fitted" for one in audited),
        "disagreements": _disagreements(audited),
        "tested": len(tested),
        "significant": _significant([one.p for one in tested]),
        "unique": len(unique),
        "unique_significant": _significant([one.p for one in unique]),
        "holm_in_tables": sum(_significant(holm([one.p for one in rows if one.p is not None])) for rows in tables),
        "holm_over_all": _significant(holm([one.p for one in unique])),
        "steps": [
            {"n": n, "up": up, "down": down, "detectable": detectable(EXAMPLE_RATE, n)}
            for n in sorted({one.printed.n for one in audited if one.printed.kind != "fitted"})
            for up, down in [smallest_significant(EXAMPLE_RATE, n)]
        ],
        "equivalence": [(phi, prompts_for_equivalence(EXAMPLE_RATE, EQUIVALENCE_MARGIN, phi)) for phi in CORRELATIONS],
    }


def _of_table(rows: Sequence[Audited]) -> dict[str, Any]:
    counted: dict[int, list[Audited]] = defaultdict(list)
    for one in rows:
        if one.printed.kind == "count":
            counted[one.printed.n].append(one)
    tested = [(one.printed, one.baseline, one.p) for one in rows if one.baseline and one.p is not None]
    return {
        "counts": [_counted(ones, n) for n, ones in sorted(counted.items())],
        "misfits": [_misfit(one) for one in rows if one.status in ("half", "fewer", "impossible")],
        "kinds": {one.printed.kind for one in rows},
        "disagreements": _disagreements(rows),
        "same_count": _same_count(rows),
        "tested": len(tested),
        "significant": _significant([p for *_, p in tested]),
        "baselines": {base.row_label: None for _, base, _ in tested},
        "largest_open": _largest_open(tested),
        "adjacent": {
            label: f"{_significant(p_values)} of {len(p_values)}" for label, p_values in adjacent(rows).items()
        },
        "grid": [_line(one) for one in rows],
    }


def _counted(ones: Sequence[Audited], n: int) -> dict[str, int]:
    number = Counter(one.status for one in ones)
    cut = sum(one.status == "count" and one.found[n][0].how == "truncated" for one in ones)
    found = {key: number[key] for key in ("half", "fewer", "impossible")}
    return {"n": n, "all": len(ones), "counted": number["count"], "cut": cut, **found}


def _misfit(one: Audited) -> dict[str, Any]:
    """`can_be` is empty for a number that is no count at all."""
    printed = one.printed
    halves = [f"{half}, a tie as half, or {2 * half.wins:g}/{2 * half.n}" for half in one.found[printed.n]]
    can_be = [] if one.status == "impossible" else [*halves, *map(str, one.fewer)]
    cell = f"{printed.row_label}, {printed.column_label}"
    return {"cell": cell, "text": printed.text, "n": printed.n, "can_be": can_be}


def _disagreements(rows: Sequence[Audited]) -> list[list[Printed]]:
    """The places of each judging that is printed in several ways."""
    judgings = {
        (one.printed.verdict_id, one.printed.metric): one for one in reversed(rows) if one.twins and not one.agrees
    }
    return [[one.printed, *one.twins] for one in reversed(judgings.values())]


def _same_count(rows: Sequence[Audited]) -> list[dict[str, Any]]:
    """Numbers in print that differ and are the same wins of the same n."""
    groups: dict[tuple[int, float], dict[str, str]] = defaultdict(dict)
    for one in rows:
        if one.status == "count":
            first = one.found[one.printed.n][0]
            groups[one.printed.n, first.wins][one.printed.text] = first.how
    return [{"n": n, "wins": wins, "texts": texts} for (n, wins), texts in groups.items() if len(texts) > 1]


def _largest_open(tested: Sequence[tuple[Printed, Printed, float]]) -> dict[str, Any] | None:
    """The largest difference that is not significant."""
    open_ones = [found for found in tested if found[2] >= ALPHA]
    if not open_ones:
        return None
    own, base, p = max(open_ones, key=lambda found: abs(found[0].reported - found[1].reported))
    return {"own": own, "base": base, "p": _p(p), "needed": prompts_needed(own.reported, base.reported)}


def _line(one: Audited) -> list[str]:
    printed = one.printed
    wins = ", ".join(map(str, one.found.get(printed.n, []))) if printed.kind == "count" else printed.kind
    gap = f"{printed.reported - one.baseline.reported:+.{printed.decimals}f}" if one.baseline else ""
    p = "" if one.p is None else _p(one.p)
    needed = prompts_needed(printed.reported, one.baseline.reported) if one.baseline and p else None
    label = [printed.row_label, printed.column_label, printed.text, str(printed.n)]
    return [*label, wins or "none", gap, p, f"{needed:,}" if needed else ""]


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _significant(p_values: Sequence[float | None]) -> int:
    return sum(p is not None and p < ALPHA for p in p_values)
