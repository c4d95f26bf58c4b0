"""mkdocs calls this at each build: it adds the pages made from code and table specs, and orders the navigation.

The modules beside it make those pages: path -> Markdown. They know nothing of mkdocs; tests import them without it.
"""

from __future__ import annotations

from typing import Any

from command_pages import command_pages
from cost_pages import cost_table
from method_pages import method_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from table_pages import table_pages

from prefrepro.files import ROOT
from prefrepro.plan.build import make_plan

SECTIONS = {
    "Start": ["index.md", "quickstart.md", "your-own.md", "concepts.md", "limits.md", "faq.md", "architecture.md"],
    "Papers": ["protocol.md", "judging.md", "contrast.md"],
    "How to": [
        "add-method.md", "add-dataset.md", "add-model.md", "add-judge.md", "add-table.md", "add-paper.md", "costs.md",
        "pocket.md", "lora.md", "cluster.md", "sampling.md", "share.md",
    ],
    "Results": [
        "real.md", "results.md", "report.md", "provenance.md", "statistics.md", "frontier.md", "learning-rate.md",
        "log-probs.md",
        "embedded-world.md", "methods-embedded.md", "reliability.md", "performance.md",
    ],
}  # fmt: skip
"""Pages of each section, in order. A page that no section names stands under «More»."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Generate the pages and list every page in the navigation."""
    plan = make_plan({"scale": "paper"})
    made = {"methods": method_pages(plan), "tables": table_pages(plan), "cli": command_pages()}
    config.extra["pages"] = {path: text for pages in made.values() for path, text in pages.items()}
    config.extra["pages"]["results.md"] = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    written = {path.name for path in (ROOT / "docs").glob("*.md")} | {"results.md"}
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


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links that hold in the repository hold in the site too; the page of costs ends in its table."""
    found = markdown.replace("](../results/README.md", "](results.md")
    return f"{found}\n\n{cost_table()}" if page.file.src_uri == "costs.md" else found
