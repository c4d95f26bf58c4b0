"""The rule `theory` as Snakemake sees it, with a stub in place of the work."""

from __future__ import annotations

from checkout import Checkout

STUB = """
from pathlib import Path

import methods.swepo


def check_claims(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("claims.csv", "theory.png"):
        (folder / name).touch()
"""


def test_theory_is_one_job_and_runs_again_when_a_loss_changes(checkout: Checkout) -> None:
    (checkout.root / "prefrepro/studies/theory/run.py").write_text(STUB, encoding="utf-8")
    done = checkout.snakemake("theory")
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in checkout.snakemake("-n", "theory").stdout
    checkout.edit("methods/swepo.py", "EQUAL = 1e-6", "EQUAL = 1e-7")
    again = checkout.snakemake("-n", "theory")
    assert "Params have changed" in again.stdout, again.stdout
