"""audit.md: findings first, then one section per table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from tabulate import tabulate

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
from prefrepro.tables.escape import markdown_text

EXAMPLE_RATE = 70.0
CORRELATIONS = (0.18, 0.42)
"""Of two rows' wins on one prompt, by published judges."""
NO_COUNTS = {
    "mean": "Win rates of a weighted annotator, or averaged over several generations, are means and no counts; the "
    "test takes them for counts, which can only raise p.",
    "fitted": "Length-controlled win rates are fitted by a regression: no k/n, and no test without their error.",
}
HEAD = """# Audit of the printed numbers

From the printed numbers alone; nothing was run. A percentage of n comparisons must be some k/n, rounded or cut. A
difference is tested as one of two independent proportions, since nothing printed says which prompts were won: a
paired test on the verdicts would be sharper. Fitted numbers (length-controlled win rates) are no counts and were
printed without an error, so nothing of this can be said of them but whether they agree with themselves."""


def page(audited: Sequence[Audited]) -> str:
    """The whole page, Markdown."""
    tables: dict[tuple[str, str], list[Audited]] = defaultdict(list)
    for one in audited:
        tables[one.printed.paper, one.printed.table].append(one)
    parts = [HEAD, "## In all", _bullets(_overall(audited))]
    for (paper, table), rows in tables.items():
        parts += [f"## {paper} {table}", _bullets(_of_table(rows)), _grid(rows)]
    return "\n\n".join(parts) + "\n"


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


def _overall(audited: Sequence[Audited]) -> list[str]:
    found = []
    groups: dict[tuple[str, int], list[Audited]] = defaultdict(list)
    for one in audited:
        if one.printed.kind == "count":
            groups[one.printed.evaluation, one.printed.n].append(one)
    for (evaluation, n), ones in groups.items():
        counted, passed = chance(max(one.printed.decimals for one in ones), n, evaluation in DROPS)
        found.append(
            f"{evaluation}, n = {n}: {_counted(ones, n)} Of arbitrary numbers {100 * counted:.0f} % would be k/{n}, "
            f"and {100 * passed:.0f} % would pass as something"
            + (": passing says next to nothing." if passed > 0.5 else ".")
        )
    means = [one for one in audited if one.printed.kind == "mean"]
    as_counts = sum(any(count.wins % 1 == 0 for count in one.found[one.printed.n]) for one in means)
    found.append(
        f"{len(means)} are means (a weighted annotator, or several generations averaged); {as_counts} of them happen "
        f"to be k/n. {sum(one.printed.kind == 'fitted' for one in audited)} are fitted. Neither need be a count."
    )
    found += _disagreements(audited)
    tested = [one for one in audited if one.p is not None]
    unique = list({one.comparison: one for one in reversed(tested)}.values())
    found.append(
        f"{_significant([one.p for one in tested])} of {len(tested)} differences from a table's baseline are "
        f"significant at 5 %, each tested alone; {len(tested) - len(unique)} of them are printed again elsewhere, and "
        f"of the {len(unique)} different ones {_significant([one.p for one in unique])} are. Adjusted by Holm's "
        f"method: {_within_tables(tested)} within their tables, {_significant(holm([one.p for one in unique]))} over "
        "all."
    )
    found += [
        f"n = {n}: at {EXAMPLE_RATE:.0f} % another row must lie {up:.1f} points above or {down:.1f} below to be "
        f"significant, and {detectable(EXAMPLE_RATE, n):.1f} away to be found so with 80 % power."
        for n in sorted({one.printed.n for one in audited if one.printed.kind != "fitted"})
        for up, down in [smallest_significant(EXAMPLE_RATE, n)]
    ]
    needed = " or ".join(
        f"{prompts_for_equivalence(EXAMPLE_RATE, EQUIVALENCE_MARGIN, phi):,} (prompt correlation {phi})"
        for phi in CORRELATIONS
    )
    found.append(
        f"To show that two equal rows lie within ± {EQUIVALENCE_MARGIN:g} points, near {EXAMPLE_RATE:.0f} %, one "
        f"training each wants {needed} prompts that both answer, at 80 % power."
    )
    return found


def _within_tables(tested: Sequence[Audited]) -> int:
    tables: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    for one in tested:
        tables[one.printed.paper, one.printed.table].append(one.p)
    return sum(_significant(holm(p_values)) for p_values in tables.values())


def _of_table(rows: Sequence[Audited]) -> list[str]:
    found = []
    for n in sorted({one.printed.n for one in rows if one.printed.kind == "count"}):
        found.append(_counted([one for one in rows if one.printed.kind == "count" and one.printed.n == n], n))
    found += [_misfit(one) for one in rows if one.status in ("half", "fewer", "impossible")]
    kinds = {one.printed.kind for one in rows}
    found += [text for kind, text in NO_COUNTS.items() if kind in kinds]
    found += _disagreements(rows)
    found += _same_count(rows)
    found += _differences(rows)
    significant = {label: f"{_significant(p_values)} of {len(p_values)}" for label, p_values in adjacent(rows).items()}
    if len(significant) == 1:
        found += [f"{count} adjacent cells differ significantly." for count in significant.values()]
    elif significant:
        listed = "; ".join(f"{label}: {count}" for label, count in significant.items())
        found.append(f"Adjacent cells that differ significantly: {listed}.")
    return found


def _counted(ones: Sequence[Audited], n: int) -> str:
    number = Counter(one.status for one in ones)
    cut = sum(one.status == "count" and one.found[n][0].how == "truncated" for one in ones)
    rest = {
        "half": f"only k.5/{n}, that is k/{2 * n}",
        "fewer": f"only of fewer than {n}",
        "impossible": "none of these",
    }
    text = f"{number['count']} of {len(ones)} printed numbers are k/{n}"
    text += f" ({cut} of them cut, not rounded)" if cut else ""
    return "; ".join([text, *(f"{number[key]} {what}" for key, what in rest.items() if number[key])]) + "."


def _misfit(one: Audited) -> str:
    printed = one.printed
    start = f"{_cell(one)}: {printed.text} is no k/{printed.n}"
    if one.status == "impossible":
        return f"{start} and no k/{2 * printed.n}: it is no count at all."
    halves = one.found[printed.n]
    can_be = [f"{half}, a tie as half, or {2 * half.wins:g}/{2 * half.n}" for half in halves]
    return f"{start}; it can be {', or '.join([*can_be, *map(str, one.fewer)])}."


def _disagreements(rows: Sequence[Audited]) -> list[str]:
    judgings = {
        (one.printed.verdict_id, one.printed.metric): one for one in reversed(rows) if one.twins and not one.agrees
    }
    return [
        "One run, printed differently: "
        + "; ".join(f"{place.place}: {place.text}" for place in (one.printed, *one.twins))
        + "."
        for one in reversed(judgings.values())
    ]


def _same_count(rows: Sequence[Audited]) -> list[str]:
    """Other numbers in print that are the same wins of the same n."""
    groups: dict[tuple[int, float], dict[str, str]] = defaultdict(dict)
    for one in rows:
        if one.status == "count":
            first = one.found[one.printed.n][0]
            groups[one.printed.n, first.wins][one.printed.text] = first.how
    return [
        f"{' and '.join(f'{text} ({how})' for text, how in texts.items())} are the same {wins:g}/{n}."
        for (n, wins), texts in groups.items()
        if len(texts) > 1
    ]


def _differences(rows: Sequence[Audited]) -> list[str]:
    """How many are significant, and the largest that is not."""
    tested = [(one, one.baseline, one.p) for one in rows if one.baseline and one.p is not None]
    if not tested:
        return []
    names = {base.row_label for _, base, _ in tested}
    found = [
        f"{_significant([p for *_, p in tested])} of {len(tested)} differences from {', '.join(names)} are significant."
    ]
    open_ones = [(one.printed, base, p) for one, base, p in tested if p >= ALPHA]
    if open_ones:
        own, base, p = max(open_ones, key=lambda found: abs(found[0].reported - found[1].reported))
        found.append(
            f"The largest that is not: {own.column_label}, {own.row_label} {own.text} vs {base.row_label} {base.text} "
            f"at n = {own.n}: p = {_p(p)}; 80 % power wants {prompts_needed(own.reported, base.reported)} prompts per "
            "row."
        )
    return found


def _grid(rows: Sequence[Audited]) -> str:
    head = ["row", "column", "printed", "n", "k/n", "against baseline", "p", "prompts for 80 % power"]
    lines = []
    for one in rows:
        printed = one.printed
        wins = ", ".join(map(str, one.found.get(printed.n, []))) if printed.kind == "count" else printed.kind
        gap = f"{printed.reported - one.baseline.reported:+.{printed.decimals}f}" if one.baseline else ""
        p = "" if one.p is None else _p(one.p)
        needed = prompts_needed(printed.reported, one.baseline.reported) if one.baseline and p else None
        label = [printed.row_label, printed.column_label, printed.text, str(printed.n)]
        lines.append([*label, wins or "none", gap, p, f"{needed:,}" if needed else ""])
    return tabulate(
        [[markdown_text(text) for text in line] for line in lines], head, tablefmt="pipe", disable_numparse=True
    )


def _cell(one: Audited) -> str:
    return f"{one.printed.row_label}, {one.printed.column_label}"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _significant(p_values: Sequence[float | None]) -> int:
    return sum(p is not None and p < ALPHA for p in p_values)


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {markdown_text(line)}" for line in lines)
