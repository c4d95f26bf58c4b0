"""pairs.csv: every two rows of a column, and every two columns of a row where a table's point is its columns.

`<table>.pairs.csv` has Holm's p over the table; joined, pairs.csv also has it over all that a paper compares.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from prefrepro.csv_schema.schema import load_schema
from prefrepro.stats.metrics import METRICS, VerdictSet, compare, estimates_together
from prefrepro.stats.paired import holm
from prefrepro.stats.pairs import all_pairs, ranks
from prefrepro.tables.cells import SEPARATOR, statistic

ALONG = {"rows": ("column", "row"), "columns": ("row", "column")}
"""What is compared -> the key that stays, and the key that differs."""
Cell = Mapping[str, Any]


def build_pairs(cells: Sequence[Cell], compared: Sequence[str], verdicts: Callable[[str], VerdictSet]) -> pd.DataFrame:
    """Rows of pairs.csv of one table, from its planned cells (keys as in `build_cells`); cited cells are left out."""
    rows = []
    for what in compared:
        place, name = ALONG[what]
        groups: dict[tuple[str, str, str], list[Cell]] = defaultdict(list)
        for cell in cells:
            if cell["verdict_ids"]:
                groups[cell[place], statistic(cell), cell["protocol"]].append(cell)
        for (at, metric, protocol), members in groups.items():
            if len(members) > 1:
                rows += _group(members, metric, protocol, verdicts, {"compared": what, "place": at}, name)
    adjusted = holm([row["p"] for row in rows])
    rows = [row | {"p_holm_table": p, "p_holm_paper": None} for row, p in zip(rows, adjusted, strict=True)]
    return pd.DataFrame(rows, columns=pd.Index(load_schema("pairs").columns))


def over_papers(pairs: pd.DataFrame) -> pd.DataFrame:
    """pairs.csv with Holm's p over all comparisons of a paper; the same two judgings in two tables are one."""
    adjusted: dict[Any, float | None] = {}
    for _, group in pairs.groupby(["scale", "reading", "variant", "paper"], sort=True):
        unique = {_identity(row): row["p"] for row in group.to_dict("records")}
        values = holm([None if pd.isna(p) else float(p) for p in unique.values()])
        adjusted |= dict(zip(unique, values, strict=True))
    return pairs.assign(p_holm_paper=[adjusted[_identity(row)] for row in pairs.to_dict("records")])


def _identity(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    judgings = frozenset((row["first_verdict_id"], row["second_verdict_id"]))
    return row["scale"], row["reading"], row["variant"], row["paper"], row["metric"], judgings


def _group(
    members: Sequence[Cell],
    metric: str,
    protocol: str,
    verdicts: Callable[[str], VerdictSet],
    about: Mapping[str, str],
    name: str,
) -> list[dict[str, Any]]:
    """All pairs of cells that answer one question; none where one has no value, or they share no prompts."""
    sets = [[verdicts(one) for one in cell["verdict_ids"]] for cell in members]
    together = estimates_together(metric, sets, protocol)
    if together is None:
        return []
    points, pairs = METRICS[metric].unit, all_pairs(together)
    places = ranks(len(members), pairs)
    rows = []
    for pair in pairs:
        first, second = members[pair.first], members[pair.second]
        found = compare(metric, sets[pair.first], sets[pair.second], protocol)
        rows.append(
            {
                **{key: first[key] for key in ("paper", "table", "metric", "scale", "reading", "variant")},
                **about,
                "first": first[name],
                "second": second[name],
                "diff": points * pair.value,
                "diff_low": points * pair.low,
                "diff_high": points * pair.high,
                "diff_method": pair.method,
                "p": found and found.p,
                "first_rank": "–".join(map(str, dict.fromkeys(places[pair.first]))),
                "second_rank": "–".join(map(str, dict.fromkeys(places[pair.second]))),
                "first_verdict_id": SEPARATOR.join(first["verdict_ids"]),
                "second_verdict_id": SEPARATOR.join(second["verdict_ids"]),
            }
        )
    return rows
