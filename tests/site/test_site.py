"""The documentation: what its pages are made of is in them, and the site builds with every link checked."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from method_pages import method_pages
from table_pages import table_pages

from prefrepro.files import ROOT
from prefrepro.plan.build import make_plan
from prefrepro.plan.plan import Plan
from prefrepro.specs.method import method_names, read_method
from prefrepro.specs.table import read_table, table_files


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan({"scale": "paper"})


def test_each_method_has_its_page_with_formula_and_hyper_parameters(plan: Plan) -> None:
    pages = method_pages(plan)
    assert set(pages) == {"methods/index.md", *(f"methods/{name}.md" for name in method_names())}
    for name in method_names():
        page, method = pages[f"methods/{name}.md"], read_method(name)
        assert method.summary in page
        assert "def loss(" in page
        for hparam, field in method.hparams.items():
            assert f"| `{hparam}` | {field.default} |" in page


def test_a_methods_page_says_readings_and_cells(plan: Plan) -> None:
    page = method_pages(plan)["methods/ipo.md"]
    assert "**ipo_log_probs** (rpo, log-probs of IPO): `paper`: summed" in page
    cell = next(cell for cell in plan.tables["table4"].spec["cells"] if cell["row"] == "ipo")
    assert f"| {cell['row_label']} | {cell['column_label']} | {cell['reported']} |" in page


def test_each_table_has_its_page_with_every_printed_number(plan: Plan) -> None:
    pages = table_pages(plan)
    for path in table_files():
        table = read_table(path)
        page = pages[f"tables/{table.paper}_{table.name}.md"]
        assert f"snakemake {table.target}" in page
        for row in table.rows:
            assert table.settings or row.label in page
            for value in row.reported.values():
                assert f"{value:.2f}" in page
        for line in table.settings:
            assert f"| {line.label} | {line.printed} |" in page


@pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed: pip install -e '.[docs]'"
)
def test_the_site_builds_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip()
    for page in (
        "index.html",
        "methods/rpo_paired.html",
        "tables/rpo_table4.html",
        "cli.html",
        "costs.html",
        "faq.html",
    ):
        html = (tmp_path / "site" / page).read_text(encoding="utf-8")
        assert "https://fonts.g" not in html, f"{page} fetches a font"
