"""What the documentation names is there: paths of the repository, modules that are run, functions of the walks."""

from __future__ import annotations

import importlib.util
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefrepro.files import ROOT

PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "results/README.md",
]
ROOMS = sorted(path.name for path in (ROOT / "prefrepro").iterdir() if (path / "__init__.py").exists())
FOLDERS = "prefrepro|methods|config|workflow|profiles|paper_tables|docs|bench|tests"
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*[\w/]")
MODULE = re.compile(r"python -m ((?:prefrepro|bench)[\w.]*)")
DOTTED = re.compile(r"(?:prefrepro\.)?([a-z_]+(?:\.\w+){2,})")
EXPLAINED = {"room.module.function", "prefrepro.room.module.function"}
MADE_BY_A_READER = re.compile(r"my|mine|local\.yaml|partitions\.yaml|tests/fuzz/kept|config/imports")
"""Names of files that a page tells its reader to write, or that a command writes."""


def page_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code(path: Path) -> Iterator[str]:
    """What a page has in backticks; its fenced blocks are executed or checked elsewhere."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    yield from CODE.findall(text)


@pytest.mark.parametrize("page", PAGES, ids=page_of)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    found = {path for text in code(page) if not re.search(r"[<*…{]|\b[A-Z]{3,}\b", text) for path in PATH.findall(text)}
    gone = [path for path in found if not (ROOT / path).exists() and not MADE_BY_A_READER.search(path)]
    assert not gone, f"{page_of(page)} names {', '.join(sorted(gone))}, which is not there"


@pytest.mark.parametrize("page", PAGES, ids=page_of)
def test_every_module_that_a_page_runs_is_there(page: Path) -> None:
    for module in MODULE.findall(page.read_text(encoding="utf-8")):
        found = importlib.util.find_spec(module)
        assert found is not None, f"{page_of(page)} runs python -m {module}, which is not there"
        assert not found.submodule_search_locations or importlib.util.find_spec(f"{module}.__main__"), module


@pytest.mark.parametrize("page", PAGES, ids=page_of)
def test_every_function_that_a_page_names_is_there(page: Path) -> None:
    """`room.module.function`, with or without the package's name before it, and `methods.module.name`."""
    for text in code(page):
        match = DOTTED.fullmatch(text)
        if match is None or text in EXPLAINED:
            continue
        room = match[1].split(".")[0]
        if room not in (*ROOMS, "methods") and page.name != "architecture.md":
            continue  # a library's
        try:
            pkgutil.resolve_name(match[1] if room == "methods" else f"prefrepro.{match[1]}")
        except (ImportError, AttributeError) as error:
            pytest.fail(f"{page_of(page)} names `{text}`, which is not there: {error}")


def test_the_walks_name_functions_of_every_room_on_the_way() -> None:
    walks = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("\n## ")[1:]
    rooms = [{name.split(".")[0] for name in CODE.findall(walk) if DOTTED.fullmatch(name)} for walk in walks]
    assert {"data", "train", "model", "methods"} <= rooms[0]
    assert {"specs", "plan", "jobs", "train", "sample", "judge", "csv_schema", "stats", "tables"} <= rooms[1]


def test_the_picture_and_the_list_of_rooms_are_complete() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    for room in ROOMS:
        assert f"| `prefrepro/{room}/` |" in page
        assert f">{room}/</text>" in picture
