# Asks the plan; knows no method, table or dataset by name.
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, workflow.basedir)

from prefrepro.errors import UserError
from prefrepro.inspect.forecast.budget import refuse_over_budget
from prefrepro.inspect.forecast.jobs import Forecaster
from prefrepro.plan.build import make_plan
from prefrepro.plan.resources import ScaleResources
from prefrepro.jobs.worker.start import start

try:
    PLAN = make_plan(config)
    SCALE_RESOURCES = ScaleResources(PLAN, Forecaster(PLAN))
except UserError as error:
    raise WorkflowError(str(error))

RESULTS = str(PLAN.results)
LOGS = f"{RESULTS}/logs"
TIMES = f"{RESULTS}/benchmarks"
TABLE_SUFFIXES = ("csv", "md", "tex", "html", "cells.csv")
TABLE_OF = {
    f"{node.spec['paper']}_{node.spec['table']}": target
    for target, node in PLAN.tables.items()
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
    """The interpreter; before it, for a job that wants devices, what leases it some of its own."""
    gpus = SCALE_RESOURCES.of(PLAN.node(wildcards.id)).gpus
    script = Path(workflow.basedir) / "workflow/scripts/gpu_slot.py"
    slot = [sys.executable, str(script), str(gpus), "--"] if gpus else []
    return shlex.join([*slot, sys.executable])


def trainer(wildcards, input):
    """The module that trains: by itself, or once for each of several devices."""
    several = SCALE_RESOURCES.of(PLAN.node(wildcards.id)).gpus > 1
    return "prefrepro.jobs.launch" if several else "prefrepro.train"


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
        raise WorkflowError(str(error))


def broken(target):
    """An input that says what is wrong with a table's spec, to whom asks for the table."""

    def refuse(wildcards):
        raise WorkflowError("\n".join(PLAN.broken[target]))

    return refuse


def table_files(target):
    """A table's files and what it is made of.

    Asking for both keeps a table of an older plan from passing for done where Snakemake's records are lost.
    """
    table = PLAN.tables[target].spec
    name = f"{table['paper']}_{table['table']}"
    files = [f"{RESULTS}/tables/{name}.{suffix}" for suffix in TABLE_SUFFIXES]
    return files + inputs_of(PLAN.tables[target])


def refuse_over_budget_of(jobs):
    """Nothing is started where what is to be judged does not fit the budget."""
    judged = [job.wildcards.id for job in jobs if job.rule.name == "judge"]
    made = [TABLE_OF[job.wildcards.name] for job in jobs if job.rule.name == "table"]
    try:
        refuse_over_budget(Forecaster(PLAN), judged, made)
    except UserError as error:
        raise WorkflowError(str(error))


# Once in the main process, before its first job, and not in a dry-run.
onstart:
    refuse_over_budget_of(list(workflow.dag.needrun_jobs()))
    # One process imports torch for all jobs of this machine; a cluster's jobs import for themselves.
    if workflow.is_main_process and workflow.local_exec:
        start()
