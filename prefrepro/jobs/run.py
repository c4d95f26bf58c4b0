"""One node's work, done and recorded: its inputs checked, its module called, what came of it written down."""

from __future__ import annotations

import importlib
import os
import time
from typing import TYPE_CHECKING

from prefrepro.errors import UserError
from prefrepro.jobs.integrity import check_intact, record_of
from prefrepro.jobs.model_card import MODELS, write_card
from prefrepro.jobs.record import now, record_job
from prefrepro.jobs.timing import recorded
from prefrepro.specs.runtime import Engine, Runtime
from prefrepro.train.tracking import tracker

if TYPE_CHECKING:
    from prefrepro.plan.nodes import Node, Plan

WORK = {
    "data": "prefrepro.data.build:build",
    "base": "prefrepro.train.run:pretrain",
    "sft": "prefrepro.train.run:align",
    "run": "prefrepro.train.run:align",
    "reward_model": "prefrepro.train.run:align",
    "reference": "prefrepro.train.shared:reference",
    "embeddings": "prefrepro.train.shared:embeddings",
    "reference_rewards": "prefrepro.train.shared:rewards",
    "sample": "prefrepro.sample.generate:run",
    "import": "prefrepro.sample.imported:run",
    "verdict": "prefrepro.judge.stage:run",
    "table": "prefrepro.tables.build:run",
}

TRAINED = ("base", "sft", "run", "reward_model")


def do(plan: Plan, node: Node) -> None:
    """Do one node's work and record it; its inputs must be there.

    `results` is the scale's folder below the working directory. Of processes that torchrun started, all train, and the
    first alone makes what is no training.
    """
    is_first = os.environ.get("RANK", "0") == "0"
    if node.kind not in TRAINED and not is_first:
        return
    inputs = {}
    for role, node_id in node.inputs.items():
        source = plan.node(node_id)
        if not (plan.results / source.done).is_file():
            raise UserError(
                f"{plan.results / source.done} is missing; make it with: snakemake {plan.results / source.done}"
            )
        if node.kind != "table" or source.kind == "verdict":  # a table reads no weights
            check_intact(plan.results, source.folder)
        inputs[role] = plan.results / source.folder
    record_of(plan.results, node.folder).unlink(missing_ok=True)  # it would be of what is about to be overwritten
    module, _, function = WORK[node.kind].partition(":")
    work = getattr(importlib.import_module(module), function)
    track = None
    if node.kind in MODELS and plan.config.track and is_first:
        track = tracker(plan.config.track, plan.results, node.id, node.spec)
    runtime = Runtime(Engine(**plan.scale["engine"]), plan.config.budget_usd, track)
    started, clock = now(), time.perf_counter()
    with recorded(plan.results / "benchmarks" / "work" / f"{node.id}.json"):
        work(node.spec, inputs, plan.results / node.folder, runtime)
    if node.kind in MODELS and is_first:
        write_card(plan, node)  # here, because it is no part of what a training is: ids do not depend on its words
    if is_first:
        record_job(plan, node, started, time.perf_counter() - clock)
