"""The embedded world's pages: their figures are of the trainings that today's code, data and settings would make."""

from __future__ import annotations

import re

import pytest

from bench import embedded_world, frontier
from prefrepro.files import ROOT
from prefrepro.plan.build import make_plan

TABLES = {
    "docs/embedded-world.md": ["table1"],
    "docs/methods-embedded.md": ["embedded_methods", "swepo_embedded_methods"],
}


@pytest.mark.parametrize("page", TABLES)
def test_the_figures_of_the_embedded_world_are_of_todays_trainings(page: str) -> None:
    """Where this fails: snakemake TABLE … --config seeds=5, then the command of the page."""
    (written,) = re.findall(r"<!-- answers: (\w+) -->", (ROOT / page).read_text(encoding="utf-8"))
    assert written == embedded_world.digest_of(make_plan({"seeds": 5}), TABLES[page])


def test_the_figures_of_the_frontier_are_of_todays_trainings() -> None:
    """Where this fails: snakemake frontier --config seeds=3, then the command of the page."""
    (written,) = re.findall(r"<!-- distances: (\w+) -->", (ROOT / "docs/frontier.md").read_text(encoding="utf-8"))
    assert written == frontier.digest_of(make_plan({"seeds": 3}))


def test_another_setting_of_a_training_is_another_digest() -> None:
    usual, halved = make_plan({"seeds": 1}), make_plan({"seeds": 1, "reading": "code"})
    assert embedded_world.digest_of(usual, ["table1"]) != embedded_world.digest_of(halved, ["table1"])


def test_every_gain_in_a_sentence_stands_in_a_table_that_a_command_wrote() -> None:
    page = (ROOT / "docs/frontier.md").read_text(encoding="utf-8")
    _, made, rest = re.split(r"<!-- (?:end )?frontier -->", page)
    for text in (rest, (ROOT / "docs/learning-rate.md").read_text(encoding="utf-8")):
        said = re.findall(r"[+]\d\.\d\d", text)
        assert len(said) >= 4 and [one for one in said if one not in made] == []
