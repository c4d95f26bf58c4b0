"""Every number that a paper printed, with the judging behind it, from table specs and plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prefrepro.plan.build import make_plan
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan
from prefrepro.specs.evaluation import PREFERENCE

WHAT_IS_CLAIMED = {"scale": "paper", "reading": "paper"}
"""Which numbers are of one judging: T = 0 of Table 8 is Table 4 by the text, if not by the code."""
WHAT_WAS_RUN = {"scale": "paper", "reading": "code"}
"""What they are counts of: 800 of AlpacaEval's 805 prompts, and its discrete annotator."""
CONTINUOUS = ("weighted", "weighted_gpt4.1")
"""Annotators of AlpacaEval that give a share of a win."""


@dataclass(frozen=True, slots=True)
class Printed:
    """One printed number."""

    paper: str
    table: str
    row: str
    column: str
    row_label: str
    column_label: str
    metric: str
    kind: str
    """count: wins of n, halves for ties. mean: of shares of a win, or of several generations. fitted: by a model."""
    evaluation: str
    reported: float
    decimals: int
    """As printed in its table: the most of any number there, since YAML knows 75.00 as 75.0."""
    n: int
    """Prompts that the judging was of."""
    verdict_id: str
    """Its judging; two numbers of one judging and metric must be the same. Empty for a number cited from elsewhere."""
    baseline: str | None

    @property
    def place(self) -> str:
        return f"{self.paper} {self.table}, {self.row_label}, {self.column_label}"

    @property
    def text(self) -> str:
        return f"{self.reported:.{self.decimals}f}"


def read_printed() -> list[Printed]:
    """The numbers of every table that a paper prints, in its order. Raises UserError as planning does."""
    claimed, run = make_plan(dict(WHAT_IS_CLAIMED)), make_plan(dict(WHAT_WAS_RUN))
    return [one for target in claimed.printed for one in _of_table(claimed, run, target)]


def decimals(values: Iterable[float]) -> int:
    """The most decimals of any of these numbers."""
    return max((len(str(value).partition(".")[2].rstrip("0")) for value in values), default=0)


def _of_table(claimed: Plan, run: Plan, target: str) -> list[Printed]:
    every = claimed.tables[target].spec.get("cells", [])
    cells = [cell for cell in every if cell["reported"] is not None and cell["evaluation"] != PREFERENCE]
    places = decimals(cell["reported"] for cell in cells)
    as_run = run.tables[target].spec.get("cells", [])
    judged = {cell["column"]: cell["verdict_ids"][0] for cell in as_run if cell["verdict_ids"]}
    printed = []
    for cell in cells:
        # A number cited from elsewhere was judged as the others of its column.
        verdict = run.node(judged[cell["column"]])
        sample = run.node(verdict.inputs["sample"])
        printed.append(
            Printed(
                **{
                    key: cell[key] for key in ("paper", "table", "row", "column", "row_label", "column_label", "metric")
                },
                kind=_kind(cell["metric"], verdict, sample),
                evaluation=cell["evaluation"],
                reported=float(cell["reported"]),
                decimals=places,
                n=sample.spec["sampling"]["n"],
                verdict_id=";".join(cell["verdict_ids"]),
                baseline=cell["baseline"],
            )
        )
    return printed


def _kind(metric: str, verdict: Node, sample: Node) -> str:
    if metric not in ("win_rate_pct", "wr"):
        return "fitted"
    generations = sum(draws for _, draws in sample.spec["sampling"].get("generations", []))
    return "mean" if verdict.spec.get("annotator") in CONTINUOUS or generations > 1 else "count"
