"""The rule `calibration`, with the real command, on a made-up published set."""

from __future__ import annotations

from checkout import Checkout
from test_calibration import tldr_rows, write_tldr

from prefrepro.csv_schema.schema import read_csv


def test_calibration_is_one_job(checkout: Checkout) -> None:
    """Its files, and nothing to do the second time."""
    write_tldr(checkout.root / "data", tldr_rows(4))
    done = checkout.snakemake("calibration", "--config", "published=data")
    assert done.returncode == 0, done.stdout + done.stderr
    frame = read_csv(checkout.root / "results/embedded/calibration.csv", "calibration")
    assert list(frame["judge"]) == ["longer", "replay", "world"]
    assert "Nothing to be done" in checkout.snakemake("-n", "calibration", "--config", "published=data").stdout
