"""From table specs to jobs: every data set, training, sample set and verdict set that a table needs, each once.

Imports neither torch nor Snakemake.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from prefrepro.errors import UserError
from prefrepro.plan import notes, settings
from prefrepro.plan.evaluation import Expander
from prefrepro.plan.frontier import add_distances, engine_of
from prefrepro.plan.parts import parts_in_use
from prefrepro.plan.plan import Plan
from prefrepro.plan.store import FILE, nodes_of, read_plan
from prefrepro.specs.config import Config
from prefrepro.specs.evaluation import LABELS, PREFERENCE
from prefrepro.specs.files import report
from prefrepro.specs.imported_rows import with_imported_rows
from prefrepro.specs.paper import read_paper
from prefrepro.specs.readings import reading_of
from prefrepro.specs.scale import config_and_scale
from prefrepro.specs.table import Column, Row, Table, read_table, table_files, target_of
from prefrepro.specs.variant import table_name, variant_of


def make_plan(given: dict[str, Any] | None = None) -> Plan:
    """The plan of every table at the config's scale.

    A table whose spec cannot be planned stands in `broken`, with its problems, and stops only who asks for it. Raises
    UserError where config, scale or a file that they name are wrong, or no table can be planned.
    """
    plan = empty_plan(*config_and_scale(given or {}))
    for path in table_files():
        before = dict(plan.nodes)
        try:
            add_table(plan, path)
        except UserError as error:
            plan.broken[target_of(path)] = error.problems
            plan.nodes = before  # what a broken table began, nobody wants
    add_distances(plan)
    if not plan.tables:
        report([problem for problems in plan.broken.values() for problem in problems])
    return plan


def planned(given: dict[str, Any]) -> Plan:
    """The plan of a config: as plan.json holds it, where that was written for the same config, else made anew."""
    plan = empty_plan(*config_and_scale(given))
    try:
        content = read_plan(plan.results / FILE)
    except UserError:
        return make_plan(given)
    if content["arguments"] != plan.arguments:
        return make_plan(given)
    plan.nodes, plan.broken = nodes_of(content), content["broken"]
    plan.tables = {target: plan.nodes[node_id] for target, node_id in content["tables"].items()}
    return plan


def empty_plan(config: Config, scale: dict[str, Any]) -> Plan:
    """A plan of a config and its scale, without nodes."""
    return Plan(
        Path("results") / config.scale,
        config.arguments(),
        {"engine": engine_of(scale), "budget_usd": config.budget_usd, "track": config.track},
        {key: scale[key] for key in ("description", "is_comparable", "models")},
        config=config,
        scale=scale,
    )


def add_table(plan: Plan, path: Path) -> None:
    """Add the table of one spec and all that it needs, unless it is of another scale. Raises UserError."""
    table = read_table(path)
    if table.is_made_at(plan.config.scale, plan.scale):
        table = with_imported_rows(table, plan.config.scale).part(plan.config.rows, plan.config.columns)
        _add_table(plan, table, read_paper(path.parent / "paper.yaml"))


def _add_table(plan: Plan, table: Table, paper: dict[str, Any]) -> None:
    if plan.parts is None:
        plan.parts = parts_in_use(plan)
    reading = reading_of(paper, plan.config)
    expander = Expander(plan, table, paper, reading)
    shared = {
        "paper": table.paper,
        "table": table.name,
        "title": table.title,
        "where": table.where,
        "notes": table.notes,
        "is_printed": table.is_printed,
        "compare": table.compare,
        "scale": plan.config.scale,
        "scale_description": plan.scale["description"],
        "scale_is_comparable": plan.scale["is_comparable"],
        "reading": plan.config.reading,
        "protocol": plan.config.protocol,
        "switches": reading.lines,
        "variant": variant_of(plan.config),
    }
    if table.settings:
        spec, inputs = shared | settings.of_table(expander), {}
    elif table.kind == "samples":
        shown = _shown(expander)
        spec = shared | {"cells": [], "trained": [], "shown": shown}
        inputs = {one[key]: one[key] for one in shown for key in ("data_id", "sample_id")}
    else:
        cells = [
            _cell(expander, row, column)
            for row in table.rows
            if row.evaluate
            for column in table.columns
            if not row.samples or column.key in row.samples
        ]
        trained = [
            expander.run(row, column, seed)
            for row in table.rows
            if not row.evaluate
            for column in table.columns[:1]
            for seed in _seeds(expander)
        ]
        runs = {
            row.label: [run for cell in cells if cell["row"] == row.key for run in cell["run_ids"]]
            for row in table.rows
        }
        said = [*table.notes, *_capped(expander, cells), *_imported(expander), *notes.of_rows(plan, runs)]
        evaluated = [one for cell in cells for one in cell["sample_ids"] + cell["verdict_ids"]]
        said += notes.of_packages(plan, [*evaluated, *trained])
        checks = _judge_checks(expander) if cells else []
        spec = shared | {"cells": cells, "trained": trained, "notes": said}
        spec |= {"judge_checks": checks} if checks else {}
        used = [*(node for cell in cells for node in cell["verdict_ids"]), *trained, *(one["id"] for one in checks)]
        inputs = {node: node for node in used}
    node_id = plan.add("table", table_name(spec), spec, inputs)
    plan.tables[table.target] = plan.nodes[node_id]


def switches_of(plan: Plan, path: Path) -> list[str]:
    """The switches that can change a table: planned with another side, it has other jobs or settings than in `plan`."""

    def made(switches: dict[str, str]) -> Any:
        other = empty_plan(plan.config.model_copy(update={"switches": switches}), plan.scale)
        other.parts = plan.parts
        with contextlib.suppress(UserError):  # what cannot be planned is another table too
            add_table(other, path)
        return [(node.inputs, node.spec.get("settings")) for node in other.tables.values()]

    chosen, known = plan.config.switches, read_paper(path.parent / "paper.yaml")["switches"]
    now = made(chosen)
    sides = {name: [side for side in switch if side not in ("about", "protocol_id")] for name, switch in known.items()}
    return [name for name in known if any(made(chosen | {name: side}) != now for side in sides[name])]


def _capped(expander: Expander, cells: list[dict[str, Any]]) -> list[str]:
    """What a table says where the scale takes fewer responses of a prompt than the paper."""
    most = expander.scale["max_draws"]
    samples = {sample for cell in cells for sample in cell["sample_ids"]}
    drawn = [expander.plan.nodes[sample].spec["sampling"].get("generations") for sample in samples]
    return [f"At this scale at most {most} response of each temperature."] if most and any(drawn) else []


def _imported(expander: Expander) -> list[str]:
    """What a table says of rows that were not trained here."""
    rows = [row for row in expander.table.rows if row.samples]
    files = [(row, ", ".join(sorted({Path(one["file"]).name for one in row.samples.values()}))) for row in rows]
    return [f"{row.label}: samples imported from {names}; not trained or sampled here." for row, names in files]


def _seeds(expander: Expander) -> range:
    return range(1, expander.config.seeds + 1)


def _cell(expander: Expander, row: Row, column: Column) -> dict[str, Any]:
    judge, evaluation = expander.judge_name(column), expander.evaluation(column)
    if row.samples and evaluation["evaluation"] == PREFERENCE:
        raise UserError(
            f"{expander.where}, row {row.key}: its samples were made elsewhere, and column {column.key} ranks held-out "
            "pairs, which wants a model; expected samples for judged columns only"
        )
    sources = [] if row.samples else expander.sources(row, column, _seeds(expander))
    runs = [run for run, _, _ in sources if run and row.method]
    if evaluation["evaluation"] == PREFERENCE:
        samples, verdicts = [], [expander.preference(column, run, model) for run, model, _ in sources]
    else:
        answered = [expander.sample(column, *source) for source in sources]
        samples = [expander.imported(row, column)] if row.samples else answered
        verdicts = [expander.verdict(sample, column) for sample in samples]
    deviation = notes.of_runs(expander.plan, runs)
    return {
        "paper": expander.table.paper,
        "table": expander.table.name,
        "row": row.key,
        "row_label": row.label,
        "column": column.key,
        "column_label": column.label,
        "metric": column.metric,
        "evaluation": evaluation["evaluation"],
        "reported": row.reported.get(column.key),
        "where": expander.table.where,
        "baseline": expander.table.baseline,
        "protocol": expander.config.protocol if evaluation["evaluation"] == "pairwise" else "paper",
        "judge": judge,
        "judge_is_substitute": judge != evaluation.get("judge", judge),
        "comparable": expander.scale["is_comparable"],
        "margin": expander.paper["equivalence_margin"],
        "verdict_ids": verdicts,
        "sample_ids": samples,
        "run_ids": runs,
        "is_cited": not verdicts,
        **({"samples_from": Path(row.samples[column.key]["file"]).name} if row.samples else {}),
        **({"deviation": deviation} if deviation else {}),
        "scale": expander.config.scale,
        "reading": expander.config.reading,
        "variant": variant_of(expander.config),
    }


def _judge_checks(expander: Expander) -> list[dict[str, str]]:
    """Where reward models judge: a column's label, and how its judge ranks held-out pairs."""
    judged = [column for column in expander.table.columns if expander.judge_name(column) != LABELS]
    found = [(column, expander.judge_check(column)) for column in judged]
    return [{"column_label": column.label, "id": node} for column, node in found if node]


def _shown(expander: Expander) -> list[dict[str, Any]]:
    """A table of answers: what each row answers to each column's prompt. Prompts of one evaluation are one data set."""
    together: dict[tuple[str, str], list[Column]] = {}
    for column in expander.table.columns:
        if not column.prompt_sha256:
            raise UserError(f"{expander.where}, column {column.key}: kind samples wants prompt_sha256 (data/shown.py)")
        together.setdefault((column.dataset, column.evaluation), []).append(column)
    found = []
    for columns in together.values():
        data = expander.shown(columns[0], [column.prompt_sha256 for column in columns])
        for row in expander.table.rows:
            found += [
                {
                    "row_label": row.label,
                    "column_label": column.label,
                    "sample_id": expander.sample(columns[0], *source, data),
                    "data_id": data,
                    "place": place,
                }
                for source in expander.sources(row, columns[0], [1])
                for place, column in enumerate(columns)
            ]
    return found
