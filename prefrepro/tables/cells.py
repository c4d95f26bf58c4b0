"""From planned cells and their verdicts to one tidy row per printed number. Knows nothing of looks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from prefrepro.errors import UserError, nearest
from prefrepro.stats.paired import compare
from prefrepro.stats.win_rate import WinRate, prompt_scores, summarise_scores
from prefrepro.tables.check import load_schema

METRICS = ("win_rate_pct",)
SEPARATOR = ";"
"""Between the ids of several seeds in one field."""

Cell = Mapping[str, Any]
Scores = Callable[[Cell], list[pd.Series] | None]


def build_cells(cells: Sequence[Cell], verdicts: Callable[[str], pd.DataFrame]) -> pd.DataFrame:
    """One row of cells.csv per planned cell, in the order given.

    A planned cell has the keys paper, table, row, column, row_label, column_label, metric, reported, where,
    baseline, protocol, judge, judge_is_substitute, comparable, verdict_ids, sample_ids, run_ids (one per
    training seed), scale, reading, commit. `verdicts` gives the verdicts of a set by its id and raises
    FileNotFoundError or KeyError where there are none. A cell is `not_run`, with no value, while any of
    its seeds is missing. Raises UserError for an unknown metric or baseline.
    """
    _check(cells)
    places = {_place(cell, cell["row"]): cell for cell in cells}

    @functools.cache
    def scores_of(verdict_id: str, protocol: str) -> pd.Series | None:
        try:
            frame = verdicts(verdict_id)
        except (FileNotFoundError, KeyError):
            return None
        return None if frame.empty else prompt_scores(frame, protocol)

    def scores(cell: Cell) -> list[pd.Series] | None:
        found = [scores_of(verdict_id, cell["protocol"]) for verdict_id in cell["verdict_ids"]]
        present = [series for series in found if series is not None]
        return present if present and len(present) == len(found) else None

    rows = [_row(cell, places.get(_place(cell, cell["baseline"])), scores) for cell in cells]
    return pd.DataFrame(rows, columns=pd.Index(load_schema("cells").columns)).reset_index(drop=True)


def missing(cells_frame: pd.DataFrame) -> list[str]:
    """`paper/table row × column` of every cell without a value; a caller that gets any exits non-zero."""
    cells = cells_frame.to_dict("records")
    lost = [cell for cell in cells if cell["status"] == "not_run"]
    return [f"{cell['paper']}/{cell['table']} {cell['row']} × {cell['column']}" for cell in lost]


def _check(cells: Sequence[Cell]) -> None:
    problems = []
    rows: dict[tuple[str, str], set[str]] = {}
    for cell in cells:
        rows.setdefault((cell["paper"], cell["table"]), set()).add(cell["row"])
    for cell in cells:
        where = f"{cell['paper']}/{cell['table']}, row {cell['row']}, column {cell['column']}"
        if cell["metric"] not in METRICS:
            problems.append(f"{where}: metric {cell['metric']!r} is unknown. Known: {', '.join(METRICS)}.")
        known = rows[cell["paper"], cell["table"]]
        if cell["baseline"] is not None and cell["baseline"] not in known:
            hint = nearest(cell["baseline"], known)
            problems.append(
                f"{where}: baseline {cell['baseline']!r} is no row. Known: {', '.join(sorted(known))}.{hint}"
            )
    if problems:
        raise UserError("\n".join(problems))


def _place(cell: Cell, row: str | None) -> tuple[Any, ...]:
    return (*(cell[key] for key in ("scale", "reading", "paper", "table", "column", "metric")), row)


def _row(cell: Cell, baseline: Cell | None, scores: Scores) -> dict[str, Any]:
    own = scores(cell)
    rate = summarise_scores(own, cell["protocol"]) if own else None
    if rate is None:
        rate = WinRate(None, None, None, None, 0, 0, 0, 0, 0)
    delta = None
    if cell["comparable"] and rate.value_pct is not None and cell["reported"] is not None:
        delta = rate.value_pct - cell["reported"]
    return {
        **{key: cell[key] for key in ("paper", "table", "row", "column", "metric", "reported")},
        "value": rate.value_pct,
        "ci_low": rate.ci_low,
        "ci_high": rate.ci_high,
        "ci_method": rate.ci_method,
        "n": rate.n,
        "n_tie": rate.n_tie,
        "n_invalid": rate.n_invalid,
        "n_seeds": len(own or []),
        "delta": delta,
        "status": _status(cell, rate),
        "p_vs_baseline": _p_value(cell, baseline, rate, scores),
        "baseline": cell["baseline"],
        "run_id": SEPARATOR.join(cell["run_ids"]),
        "sample_id": SEPARATOR.join(cell["sample_ids"]),
        "verdict_id": SEPARATOR.join(cell["verdict_ids"]),
        **{key: cell[key] for key in ("judge", "scale", "reading", "commit")},
    }


def _status(cell: Cell, rate: WinRate) -> str:
    """The first of these that holds: no value; nothing it may be held against; another judge; in or out."""
    if rate.value_pct is None or rate.ci_low is None or rate.ci_high is None:
        return "not_run"
    if not cell["comparable"] or cell["reported"] is None:
        return "not_comparable"
    if cell["judge_is_substitute"]:
        return "substitute_judge"
    return "inside" if rate.ci_low <= cell["reported"] <= rate.ci_high else "outside"


def _p_value(cell: Cell, baseline: Cell | None, rate: WinRate, scores: Scores) -> float | None:
    """Raw p against the baseline row of the same column; the renderer adjusts over the table."""
    if rate.value_pct is None or baseline is None or cell["row"] == cell["baseline"]:
        return None
    own, other = scores(cell), scores(baseline)
    difference = compare(own, other, cell["protocol"]) if own and other else None
    return difference.p if difference else None
