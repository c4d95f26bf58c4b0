"""What README.md shows is what happens: its method file, its table row, its own table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from checkout import Checkout

from prefrepro.files import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, holding: str) -> str:
    """The one fenced block of a language that holds a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    (found,) = [text for text in blocks if holding in text]
    return found


def planned(checkout: Checkout) -> set[str]:
    return set(checkout.python("-m", "prefrepro", "plan", "table1").stdout.split())


def add_method(checkout: Checkout) -> None:
    """Do what the README says under "Add a method"."""
    new, check = re.findall(r"^prefrepro (.*my_dpo.*?)\s*#", block("bash", "new-method"), re.MULTILINE)
    assert checkout.prefrepro(*new.split()).returncode == 0
    Path(checkout.root, "methods", "my_dpo.py").write_text(block("python", 'NAME = "my_dpo"'), encoding="utf-8")
    checked = checkout.prefrepro(*check.split())
    assert checked.returncode == 0, checked.stdout
    table = Path(checkout.root, "paper_tables", "rpo", "table1.yaml")
    table.write_text(table.read_text(encoding="utf-8") + block("yaml", "my_dpo"), encoding="utf-8")


def test_the_method_of_the_readme_is_planned_and_nothing_else_is_new(checkout: Checkout) -> None:
    before = planned(checkout)
    add_method(checkout)
    after = planned(checkout)
    new = {name.rpartition("_")[0] for name in after - before if "_" in name}
    assert new == {"my-dpo_mistral-7b_hh", "my-dpo_mistral-7b_hh_embedded-world", "rpo_table1"}


def test_the_readme_names_the_commands_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z0-9-]+)", README, re.MULTILINE)) <= targets


def test_the_table_of_the_readme_says_what_it_is() -> None:
    table = README.partition("<!-- table1")[2].partition("<!-- end -->")[0]
    assert "not comparable with the printed ones" in table
    for row in ("DPO", "uniform", "diagonal", "unpaired", "paired"):
        assert row in table
    assert len(re.findall(r"\d\d\.\d\d", table)) >= 5 * 4


@pytest.mark.parametrize("path", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_the_links_of_the_readme_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()
