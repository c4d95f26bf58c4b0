"""How large a data node is: what its manifest counted where it is built, else what its source or the scale says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from prefrepro.inspect import results
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan
from prefrepro.specs.forecast import DataSize, Rates
from prefrepro.specs.sources import shape_of

read_json = cache(results.read_json)
"""A plan asks for the same manifests again and again."""

EVALUATED_TURNS = {"mt_bench": 2}
"""Prompt set -> answers to one prompt; 1 for all others."""

RANKED_RESPONSES = 4
"""Responses to a prompt in UltraFeedback and in the embedded world's groups."""


@dataclass(frozen=True, slots=True)
class Size:
    """The size of one data node. Tokens are means over sequences as trained on; NaN: unknown."""

    name: str
    """Its file in config/datasets"""
    rows: dict[str, int]
    """Part -> rows; `prompts`: what every model answers. A part that is missing is not known."""
    unique_share: float
    """Unique prompts per row of train."""
    responses: int
    prompt_tokens: float
    response_tokens: float
    answer_tokens: float | None
    """Tokens of one answer of a model; None: the most that fit"""
    turns: int
    """Answers to one prompt."""
    is_built: bool
    source: str

    @property
    def sequence_tokens(self) -> float:
        """Prompt and one response."""
        return self.prompt_tokens + self.response_tokens


def size_of(plan: Plan, node: Node, settings: Rates) -> Size:
    """The size of a data node of the plan. Raises UserError where its manifest cannot be read."""
    name, source = node.id.rpartition("_")[0], node.spec["source"]
    known = settings.data.get(name, DataSize())
    built = read_json(plan.results / node.done) if (plan.results / node.done).is_file() else None
    if built is not None:
        rows, said = dict(built["rows"]), f"{plan.results / node.done}"
        counts = built.get("counts", {})
        share = counts["unique_prompts"] / counts["rows"] if counts.get("unique_prompts") else 1.0
    else:
        rows = _planned_rows(source, known) | {"prompts": len(source.get("prompt_sha256", ())) or source["n_prompts"]}
        said = known.source
        total = known.rows.get("train") or rows.get("train")
        share = known.unique_prompts / total if known.unique_prompts and total else 1.0
    return Size(
        name=name,
        rows=rows,
        unique_share=min(share, 1.0),
        responses=known.responses or (RANKED_RESPONSES if shape_of(source) == "ranked" else 2),
        prompt_tokens=math.nan if known.prompt_tokens is None else known.prompt_tokens,
        response_tokens=math.nan if known.response_tokens is None else known.response_tokens,
        answer_tokens=known.answer_tokens,
        turns=EVALUATED_TURNS.get(source.get("set") or source.get("form") or "", 1),
        is_built=built is not None,
        source=said,
    )


def _planned_rows(source: dict[str, Any], known: DataSize) -> dict[str, int]:
    """Rows of each part: a world's are its own setting; of others the data set's file says how they are shared out."""
    if "rows" in source:
        return dict(source["rows"])
    rows: dict[str, int] = {**known.rows}
    if "train" in rows:
        released = rows["train"]
        rows |= {part: round(released * share) for part, share in source.get("parts", {}).items()}
    if "eval" in rows:
        rows["eval"] = min(rows["eval"], source.get("eval_rows", rows["eval"]))
    return rows
