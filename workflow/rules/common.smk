# Asks the plan; knows no method, table or dataset by name.
import shlex
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)

from prefrepro.data.package import package_file
from prefrepro.errors import UserError, visible
from prefrepro.inspect.forecast.budget import refuse_over_budget
from prefrepro.inspect.forecast.jobs import Forecaster
from prefrepro.jobs.worker.start import start
from prefrepro.judge.endpoint import api_endpoint
from prefrepro.plan.build import make_plan, planned
from prefrepro.plan.kinds import KINDS
from prefrepro.plan.resources import ScaleResources
from prefrepro.plan.store import FILE, write_plan
from prefrepro.plan.judges import of_judges
from prefrepro.plan.memory import refuse_unfit
from prefrepro.specs.judge import judge_config
from prefrepro.specs.table import target_named


def stop(message):
    """End Snakemake with our message alone: it would write a traceback around an exception."""
    sys.exit(f"error: {visible(str(message))}")


try:
    # A cluster's job reads this file again, and then the plan that the main process wrote.
    PLAN = make_plan(config) if workflow.is_main_process else planned(config)
    FORECASTER = Forecaster(PLAN)
    SCALE_RESOURCES = ScaleResources(PLAN, FORECASTER.hours)
except UserError as error:
    stop(error)

RESULTS = str(PLAN.results)
LOGS = f"{RESULTS}/logs"
TIMES = f"{RESULTS}/benchmarks"
PLAN_FILE = f"{RESULTS}/{FILE}"
TABLE_SUFFIXES = (
    "csv",
    "md",
    "tex",
    "html",
    "cells.csv",
    "cell_seeds.csv",
    "pairs.csv",
)
TABLE_OF = {node.name: target for target, node in PLAN.tables.items()}
# What a table may be called: its target, rpo_table1 and rpo/table1.
TABLE_RULES = {
    word: target
    for target, node in PLAN.tables.items()
    for word in (
        f"{node.spec['paper']}_{node.spec['table']}",
        f"{node.spec['paper']}/{node.spec['table']}",
        target,
    )
}


def ids(*kinds):
    """A pattern that matches the ids of the plan's nodes of these kinds, and nothing else."""
    return "|".join(node.id for node in PLAN.of_kind(*kinds)) or "(?!)"


# Snakemake takes a param that asks for `input` as derived from it and no reason to run again: another interpreter
# changes no result, and what of the config matters to a job is part of its id.
def python(wildcards, input):
    return shlex.quote(sys.executable)


def config_arguments(wildcards, input):
    return shlex.join(PLAN.config.arguments())


def asks(field):
    """What a job's attempt asks for; `wildcards.id` names its node, where it is one."""

    def ask(wildcards, attempt):
        node = PLAN.nodes.get(getattr(wildcards, "id", None))
        return getattr(SCALE_RESOURCES.of(node, attempt), field)

    return ask


# `turn` makes a group's jobs take turns where a profile limits it (--resources turn=1).
RESOURCES = {
    "gpu": asks("gpus"),
    "cpus_per_task": asks("cpus"),
    "mem_mb": asks("mem_mb"),
    "runtime": asks("runtime_min"),
    "turn": 1,
}


# Derived from `input`, as `python` is: on how many devices a run is made does not say which run it is.
def launch(wildcards, input):
    """The interpreter; before it, what leases a job the devices that it wants, or hides all of them."""
    gpus = SCALE_RESOURCES.of(PLAN.node(wildcards.id)).gpus
    script = Path(workflow.basedir) / "workflow/scripts/gpu_slot.py"
    slot = (
        [sys.executable, str(script), str(gpus), "--"]
        if gpus
        else ["env", "CUDA_VISIBLE_DEVICES="]
    )
    return shlex.join([*slot, sys.executable])


def job(wildcards, input):
    """The module that does a node: by itself, or as one training on several devices."""
    node = PLAN.node(wildcards.id)
    several = KINDS[node.kind].is_training and SCALE_RESOURCES.of(node).gpus > 1
    return "prefrepro.jobs.launch" if several else "prefrepro.jobs.main"


def done(wildcards):
    """The files that a node waits for."""
    return inputs_of(PLAN.node(wildcards.id))


def inputs_of(node):
    return [f"{RESULTS}/{PLAN.node(i).done}" for i in node.inputs.values()]


def printed_tables(wildcards):
    """The files of every table that a paper prints."""
    try:
        return [file for target in PLAN.printed for file in table_files(target)]
    except UserError as error:
        stop(error)


def broken(target):
    """An input that says what is wrong with a table's spec, to whom asks for the table."""

    def refuse(wildcards):
        stop("\n".join(PLAN.broken[target]))

    return refuse


def no_target(wildcards):
    """An input that says which target is near one that there is not."""
    rules = [rule.name for rule in workflow.rules if not rule.has_wildcards()]
    known = [name for name in rules if name not in TABLE_RULES]
    try:
        PLAN.table_named(wildcards.target, *known)
    except UserError as error:
        stop(error)
    stop(
        f'"{wildcards.target}" is no target of Snakemake. Did you mean {target_named(wildcards.target)}?'
    )


def table_files(target):
    """A table's files and what it is made of.

    Asking for both keeps a table of an older plan from passing for done where Snakemake's records are lost.
    """
    table = PLAN.tables[target]
    files = [f"{RESULTS}/tables/{table.name}.{suffix}" for suffix in TABLE_SUFFIXES]
    return files + inputs_of(table)


def prepare(jobs):
    """Refuse what would stop a job later: judging over the budget, without a key or by a judge that ended, a package
    that is not there, a chat template that cannot take the data, a GPU that cannot hold it. Write the jobs' plan.
    """
    judged = [job.wildcards.id for job in jobs if job.rule.name == "judge"]
    packages = [
        PLAN.node(job.wildcards.id) for job in jobs if job.rule.name == "package"
    ]
    from prefrepro.inspect.chats import refuse_chats  # once, in the main process

    nodes = [
        PLAN.nodes[job.wildcards.id]
        for job in jobs
        if getattr(job.wildcards, "id", None) in PLAN.nodes
    ]
    made = [TABLE_OF[job.wildcards.name] for job in jobs if job.rule.name == "table"]
    try:
        refuse_over_budget(FORECASTER, judged, made)
        for warning in of_judges(PLAN, map(PLAN.node, judged)):
            sys.stderr.write(f"warning: {warning}\n")
        refuse_unfit(PLAN, nodes)
        for node in packages:
            package_file(node.spec)
        refuse_chats(PLAN, nodes)
        judges = [PLAN.node(node_id).spec["judge"] for node_id in judged]
        for name, judge in {judge["name"]: judge for judge in judges}.items():
            if judge["kind"] == "api":
                api_endpoint(judge_config(judge, f'judge "{name}"'))
        if workflow.is_main_process:
            write_plan(PLAN)
    except UserError as error:
        stop(error)


# Once in the main process, before its first job, and not in a dry-run.
onstart:
    prepare(list(workflow.dag.needrun_jobs()))
    # One process imports torch for all jobs of this machine; a cluster's jobs import for themselves.
    if workflow.is_main_process and workflow.local_exec:
        start()
