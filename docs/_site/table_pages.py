"""A page for each table: what the paper prints, what a cell is made of, and how to make it."""

from __future__ import annotations

from collections import Counter

from prefrepro.files import ROOT
from prefrepro.plan.plan import Plan
from prefrepro.specs.paper import read_paper
from prefrepro.specs.table import Row, Table, read_table, table_files

METRICS = {
    "win_rate_pct": "win rate in percent against the data's chosen responses",
    "wr": "AlpacaEval win rate in percent",
    "lc_wr": "AlpacaEval length-controlled win rate in percent",
    "mt_bench": "MT-Bench, mean rating from 1 to 10",
    "arena_hard_pct": "Arena-Hard win rate in percent",
    "arena_hard_style_pct": "Arena-Hard win rate in percent, style-controlled",
    "accuracy_pct": "held-out pairs ranked as labelled, in percent",
    "top1_pct": "held-out groups whose best response is ranked first, in percent",
}


def table_pages(plan: Plan) -> dict[str, str]:
    """Path -> Markdown, an index first. `plan`: of the scale whose jobs are counted."""
    tables = [read_table(path) for path in table_files()]
    rows = [
        f"| [{table.title}]({table.paper}_{table.name}.md) | {_paper(table)}, {table.where} | `{table.target}` "
        f"| {_n_printed(table) or '–'} |"
        for table in tables
    ]
    index = "\n".join(["| table | where | target | printed numbers |", "|---|---|---|---|", *rows])
    about = "Each has one spec in `paper_tables/`, from which its page is made."
    pages = {"tables/index.md": f"# Tables\n\n{about}\n\n{index}\n"}
    return pages | {f"tables/{table.paper}_{table.name}.md": _page(plan, table) for table in tables}


def _paper(table: Table) -> str:
    paper = read_paper(ROOT / "paper_tables" / table.paper / "paper.yaml")
    return f"[{table.paper}](https://arxiv.org/abs/{paper['arxiv']})" if "arxiv" in paper else table.paper


def _n_printed(table: Table) -> int:
    settings = sum(line.printed is not None for line in table.settings)
    return settings + sum(value is not None for row in table.rows for value in row.reported.values())


def _page(plan: Plan, table: Table) -> str:
    parts = [
        f"# {table.paper}/{table.name}: {table.title}",
        f"{_paper(table)}, {table.where}. Spec: `paper_tables/{table.paper}/{table.name}.yaml`.",
    ]
    if table.kind == "samples":
        parts.append("The paper prints texts and no number, so `snakemake tables` leaves it out.")
    elif not table.is_printed:
        parts.append("No paper prints it: all numbers are ours, and `snakemake tables` leaves it out.")
    parts.append(f"```bash\nsnakemake {table.target}\nprefrepro show {table.paper}/{table.name}\n```")
    heading = "## What answers" if table.kind == "samples" else "## What is printed"
    parts += [heading, _settings(table) if table.settings else _printed(table)]
    parts += [_columns(table)] if not table.settings else []
    if table.baseline:
        label = next(row.label for row in table.rows if row.key == table.baseline)
        parts.append(f"Tests are against **{label}**.")
    parts += ["\n".join(f"- {note}" for note in table.notes)]
    if table.target in plan.tables:
        counts = Counter(node.kind for node in plan.needed_by([table.target]))
        said = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items())
        parts += [
            f"## Jobs at scale {plan.config.scale}",
            f"{said}. What they take: `prefrepro forecast {table.target}`.",
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _printed(table: Table) -> str:
    header = ["row", "method", *(column.label for column in table.columns)]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for row in table.rows:
        values = [row.reported.get(column.key) for column in table.columns]
        shown = ["–" if value is None else f"{value:.2f}" for value in values]
        lines.append(f"| {' | '.join([row.label, _made_of(row), *shown])} |")
    return "\n".join(lines)


def _made_of(row: Row) -> str:
    if row.external:
        return f"released weights, `{row.external}`"
    if row.untrained:
        return "the model as it is"
    given = ", ".join(f"{key} {value}" for key, value in row.hparams.items())
    selected = f", pairs {row.pairs}" if row.pairs else ""
    return f"[{row.method}](../methods/{row.method}.md){f' ({given})' if given else ''}{selected}"


def _settings(table: Table) -> str:
    rows = [f"| {line.label} | {line.printed} | `{line.value}` |" for line in table.settings]
    return "\n".join(["| setting | printed | field of a run |", "|---|---|---|", *rows])


def _columns(table: Table) -> str:
    lines = []
    for column in table.columns:
        own = {**column.hparams, **column.training, **column.sampling}
        more = f", {', '.join(f'{key} {value}' for key, value in own.items())}" if own else ""
        lines.append(
            f"- {column.label}: {METRICS[column.metric]}; model `{column.model}`, data `{column.dataset}`, "
            f"evaluation `{column.evaluation}`{more}"
        )
    return "\n".join(lines)
