"""Whatever a file of ours names as a document is in the repository, or is written by a command; anchors exist too."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from prefrepro.files import ROOT

NAMED = re.compile(r"(?<![\w/*}])((?:[\w.-]+/)*[\w.-]+\.md)\b(?:#([\w-]+))?")
SOURCE = re.compile(r"https?://\S+")
MADE = re.compile(
    r"(.*/)?(audit|calibration|claims|first_gpu|forecast|frontier|samples|figures|cli|results)\.md|(.*/)?(methods|tables|model)/[\w.-]+\.md"
    r"|(rpo|swepo)_[\w-]+\.md|\.md"
)
"""Written by our commands, or when the documentation is built."""
TESTED = {"tests/site/test_documents.py"}


def ours() -> Iterator[tuple[Path, str]]:
    """Every text file that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if name not in TESTED and path.is_file() and path.suffix not in (".gz", ".png", ".lock", ".jsonl"):
            try:
                yield path, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def found(name: str, by: Path) -> Path | None:
    """The file that `name` means in the file `by`."""
    places = (by.parent / name, ROOT / name, ROOT / "docs" / name)
    return next((place.resolve() for place in places if place.is_file()), None)


@cache
def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[ -]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def problems(by: Path, text: str) -> Iterator[str]:
    for match in NAMED.finditer(SOURCE.sub("", text)):
        name, anchor = match.groups()
        page = found(name, by)
        if page is None and not MADE.fullmatch(name):
            yield f"{by.relative_to(ROOT)}: {name} is not in the repository"
        if page is not None and anchor and anchor not in anchors(page):
            yield f"{by.relative_to(ROOT)}: {name} has no heading #{anchor}"


LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")


def test_every_link_of_a_page_leads_to_a_committed_file() -> None:
    """As GitHub shows them: no page that only a build makes, no file that git ignores."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    known = {ROOT / name for name in listed.splitlines()}
    known |= {folder for path in known for folder in path.parents}
    gone = []
    for by in sorted(path for path in known if path.suffix == ".md" and "tests" not in path.parts):
        text = re.sub(r"^```.*?^```|`[^`\n]*`", "", by.read_text(encoding="utf-8"), flags=re.M | re.S)
        for name, anchor in LINK.findall(text):
            target = (by.parent / name).resolve() if name else by
            if target not in known or (anchor and anchor not in anchors(target)):
                gone.append(f"{by.relative_to(ROOT)}: {name}#{anchor}")
    assert gone == []


def test_no_file_names_a_document_that_is_not_there() -> None:
    assert [one for by, text in ours() for one in problems(by, text)] == []


def test_what_is_not_there_is_found() -> None:
    by = ROOT / "prefrepro" / "files.py"
    assert list(problems(by, "see PROTOCOL.md §2")) == ["prefrepro/files.py: PROTOCOL.md is not in the repository"]
    assert list(problems(by, "docs/protocol.md#d99")) == ["prefrepro/files.py: docs/protocol.md has no heading #d99"]
    assert list(problems(by, "docs/protocol.md#d1, docs/judging.md#prices")) == []
