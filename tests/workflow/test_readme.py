"""What README.md shows is what happens: its method file, its table row, its own table."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pandas as pd
from checkout import Checkout
from readme_table import readme_table

from prefrepro.files import ROOT
from prefrepro.specs.table import read_table

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, holding: str) -> str:
    """The one fenced block of a language that holds a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    (found,) = [text for text in blocks if holding in text]
    return found


def planned(checkout: Checkout) -> set[str]:
    return set(checkout.python("-m", "prefrepro", "plan", "table1").stdout.split())


def add_method(checkout: Checkout) -> None:
    """Do what the README says under "Your own loss", but for the last command, which trains."""
    (new,) = re.findall(r"`prefrepro (new-method my_simpo[^`]*)`", README)
    check, row, _train = block("bash", "my_simpo").splitlines()
    assert checkout.prefrepro(*new.split()).returncode == 0
    Path(checkout.root, "methods", "my_simpo.py").write_text(block("python", 'NAME = "my_simpo"'), encoding="utf-8")
    checked = checkout.prefrepro(*check.partition("#")[0].split()[1:])
    assert checked.returncode == 0, checked.stdout
    subprocess.run(["bash", "-c", row], cwd=checkout.root, check=True)


def test_the_method_of_the_readme_is_planned_and_nothing_else_is_new(checkout: Checkout) -> None:
    before = planned(checkout)
    add_method(checkout)
    after = planned(checkout)
    new = {name.rpartition("_")[0] for name in after - before if "_" in name}
    assert new == {"my-simpo_mistral-7b_hh", "my-simpo_mistral-7b_hh_embedded-world", "rpo_table1"}


def test_the_readme_names_the_commands_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z0-9-]+)", README, re.MULTILINE)) <= targets


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120


def test_the_table_of_the_readme_has_our_numbers_alone() -> None:
    """A printed number beside one of a generated world would invite a comparison."""
    table = README.partition("<!-- table1")[2].partition("<!-- end -->")[0]
    assert "Scale `embedded`" in table
    for row in read_table(ROOT / "paper_tables/rpo/table1.yaml").rows:
        assert f"| {row.label} | " in table
        for value in row.reported.values():
            assert f"{value:.2f}" not in table
    assert len(re.findall(r"\d\d\.\d \[\d\d\.\d, \d\d\.\d\]", table)) >= 5


def test_make_readme_writes_the_table_of_the_results() -> None:
    cell = {
        "paper": "rpo",
        "table": "table1",
        "variant": "default",
        "n": 256,
        "n_seeds": 3,
        "value": 70,
        "ci_low": 64.04,
        "ci_high": 75.5,
    }
    given = [
        {**cell, "row": "dpo"},
        {**cell, "row": "uniform", "diff": -7, "diff_low": -11.4, "diff_high": 0.3},
        {**cell, "row": "dpo", "table": "table2"},
    ]
    table = readme_table(pd.DataFrame(given))
    assert "3 trainings a method, 256 prompts" in table
    assert "| DPO | 70.0 [64.0, 75.5] | – |" in table
    assert "| RPO, uniform weighting | 70.0 [64.0, 75.5] | −7.0 [−11.4, +0.3] |" in table
    assert len(table.splitlines()) == 6
