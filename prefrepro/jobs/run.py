"""One node's work, done and recorded: its inputs checked, its module called, what came of it written down."""

from __future__ import annotations

import importlib
import os
import time

from prefrepro.errors import UserError
from prefrepro.jobs.integrity import check_intact, record_of
from prefrepro.jobs.machine import check_machine
from prefrepro.jobs.record import now, record_job
from prefrepro.jobs.timing import recorded
from prefrepro.plan.kinds import KINDS, VERDICTS
from prefrepro.plan.nodes import Graph, Node
from prefrepro.specs.runtime import Engine, Runtime
from prefrepro.train.tracking import tracker


def do(graph: Graph, node: Node) -> None:
    """Do one node's work and record it; its inputs must be there.

    Of processes that torchrun started, all train, and the first alone makes what is no training.
    """
    kind, results = KINDS[node.kind], graph.results
    is_first = os.environ.get("RANK", "0") == "0"
    if not kind.is_training and not is_first:
        return
    inputs = {}
    for role, node_id in node.inputs.items():
        source = graph.node(node_id)
        if not (results / source.done).is_file():
            raise UserError(f"{results / source.done} is missing; make it with: snakemake {results / source.done}")
        if node.kind != "table" or source.kind in VERDICTS:  # a table reads no weights
            check_intact(results, source.folder)
        inputs[role] = results / source.folder
    check_machine(graph, node)
    record_of(results, node.folder).unlink(missing_ok=True)  # it would be of what is about to be overwritten
    module, _, function = kind.work.partition(":")
    work = getattr(importlib.import_module(module), function)
    how, track = graph.runtime, None
    if kind.is_training and how["track"] and is_first:
        track = tracker(how["track"], results, node.id, node.spec)
    started, clock = now(), time.perf_counter()
    with recorded(results / "benchmarks" / "work" / f"{node.id}.json"):
        work(node.spec, inputs, results / node.folder, Runtime(Engine(**how["engine"]), how["budget_usd"], track))
    if is_first:
        if kind.is_training:
            from prefrepro.jobs.model_card import write_card  # pydantic, which most jobs do not need

            write_card(graph, node)  # here, because it is no part of what a training is: ids do not depend on its words
        record_job(graph, node, started, time.perf_counter() - clock)
