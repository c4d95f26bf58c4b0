"""Three new users: from a file of preferences as they have it to a finished table, in three commands each."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from checkout import Checkout
from user_files import FORMS, write_file

from prefrepro.csv_schema.schema import read_csv


@pytest.mark.parametrize(
    "form", [form if form == "sharegpt" else pytest.param(form, marks=pytest.mark.slow) for form in FORMS]
)
def test_a_file_becomes_a_table(form: str, tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    file = write_file(form, tmp_path / "my")
    begun = time.monotonic()
    done = checkout.prefrepro("data", "inspect", f"my/{file.name}", "--write", f"my-{form}")
    assert done.returncode == 0, done.stderr
    assert "300 of 300 read, 300 unique prompts" in done.stdout
    made = checkout.snakemake(f"my_{form}", "--cores", "2")
    assert made.returncode == 0, made.stdout + made.stderr
    shown = checkout.prefrepro("show", f"my_{form}")
    assert shown.returncode == 0 and "Held-out accuracy" in shown.stdout
    assert time.monotonic() - begun < 300
    cells = read_csv(checkout.results / "cells.csv", "cells").set_index("row")
    assert set(cells.index) == {"sft", "dpo"} and not cells["value"].isna().to_numpy().any()
