"""GPU hours of all preference runs of both papers on one H200, by arithmetic from the plan: no measurement.

Per run: its rows, the mean lengths of its data, the operations of its model's shape. Ways differ in what they compute
beside the bound, which is the forward and backward pass of every unique token.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cache

from bench.shapes import BACKWARD, FORWARD, SHAPES, Lengths, Shape, draw_lengths, padded_tokens
from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.inspect.forecast.jobs import Forecaster
from prefrepro.inspect.forecast.work import reference_work, training_work
from prefrepro.plan.build import make_plan
from prefrepro.specs.method import read_method

RATE = 790e12
"""FLOP/s of bfloat16 products, measured on an H200."""
SIDE_BY_SIDE = 8
"""Rows that are padded to one width."""
DRAWN = 2048
"""Rows whose lengths are drawn for the share of padding."""
SHAPE_OF = {"mistral-7b": "mistral-7b", "mistral-7b-instruct": "mistral-7b", "llama2-7b": "7b", "llama2-13b": "13b"}


@dataclass(frozen=True, slots=True)
class Way:
    """How a trainer goes about it."""

    name: str
    tokens: str
    """padded | separate | unique: what goes through the model"""
    twice: bool
    """Whether activations are made twice"""
    live: bool
    """Whether the reference model runs beside the policy; else its log-probs are made once for all runs of a kind"""
    all_logits: bool
    rate_share: float
    """Share of RATE that it reaches: assumed"""


WAYS = (
    Way("official style: padded, live reference, activations made twice", "padded", True, True, True, 0.35),
    Way("activations kept", "padded", False, True, True, 0.35),
    Way("reference log-probs from disk", "padded", False, False, True, 0.35),
    Way("packed, logits of responses only", "separate", False, False, False, 0.45),
    Way("prompt shared", "unique", False, False, False, 0.5),
)
BOUND = Way("the bound: unique tokens at the full rate", "unique", False, False, False, 1.0)


@dataclass(frozen=True, slots=True)
class Run:
    """One preference run of the plan, or one set of reference log-probs."""

    model: str
    rows: float
    """Prompts with `k` responses each, all epochs together"""
    k: int
    prompt: float
    """Mean tokens"""
    response: float
    backward_share: float = 1.0
    """Of the rows; the others go through a forward pass only"""


def campaign() -> tuple[list[Run], list[Run]]:
    """Every alignment run of every table at the papers' scale, and the reference log-probs that they share.

    Raises UserError where the plan does not know how long rows are.
    """
    plan = make_plan({"scale": "paper"})
    forecaster, runs, references = Forecaster(plan), [], []
    for node in plan.of_kind("run", "reference"):
        size = forecaster.size(node.inputs["data"])
        is_run = node.kind == "run"
        work = training_work(node, size) if is_run else reference_work(node, size)
        if not work.sequences or size.prompt_tokens is None or size.response_tokens is None:
            raise UserError(f"{node.id}: config/scales/paper.yaml, forecast, does not say how long its rows are")
        needs = read_method(node.spec["method"]).needs if is_run else {}
        k = {"pairs": 2, "groups": size.responses}.get(needs.get("rows", "pairs"), 1) if is_run else size.responses
        rows, lengths = work.sequences * work.passes / k, (size.prompt_tokens, size.response_tokens)
        if is_run:
            # KTO's estimate of its KL reads responses to other prompts, without a gradient.
            share = 0.5 if needs.get("mismatched") else 1.0
            runs.append(Run(node.spec["model"], rows, k, *lengths, share))
        else:
            references.append(Run(node.id.split("_")[1], rows, k, *lengths, 0.0))
    return runs, references


@cache
def _lengths(prompt: float, response: float, k: int) -> tuple[Lengths, ...]:
    return tuple(draw_lengths(DRAWN, (prompt, response), k))


def forward_flops(shape: Shape, run: Run, tokens: str, all_logits: bool) -> float:
    """One forward pass of all rows of a run."""
    rows = _lengths(run.prompt, run.response, run.k)
    through = {
        "padded": padded_tokens(rows, SIDE_BY_SIDE),
        "separate": sum(row.separate for row in rows),
        "unique": sum(row.unique for row in rows),
    }[tokens]
    logits = through if all_logits else sum(sum(row.responses) for row in rows)
    attended = sum(row.attended for row in rows)
    return shape.forward_flops(through, logits, attended) / len(rows) * run.rows


def hours(way: Way, runs: list[Run], references: list[Run]) -> float:
    """H200 hours of all runs."""
    flops = 0.0
    for run in runs if way.live else [*runs, *references]:
        passes = FORWARD + run.backward_share * (BACKWARD + FORWARD * way.twice) + FORWARD * way.live
        flops += passes * forward_flops(SHAPES[SHAPE_OF[run.model]], run, way.tokens, way.all_logits)
    return flops / (way.rate_share * RATE) / 3600


def main() -> None:
    """The command: a table on the terminal."""
    parser = argparse.ArgumentParser(prog="python -m bench.campaign", description=(__doc__ or "").splitlines()[0])
    parser.parse_args()
    runs, references = campaign()
    print(f"{len(runs)} preference runs")
    for way in (*WAYS, BOUND):
        print(f"{hours(way, runs, references):7.0f} h  {way.name}")


if __name__ == "__main__":
    exit_on_user_error(main)
