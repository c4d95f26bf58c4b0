"""The licence of every pinned package, as its own metadata says: `python -m prefrepro.licences > docs/licences.md`.

Versions are those of requirements.txt, the texts those of what is installed (`make licences`).
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from tabulate import tabulate

from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.files import ROOT

PINNED = re.compile(r"([A-Za-z0-9_.-]+)==([^ ;]+)")
KNOWN = {
    "MIT License": "MIT",
    "Apache License": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "BSD 3-Clause License": "BSD-3-Clause",
    "Mozilla Public License Version 2.0": "MPL-2.0",
}
"""What a file or an old metadata field begins with -> its SPDX name."""


def pinned(requirements: Path = ROOT / "requirements.txt") -> dict[str, str]:
    """Name -> version of every pinned package."""
    matches = map(PINNED.match, requirements.read_text("utf-8").splitlines())
    return {match[1]: match[2] for match in matches if match}


def licence_of(name: str) -> str:
    """SPDX expression, classifier, or the first line of the licence file. Raises UserError where there is none."""
    try:
        package = distribution(name)
    except PackageNotFoundError:
        raise UserError(f"{name} is pinned in requirements.txt and not installed. Next: make setup") from None
    if found := _said(package):
        return KNOWN.get(found, found)
    raise UserError(f"{name} {package.version} names no licence. Next: ask its authors, or do without it")


def _said(package: Distribution) -> str | None:
    metadata: Any = package.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = [one.split(" :: ") for one in metadata.get_all("Classifier") or []]
    if named := [parts[-1] for parts in classifiers if parts[0] == "License" and len(parts) > 2]:
        return " / ".join(sorted(named))
    field = (metadata.get("License") or "").strip().partition("\n")[0]
    return field or _first_line(package)


def _first_line(package: Distribution) -> str | None:
    for file in package.files or []:
        if re.match(r"(LICEN[CS]E|COPYING)", file.name, re.IGNORECASE):
            lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
            return next((line for line in lines if line), None)
    return None


def page() -> str:
    """The whole list as Markdown."""
    rows = [(name, version, licence_of(name)) for name, version in sorted(pinned().items())]
    return (
        "# Licences\n\nOf every package that `requirements.txt` pins, by its own metadata. Made by `make licences`; "
        "the project itself is under Apache-2.0.\n\n"
        + tabulate(rows, ["package", "version", "licence"], "github")
        + "\n"
    )


def main() -> None:
    """Print the page."""
    sys.stdout.write(page())


if __name__ == "__main__":
    exit_on_user_error(main)
