"""Wide tables for people: ours beside the printed number, as CSV, Markdown, LaTeX and HTML.

Here alone numbers are rounded. The same cells give the same bytes: no times, no host names.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from prefrepro.errors import UserError
from prefrepro.files import write_text
from prefrepro.specs.variant import DEFAULT, table_name
from prefrepro.stats.intervals import ALPHA
from prefrepro.stats.paired import ONE_SEED, holm
from prefrepro.tables.escape import csv_text
from prefrepro.tables.shown import PROMPT, Shown
from prefrepro.tables.template import fill_template
from prefrepro.tables.view import MARK, TRAININGS_DIFFER, View, clustered, number, view

TEMPLATES, FORMATS = Path(__file__).parent / "templates", ("md", "tex", "html")
CSV_PARTS = {
    "ours": "value",
    "low": "ci_low",
    "high": "ci_high",
    "printed": "reported",
    "ours − printed": "delta",
    "vs baseline": "diff",
    "vs baseline low": "diff_low",
    "vs baseline high": "diff_high",
    "p (Holm)": "p_holm",
    "n": "n",
    "invalid": "n_invalid",
    "status": "status",
}
"""Sub-column of the wide CSV -> column of cells.csv."""


MEASURES = {
    "win_rate_pct": "Win rate in percent",
    "wr": "Win rate in percent",
    "lc_wr": "Length-controlled win rate in percent",
    "mt_bench": "Mean rating, 1 to 10",
    "arena_hard_pct": "Win rate in percent, clear verdicts three times",
    "arena_hard_style_pct": "Win rate in percent, clear verdicts three times, style-controlled",
    "accuracy_pct": "Held-out pairs ranked as labelled, in percent",
    "top1_pct": "Held-out groups whose best response is ranked first, in percent",
}
SWITCH_HEAD = ["switch", "what it decides", "side", "what that means"]


@dataclass(frozen=True, slots=True)
class TableMeta:
    """What a table says besides its cells; labels by key, in the order of the print."""

    paper: str
    table: str
    title: str
    scale: str
    reading: str
    protocol: str
    judges: dict[str, str]
    """Column key -> judge asked."""
    row_labels: dict[str, str]
    column_labels: dict[str, str]
    comparable: bool
    """False: ours and the printed numbers are of different worlds, and every format says so."""
    judge_is_substitute: bool
    notes: list[str] = field(default_factory=list)
    switches: list[dict[str, str]] = field(default_factory=list)
    """The paper's switches as they stand: name, about, side, says."""
    variant: str = DEFAULT
    """What --config sets of it."""
    alarms: Sequence[str] = ()
    """Stand under the table, in the CSV in the column `note`."""

    def caution(self) -> str:
        """The sentence that keeps a reader from comparing what cannot be compared, or nothing."""
        if self.comparable and self.scale != "embedded":
            return ""
        world = "an embedded world" if self.scale == "embedded" else f"scale {self.scale}"
        return f"Numbers of {world}: not comparable with the printed ones."

    def full_column_labels(self) -> dict[str, str]:
        """Column labels; where the columns have different judges, each names its own."""
        if len(set(self.judges.values())) < 2:
            return self.column_labels
        return {key: f"{label} (judge {self.judges[key]})" for key, label in self.column_labels.items()}


def table_meta(
    cells: Sequence[Mapping[str, Any]],
    title: str,
    notes: Sequence[str] = (),
    switches: Sequence[dict[str, str]] = (),
) -> TableMeta:
    """Meta of one table from its planned cells (keys as in `build_cells`), labels in their order."""
    if not cells:
        raise UserError(f"{title}: a table without cells cannot be rendered")
    first = cells[0]
    judges: dict[str, dict[str, None]] = {}
    for cell in cells:
        judges.setdefault(cell["column"], {})[cell["judge"]] = None
    return TableMeta(
        **{key: first[key] for key in ("paper", "table", "scale", "reading", "variant")},
        title=title,
        protocol=", ".join(dict.fromkeys(cell["protocol"] for cell in cells)),
        judges={column: ", ".join(names) for column, names in judges.items()},
        row_labels={cell["row"]: cell["row_label"] for cell in cells},
        column_labels={cell["column"]: cell["column_label"] for cell in cells},
        comparable=all(cell["comparable"] for cell in cells),
        judge_is_substitute=any(cell["judge_is_substitute"] for cell in cells),
        notes=list(notes),
        switches=list(switches),
    )


def settings_meta(spec: Mapping[str, Any]) -> TableMeta:
    """Meta of a table of settings, or of answers, from its node's spec."""
    shown = spec.get("shown", ())
    labels = [one.get("row_label") or one["label"] for one in (*spec.get("settings", ()), *shown)]
    return TableMeta(
        **{key: spec[key] for key in ("paper", "table", "scale", "reading", "protocol", "variant")},
        title=f"{spec['where']}: {spec['title']}",
        judges={},
        row_labels={label: label for label in ([PROMPT] if shown else []) + labels},
        column_labels={one["column_label"]: one["column_label"] for one in shown} or {"ours": "Ours"},
        comparable=spec["scale_is_comparable"],
        judge_is_substitute=False,
        notes=spec["notes"],
        switches=spec["switches"],
    )


def write_table(cells: pd.DataFrame, meta: TableMeta, folder: Path) -> list[Path]:
    """Write .csv, .md, .tex and .html of one table into `folder` from its rows of cells.csv."""
    adjusted = cells.assign(p_holm=pd.Series(holm([number(p) for p in cells["p_vs_baseline"]]), cells.index, float))
    grid = {(cell["row"], cell["column"]): cell for cell in adjusted.to_dict("records")}
    views = {place: view(cell) for place, cell in grid.items()}
    lines = [_header(meta), _legend(cells, meta), *meta.notes]
    return _write(views, lines, _csv(grid, meta), meta, folder)


def write_settings(settings: Sequence[Mapping[str, Any]], meta: TableMeta, folder: Path) -> list[Path]:
    """The same files of a table of settings {label, ours, printed}; what differs from the print is marked."""
    views, rows = {}, []
    for setting in settings:
        ours, printed = str(setting["ours"]), str(setting["printed"])
        differs = setting["ours"] != setting["printed"]
        views[setting["label"], "ours"] = View(ours, "", f"{printed} (differs)" if differs else printed, "")
        rows.append([setting["label"], ours, printed, str(differs).lower(), meta.scale, meta.reading])
    lines = [_header(meta), "What our runs have; printed: the paper's.", *meta.notes]
    text = _csv_lines([["setting", "ours", "printed", "differs", "scale", "reading"], *rows])
    return _write(views, lines, text, meta, folder)


def write_shown(texts: Shown, notes: Sequence[str], meta: TableMeta, folder: Path) -> list[Path]:
    """The same files of a table of answers; the CSV has a line for each text."""
    views = {place: View(text, "", "", "") for place, text in texts.items()}
    rows = [
        [column, row, texts[row, column], meta.scale, meta.reading]
        for column in meta.column_labels
        for row in meta.row_labels
    ]
    lines = [_header(meta), *notes, *meta.notes]
    return _write(views, lines, _csv_lines([["where", "row", "text", "scale", "reading"], *rows]), meta, folder)


def _write(
    views: Mapping[tuple[str, str], View], lines: Sequence[str], csv_file: str, meta: TableMeta, folder: Path
) -> list[Path]:
    rows = [
        (label, [views.get((row, column)) for column in meta.column_labels]) for row, label in meta.row_labels.items()
    ]
    values = {
        "meta": meta,
        "labels": list(meta.full_column_labels().values()),
        "lines": lines,
        "rows": rows,
        "inline": [[label, *(cell.inline() if cell else "–" for cell in cells)] for label, cells in rows],
        "switches": [[switch[key] for key in ("name", "about", "side", "says")] for switch in meta.switches],
        "switch_head": SWITCH_HEAD,
    }
    texts = {"csv": csv_file, **{suffix: fill_template(TEMPLATES / f"table.{suffix}", values) for suffix in FORMATS}}
    paths = [folder / f"{table_name(asdict(meta))}.{suffix}" for suffix in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths


def _header(meta: TableMeta) -> str:
    judges = ", ".join(dict.fromkeys(meta.judges.values()))
    stand_in = " (stands in for the paper's judge)" if meta.judge_is_substitute else ""
    judged = f" Protocol: {meta.protocol}. Judge: {judges}{stand_in}." if judges else ""
    settings = "" if meta.variant == DEFAULT else f" Settings: {meta.variant}."
    return f"Scale: {meta.scale}. Reading: {meta.reading}.{settings}{judged}"


def _legend(cells: pd.DataFrame, meta: TableMeta) -> str:
    baselines = dict.fromkeys(str(key) for key in cells.loc[cells["p_vs_baseline"].notna(), "baseline"])
    labels = ", ".join(meta.row_labels.get(key, key) for key in baselines)
    methods = {str(method) for method in cells["diff_method"].dropna()}
    mark = f" vs baseline: ours less {labels} [95 % interval]." if labels else ""
    if methods - set(ONE_SEED):
        mark += f" {MARK}: the methods differ over training seeds, Holm-adjusted p < {ALPHA:g} over this table."
    if methods & set(ONE_SEED):
        mark += (
            f" {TRAININGS_DIFFER}: one seed each, Holm-adjusted p < {ALPHA:g} over this table; no evidence about the "
            "methods where trainings of one method spread by the standard deviation named, in points."
        )
    if {"consistent", "differs"} & set(cells["status"]):
        mark += " consistent, differs: the 95 % interval of ours less the printed number does, does not hold 0."
    measures = ", ".join(dict.fromkeys(MEASURES[metric] for metric in cells["metric"]))
    mark += clustered(cells.to_dict("records"), meta.column_labels)
    return f"{measures} [95 % interval]; printed: the number in the paper.{mark}"


def _csv(grid: Mapping[tuple[str, str], Mapping[str, Any]], meta: TableMeta) -> str:
    labels = meta.full_column_labels()
    provenance = {
        "scale": meta.scale,
        "reading": meta.reading,
        "protocol": meta.protocol,
        "judge": ", ".join(dict.fromkeys(meta.judges.values())),
        "note": " ".join(filter(None, [meta.caution(), *(f"Alarm. {alarm}" for alarm in meta.alarms)])),
    }
    head = ["row", *(f"{label}: {part}" for label in labels.values() for part in CSV_PARTS), *provenance]
    lines = [head]
    for row, label in meta.row_labels.items():
        cells = [grid.get((row, column), {}) for column in labels]
        numbers = [_csv_field(cell.get(key), key) for cell in cells for key in CSV_PARTS.values()]
        lines.append([label, *numbers, *provenance.values()])
    return _csv_lines(lines)


def _csv_lines(rows: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in rows:
        writer.writerow([field if _is_number(field) else csv_text(field) for field in row])
    return buffer.getvalue()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _csv_field(value: Any, key: str) -> str:
    if value is None or pd.isna(value):
        return ""
    if key == "p_holm":
        return f"{value:.4f}"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
