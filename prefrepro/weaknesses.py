"""What pip-audit found of the pinned packages: `make audit-deps`.

Its own exit code does not tell a weakness from a service that knows none of the packages, which a mirror of PyPI does
not. Exit code 1: a weakness is known, or a package was not audited; with --offline-ok the latter is said and is no
failure.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from prefrepro.errors import UserError, exit_on_user_error


def found(report: Path) -> tuple[list[str], list[str]]:
    """Known weaknesses, a line each, and packages that were not audited, of pip-audit's JSON. Raises UserError.

    No file: pip-audit ended before it had asked of any package, and all count as not audited.
    """
    if not report.exists():
        return [], ["every package: pip-audit reached no service"]
    try:
        packages = json.loads(report.read_text(encoding="utf-8"))["dependencies"]
        unknown = [f"{package['name']}: {package['skip_reason']}" for package in packages if "skip_reason" in package]
        weak = [
            f"{package['name']} {package['version']}: {one['id']}, mended in {', '.join(one['fix_versions']) or 'none'}"
            for package in packages
            if "skip_reason" not in package
            for one in package["vulns"]
        ]
        return weak, unknown
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{report} is not what pip-audit writes with --format json ({error!r})") from error


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m prefrepro.weaknesses", description="What pip-audit found.")
    parser.add_argument("report", type=Path, help="of pip-audit --format json --output")
    parser.add_argument("--offline-ok", action="store_true", help="packages that could not be audited are no failure")
    arguments = parser.parse_args()
    weak, unknown = found(arguments.report)
    for line in weak:
        sys.stderr.write(f"weak: {line}\n")
    if unknown:
        sys.stderr.write(f"NOT AUDITED: {len(unknown)} packages, the first {unknown[0]}\n")
    if not weak and not unknown:
        sys.stderr.write("No known weakness of any pinned package.\n")
    sys.exit(bool(weak) or (bool(unknown) and not arguments.offline_ok))


if __name__ == "__main__":
    exit_on_user_error(main)
