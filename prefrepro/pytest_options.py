"""pytest's options for checking other files than the project's: `pytest -k published_verdicts --acceptance DIR`.

Installed as a plugin, because of the blank: DIR looks like a path of tests to pytest until it knows the option, so
it searches its settings around DIR, finds none, and never reads tests/conftest.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

NAME = "prefrepro"
"""Of the plugin, in pyproject.toml."""


def pytest_addoption(parser: Any) -> None:
    """A hook of pytest."""
    parser.addoption("--acceptance", type=Path, help="folder of published AlpacaEval verdicts (default: the project's)")
    parser.addoption(
        "--df-gamed",
        type=Path,
        help="df_gamed.csv of tatsu-lab/alpaca_eval (default: df_gamed_reconstructed.csv of the acceptance folder)",
    )
