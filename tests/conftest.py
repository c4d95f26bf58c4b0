"""Options and settings of the suite, here and not beside their tests, so that a bare `pytest` knows them too."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from checkout import Checkout
from hypothesis import settings
from shared import SHARED

# A loaded machine is no bug: no example has a deadline, and every run of the suite draws the same ones.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.register_profile("fuzz", deadline=None, max_examples=4000, print_blob=True)
settings.load_profile("suite")


# A suite that a shell started in the background ignores Ctrl-C, and so would every command that it starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/golden --golden=FILE` checks another file of golden vectors than the shipped one.

    With "=": after a blank, pytest looks for its settings beside FILE where no test path is given.
    """
    parser.addoption(
        "--golden",
        type=Path,
        default=Path(__file__).parent / "golden" / "golden_public.json.gz",
        help="golden vectors, .json or .json.gz (default: the shipped file)",
    )
    parser.addoption("--slurm-kills", type=int, default=20, help="random kills of tests/slurm/test_slurm_kills.py")
    parser.addoption("--slurm-seed", type=int, default=0, help="of these kills: which, and when")
    parser.addoption("--acceptance", type=Path, help="folder of published AlpacaEval verdicts (default: the project's)")
    parser.addoption(
        "--df-gamed",
        type=Path,
        help="df_gamed.csv of tatsu-lab/alpaca_eval (default: df_gamed_reconstructed.csv of the acceptance folder)",
    )


@pytest.fixture
def df_gamed(request: pytest.FixtureRequest) -> Path:
    """The difficulty of AlpacaEval's instructions."""
    given = request.config.getoption("df_gamed")
    folders = [request.config.getoption("acceptance"), SHARED / "data" / "acceptance"]
    beside = [folder / "df_gamed_reconstructed.csv" for folder in folders if folder]
    return given or next((path for path in beside if path.exists()), beside[-1])


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A copy of this checkout, without results."""
    return Checkout(tmp_path)
