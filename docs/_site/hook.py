"""mkdocs calls this at each build: it adds the pages made from code and table specs, and orders the navigation.

The modules beside it make those pages: path -> Markdown. They know nothing of mkdocs; tests import them without it.
"""

from __future__ import annotations

from typing import Any

from command_pages import command_pages
from cost_pages import cost_pages
from method_pages import method_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from table_pages import table_pages

from prefrepro.files import ROOT
from prefrepro.plan.build import make_plan

SECTIONS = {
    "Start": ["index.md", "quickstart.md", "concepts.md", "architecture.md", "limits.md", "faq.md"],
    "Papers": ["protocol.md", "judging.md", "contrast.md"],
    "How to": [
        "add-method.md", "add-dataset.md", "add-model.md", "add-judge.md", "add-table.md", "add-paper.md", "share.md",
        "cluster.md", "sampling.md", "pocket.md", "lora.md", "costs.md",
    ],
    "Results": [
        "results.md", "report.md", "provenance.md", "statistics.md", "embedded-world.md", "methods-embedded.md",
        "reliability.md", "performance.md",
    ],
}  # fmt: skip
"""Pages of each section, in order. A page that no section names stands under «More»."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Generate the pages and list every page in the navigation."""
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
    """Add the generated pages."""
    for path, text in config.extra.pop("pages").items():
        files.append(File.generated(config, path, content=text))
    return files
