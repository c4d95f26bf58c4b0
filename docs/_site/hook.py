"""What mkdocs asks of us: the pages that are made anew, and which pages there are in which order."""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from prefrepro.files import ROOT
from prefrepro.plan.build import make_plan
from prefrepro.site.commands import command_pages
from prefrepro.site.costs import cost_pages
from prefrepro.site.methods import method_pages
from prefrepro.site.tables import table_pages

SECTIONS = {
    "Start": ["index.md", "quickstart.md", "concepts.md", "limits.md", "faq.md"],
    "How to": [
        "add-method.md", "add-dataset.md", "add-judge.md", "add-table.md", "add-paper.md", "share.md", "cluster.md",
        "sampling.md", "pocket.md", "lora.md", "costs.md",
    ],
    "Results": [
        "results.md", "report.md", "provenance.md", "statistics.md", "embedded-world.md", "methods-embedded.md",
        "reliability.md", "performance.md",
    ],
}  # fmt: skip
"""Pages in this order, those that are there; a page that is nowhere here stands under «More»."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Makes the pages, and the navigation of all that are there."""
    plan = make_plan({"scale": "paper"})
    made = {"methods": method_pages(plan), "tables": table_pages(plan), "cli": command_pages()}
    config.extra["pages"] = {path: text for pages in made.values() for path, text in pages.items()}
    config.extra["pages"] |= cost_pages()
    config.extra["pages"]["results.md"] = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    written = {path.name for path in (ROOT / "docs").glob("*.md")} | {"results.md", "costs.md"}
    nav: list[Any] = [{title: [one for one in pages if one in written]} for title, pages in SECTIONS.items()]
    nav += [{"Tables": list(made["tables"])}, {"Methods": list(made["methods"])}, {"Command line": "cli.md"}]
    more = sorted(written - {one for pages in SECTIONS.values() for one in pages})
    config.nav = [*nav, {"More": more}] if more else nav
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that were made."""
    for path, text in config.extra.pop("pages").items():
        files.append(File.generated(config, path, content=text))
    return files
