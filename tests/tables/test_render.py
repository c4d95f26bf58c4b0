"""Rendered tables: every format says what it must, and no label is ever a command."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_helpers import judged

from prefrepro.errors import UserError
from prefrepro.tables.cells import build_cells
from prefrepro.tables.escape import csv_text, html_text, latex_text, markdown_text
from prefrepro.tables.render import table_meta, write_table

HOSTILE = [
    "a|b\nc",
    "<script>alert(1)</script>",
    r"\input{/etc/passwd} 100% $x_1$ {",
    "=cmd|' /C calc'!A0",
    "[73] *β*",
]


@pytest.fixture
def planned(make_cell):
    """DPO against RPO-Paired, significantly better, with one invalid verdict; a third row was not run."""
    rows = [
        ("dpo", "DPO", ["d"], 72.26),
        ("rpo", "RPO-Paired (τ = 0.5)", ["r"], 78.52),
        ("kto", "KTO", ["k"], None),
    ]
    return [make_cell(row, ids, row_label=label, reported=printed) for row, label, ids, printed in rows]


@pytest.fixture
def sets(make_verdicts):
    """Verdicts of the first two rows."""
    return {
        "d": make_verdicts("d", ["win"] * 50 + ["loss"] * 50),
        "r": make_verdicts("r", ["win"] * 85 + ["invalid"] + ["loss"] * 14),
    }


def render(planned, sets, folder: Path, **changes) -> dict[str, str]:
    cells = [{**cell, **changes} for cell in planned]
    meta = table_meta(cells, "RPO Table 1", ["Decoded greedily."])
    paths = write_table(build_cells(cells, judged(sets)), meta, folder)
    assert [path.name for path in paths] == [f"rpo_table1.{suffix}" for suffix in ("csv", "md", "tex", "html")]
    return {path.suffix[1:]: path.read_text(encoding="utf-8") for path in paths}


def test_markdown_in_full(planned, sets, tmp_path: Path) -> None:
    text = re.sub(r"-{3,}", "---", re.sub(" +", " ", render(planned, sets, tmp_path)["md"]))
    assert text.split("\n\n") == [
        "### RPO Table 1",
        "Scale: paper. Reading: paper. Protocol: paper. Judge: gpt-4-0613.",
        "Win rate in percent \\[95 % interval\\]; printed: the number in the paper. "
        "vs baseline: ours less DPO \\[95 % interval\\]. these two trainings differ: one seed each, Holm-adjusted "
        "p &lt; 0.05 over this table; no evidence about the methods where trainings of one method spread by the "
        "standard deviation named, in points. consistent, differs: the 95 % interval of ours less the printed number "
        "does, does not hold 0.",
        "Decoded greedily.",
        "| | Win Rate |\n"
        "|:---|:---|\n"
        "| DPO | 50.00 \\[40.38, 59.62\\]; printed 72.26 (differs: -22.26 \\[-34.66, -8.76\\]); n 100 |\n"
        "| RPO-Paired (τ = 0.5) | 85.00 \\[76.72, 90.69\\]; printed 78.52 (consistent: +6.48 \\[-4.31, +17.15\\]); "
        "vs baseline +35.00 \\[+26.36, +44.75\\], these two trainings differ; no evidence about methods if trainings "
        "spread by 12.2 or more; n 100, invalid 1 |\n"
        "| KTO | not run |\n",
    ]


def test_a_mark_wants_several_seeds(planned, make_verdicts, tmp_path: Path) -> None:
    """One seed: words about two trainings. Three seeds that agree: † for the methods, and no such words."""
    for seeds, marked in ((1, False), (3, True)):
        cells, sets = [], {}
        for cell in planned[:2]:
            ids = [f"{cell['row']}{seed}" for seed in range(seeds)]
            wins = 50 if cell["row"] == "dpo" else 85
            sets |= {one: make_verdicts(one, ["win"] * (wins + i) + ["loss"] * (100 - wins - i))
                     for i, one in enumerate(ids)}  # fmt: skip
            cells.append(cell | {"verdict_ids": ids})
        for suffix, text in render(cells, sets, tmp_path).items():
            assert ("†" in text or "dagger" in text) == (marked and suffix != "csv"), (seeds, suffix)
            assert ("these two trainings differ" in text) == (not marked and suffix != "csv"), (seeds, suffix)
        if marked:
            assert "n 100 × 3 seeds" in (tmp_path / "rpo_table1.md").read_text()


def test_all_formats_carry_the_numbers(planned, sets, tmp_path: Path) -> None:
    for suffix, text in render(planned, sets, tmp_path).items():
        for part in ("85.00", "76.72", "90.69", "78.52", "gpt-4-0613", "72.26", "paper"):
            assert part in text, (suffix, part)
    table = list(csv.DictReader(io.StringIO((tmp_path / "rpo_table1.csv").read_text())))
    assert table[1]["Win Rate: ours"] == "85.00" and table[1]["Win Rate: invalid"] == "1"
    assert float(table[1]["Win Rate: p (Holm)"]) < 0.05
    assert table[2]["Win Rate: ours"] == "" and table[2]["Win Rate: status"] == "not_run"


def test_embedded_numbers_are_never_shown_as_comparable(planned, sets, tmp_path: Path) -> None:
    for suffix, text in render(planned, sets, tmp_path, scale="embedded", comparable=False).items():
        assert "of an embedded world: not comparable with the printed ones" in text, suffix
        assert "embedded" in text and "consistent" not in text and "differs:" not in text, suffix
    for text in render(planned, sets, tmp_path, scale="pocket", comparable=False).values():
        assert "Numbers of scale pocket: not comparable with the printed ones" in text
    for text in render(planned, sets, tmp_path).values():
        assert "not comparable" not in text


def test_judges_are_named(planned, make_cell, sets, tmp_path: Path) -> None:
    other = make_cell("dpo", ["d"], column="alpaca", column_label="AlpacaEval", judge="local", baseline=None)
    meta = table_meta([*planned, other], "T")
    assert meta.full_column_labels() == {
        "hh": "Win Rate (judge gpt-4-0613)",
        "alpaca": "AlpacaEval (judge local)",
    }
    texts = render(planned, sets, tmp_path, judge_is_substitute=True)
    assert "(stands in for the paper's judge)" in texts["md"]
    assert "(stands in for the paper&#x27;s judge)" in texts["html"]


def test_a_gap_in_the_grid_is_a_dash(planned, make_cell, sets, tmp_path: Path) -> None:
    other = make_cell("dpo", ["d"], column="tldr", column_label="TL;DR", baseline=None)
    texts = render([*planned, other], sets, tmp_path)
    assert "| –" in texts["md"] and ">–</td>" in texts["html"] and "{--}" in texts["tex"]


def test_the_same_cells_give_the_same_bytes(planned, sets, tmp_path: Path) -> None:
    assert render(planned, sets, tmp_path / "a") == render(planned, sets, tmp_path / "b")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)


def test_hostile_labels(make_cell, sets, tmp_path: Path) -> None:
    cells = [
        make_cell(f"row{i}", ["d"], row_label=label, column_label=HOSTILE[1], baseline=None)
        for i, label in enumerate(HOSTILE)
    ]
    meta = table_meta(cells, HOSTILE[2], HOSTILE)
    write_table(build_cells(cells, judged(sets)), meta, tmp_path)
    page = (tmp_path / "rpo_table1.html").read_text()
    tags = _Tags()
    tags.feed(page)
    assert "script" not in tags.seen and "&lt;script&gt;" in page
    assert 'name="viewport"' in page and "http" not in page and len(page) < 10_000
    markdown = (tmp_path / "rpo_table1.md").read_text()
    assert "<script" not in markdown
    grid = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(grid) == 2 + len(HOSTILE)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in grid} == {3}
    latex = (tmp_path / "rpo_table1.tex").read_text()
    assert "\\input" not in latex and r"\textbackslash{}input\{/etc/passwd\} 100\% \$x\_1\$ \{" in latex
    assert latex.count(r"\hline") == 3 and "\\\\\n[" not in latex and r"$\beta$" in latex
    with (tmp_path / "rpo_table1.csv").open(newline="") as file:
        labels = [row[0] for row in csv.reader(file)]
    assert labels[4] == f"'{HOSTILE[3]}" and labels[1] == "a|b c"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_with_hostile_labels(make_cell, sets, tmp_path: Path) -> None:
    cells = [make_cell(f"row{i}", ["d"], row_label=label, baseline=None) for i, label in enumerate(HOSTILE)]
    write_table(build_cells(cells, judged(sets)), table_meta(cells, HOSTILE[2], HOSTILE), tmp_path)
    (tmp_path / "main.tex").write_text("\\documentclass{article}\\begin{document}\\input{rpo_table1}\\end{document}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0


@given(st.text())
def test_escaped_text_is_one_harmless_line(text: str) -> None:
    for escape in (csv_text, html_text, markdown_text, latex_text):
        assert "\n" not in escape(text) and "\r" not in escape(text)
    assert not csv_text(text).startswith(("=", "+", "-", "@"))
    assert not {"<", ">", '"', "'"} & set(html_text(text))
    assert not re.search(r"(?<!\\)(\\\\)*[|`<]", markdown_text(text).replace("&lt;", ""))
    assert not re.search(r"(?<!\\)[%#&_]", latex_text(text))


@pytest.mark.parametrize(
    ("text", "latex"), [("τ × Λ", r"$\tau$ $\times$ $\Lambda$"), ("Αο", "Αο"), ("a~b^c|d", None), ("é", "é")]
)
def test_latex_characters(text: str, latex: str | None) -> None:
    assert latex_text(text) == (latex or r"a\textasciitilde{}b\textasciicircum{}c\textbar{}d")


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(UserError, match="without cells"):
        table_meta([], "T")
