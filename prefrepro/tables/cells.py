"""From planned cells and their verdicts to one tidy row per printed number."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import Any

import pandas as pd

from prefrepro.csv_schema.schema import load_schema
from prefrepro.stats.metrics import METRICS, Summary, VerdictSet, against_printed, compare, summarise
from prefrepro.stats.paired import Difference
from prefrepro.stats.printed import Gap

CITED = "a released model, its number is cited; --config external=run runs it where the scale names its weights"
NO_VERDICTS = "no verdicts"
SEPARATOR = ";"
"""Between the ids of several seeds in one field."""

Cell = Mapping[str, Any]
Sets = Callable[[Cell], list[VerdictSet] | None]


def build_cells(cells: Sequence[Cell], verdicts: Callable[[str], VerdictSet]) -> pd.DataFrame:
    """One row of cells.csv per planned cell, in the order given.

    A planned cell has the keys paper, table, row, column, row_label, column_label, metric, reported, where,
    baseline, protocol, evaluation, judge, judge_is_substitute, comparable, margin, verdict_ids, sample_ids, run_ids
    (one per training seed), is_cited, scale, reading, variant, commit. `verdicts` gives the verdicts of a set by its
    id and raises FileNotFoundError or KeyError where there are none. A cell is `not_run`, with no value, while any of
    its seeds is missing.
    """
    places = {_place(cell, cell["row"]): cell for cell in cells}

    @functools.cache
    def set_of(verdict_id: str) -> VerdictSet | None:
        try:
            found = verdicts(verdict_id)
        except (FileNotFoundError, KeyError):
            return None
        return None if found.frame.empty else found

    def sets(cell: Cell) -> list[VerdictSet] | None:
        found = [set_of(verdict_id) for verdict_id in cell["verdict_ids"]]
        present = [one for one in found if one is not None]
        return present if present and len(present) == len(found) else None

    rows = [_row(cell, places.get(_place(cell, cell["baseline"])), sets) for cell in cells]
    return pd.DataFrame(rows, columns=pd.Index(load_schema("cells").columns)).reset_index(drop=True)


def build_cell_seeds(cells: Sequence[Cell], verdicts: Callable[[str], VerdictSet]) -> pd.DataFrame:
    """One row of cell_seeds.csv per planned cell and training seed, in the order given; cited cells are left out.

    Keys as in `build_cells`. What was not trained here has one row, without a seed.
    """
    rows = []
    for cell in cells:
        jobs = zip_longest(cell["run_ids"], cell["sample_ids"], cell["verdict_ids"])
        for seed, (run, sample, verdict) in enumerate(jobs, start=1):
            ours = asdict(summarise(statistic(cell), [verdicts(verdict)], cell["protocol"]))
            kept = ("paper", "table", "row", "column", "metric", "judge", "scale", "reading", "variant")
            row = {key: cell[key] for key in kept} | {key: ours[key] for key in ("value", "n", "n_tie", "n_invalid")}
            ids = {"run_id": run, "sample_id": sample, "verdict_id": verdict}
            rows.append(row | ids | {"seed": seed if run else None})
    return pd.DataFrame(rows, columns=pd.Index(load_schema("cell_seeds").columns))


def missing(cells_frame: pd.DataFrame) -> list[str]:
    """`paper/table row × column` of every cell without a value; a caller that gets any exits non-zero."""
    cells = cells_frame.to_dict("records")
    lost = [cell for cell in cells if cell["reason"] == NO_VERDICTS]
    return [f"{cell['paper']}/{cell['table']} {cell['row']} × {cell['column']}" for cell in lost]


def _place(cell: Cell, row: str | None) -> tuple[Any, ...]:
    return (*(cell[key] for key in ("scale", "reading", "paper", "table", "column", "metric")), row)


def _row(cell: Cell, baseline: Cell | None, sets: Sets) -> dict[str, Any]:
    own = sets(cell)
    ours = summarise(statistic(cell), own, cell["protocol"]) if own else Summary(None, None, None, None, 0, 0, 0)
    gap = None
    if own and cell["comparable"] and ours.value is not None and cell["reported"] is not None:
        gap = against_printed(statistic(cell), own, cell["protocol"], cell["reported"])
    return {
        **{key: cell[key] for key in ("paper", "table", "row", "column", "metric", "reported")},
        **asdict(ours),
        "n_seeds": len(own or []),
        "delta": gap and gap.value,
        "delta_low": gap and gap.low,
        "delta_high": gap and gap.high,
        **_told(_status(cell, ours, own, gap), cell),
        **_against(cell, baseline, ours, sets),
        "baseline": cell["baseline"],
        "run_id": SEPARATOR.join(cell["run_ids"]),
        "sample_id": SEPARATOR.join(cell["sample_ids"]),
        "verdict_id": SEPARATOR.join(cell["verdict_ids"]),
        **{key: cell[key] for key in ("judge", "scale", "reading", "commit", "variant")},
    }


def statistic(cell: Cell) -> str:
    """RPO prints AlpacaEval's rate as a win rate among others; it is counted as AlpacaEval counts."""
    is_alpaca = cell["metric"] == "win_rate_pct" and cell["evaluation"] == "alpaca_eval"
    return "wr" if is_alpaca else cell["metric"]


def _status(cell: Cell, ours: Summary, own: list[VerdictSet] | None, gap: Gap | None) -> dict[str, str | None]:
    """The first of these that holds: no value; nothing to compare it with; another judge; consistent or not."""
    if ours.value is None or ours.ci_low is None or ours.ci_high is None:
        told = [one.metrics.get(cell["metric"], {}).get("reason") for one in own or []]
        reasons = [CITED] if cell["is_cited"] else [reason for reason in told if reason] or [NO_VERDICTS]
        return {"status": "not_run", "reason": reasons[0]}
    if not cell["comparable"]:
        return {"status": "not_comparable", "reason": f"scale {cell['scale']}: other models and data than the paper's"}
    if cell["reported"] is None:
        return {"status": "not_comparable", "reason": "no number is printed"}
    if cell["judge_is_substitute"]:
        return {"status": "substitute_judge", "reason": f"{cell['judge']} stands in for the paper's judge"}
    return {"status": gap.status if gap else "not_comparable", "reason": None}


def _told(status: dict[str, str | None], cell: Cell) -> dict[str, str | None]:
    """Add to the reason that samples were made elsewhere, or that adapters were trained in place of all weights."""
    source = f"samples imported from {cell['samples_from']}" if cell.get("samples_from") else None
    return status | {"reason": "; ".join(filter(None, [status["reason"], source, cell.get("deviation")])) or None}


def _against(cell: Cell, baseline: Cell | None, ours: Summary, sets: Sets) -> dict[str, Any]:
    """The difference from the baseline row of the same column; p is raw, the renderer adjusts it over the table."""
    found: Difference | None = None
    if ours.value is not None and baseline is not None and cell["row"] != cell["baseline"]:
        own, other = sets(cell), sets(baseline)
        found = compare(statistic(cell), own, other, cell["protocol"]) if own and other else None
    margin = cell["margin"] / 100 * METRICS[statistic(cell)].unit
    return {
        "p_vs_baseline": found and found.p,
        "diff": found and found.value,
        "diff_low": found and found.ci_low,
        "diff_high": found and found.ci_high,
        "diff_method": found and found.method,
        "margin": found and margin,
        "equivalence": found and found.equivalence(margin),
    }
