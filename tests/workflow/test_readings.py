"""Switches: each can be turned alone, a reading turns all, and every table says how they stand."""

from __future__ import annotations

import re
from typing import Any

import pytest

from methods import contract as _contract  # noqa: F401  the methods' own folder is what is read below
from prefrepro.files import ROOT
from prefrepro.plan.build import make_plan
from prefrepro.specs.method import method_names, read_method
from prefrepro.specs.paper import read_paper, switch_sides

PAPERS = {name: read_paper(ROOT / "paper_tables" / name / "paper.yaml") for name in ("rpo", "swepo")}
SWITCHES = [(name, side) for name, sides in switch_sides().items() for side in sides]


def specs(target: str, **config: Any) -> list[tuple[str, str]]:
    plan = make_plan(config)
    return [(node.kind, node.id) for node in plan.needed_by([target]) if node.kind != "table"]


def test_a_reading_is_all_its_switches_on_one_side() -> None:
    """Nothing else hangs on the reading; only the label `reading` differs, so the specs are compared without it."""

    def stripped(config: dict[str, Any]) -> list[Any]:
        plan = make_plan(config)
        return [
            (node.kind, {k: v for k, v in node.spec.items() if k != "reading"}) for node in plan.needed_by(plan.printed)
            if node.kind != "table"
        ]  # fmt: skip

    each = dict.fromkeys(switch_sides(), "code")
    assert stripped({"reading": "code"}) == stripped(each)


@pytest.mark.parametrize(("name", "side"), SWITCHES)
def test_every_side_of_every_switch_plans(name: str, side: str) -> None:
    plan = make_plan({"scale": "paper", name: side})
    shown = {line["name"]: line for target in plan.printed for line in plan.tables[target].spec["switches"]}
    assert shown[name]["side"] == side and shown[name]["says"]
    assert plan.config.arguments() == ["scale=paper", f"{name}={side}"]


@pytest.mark.parametrize(
    ("switch", "target", "kinds"),
    [
        ("decoding", "table1", {"sample", "verdict"}),
        ("uniform_weight", "table1", {"run", "sample", "verdict"}),
        ("alpaca_reference", "table6", {"verdict"}),
    ],
)
def test_a_switch_changes_only_what_it_is_about(switch: str, target: str, kinds: set[str]) -> None:
    side = {"alpaca_reference": "davinci003"}.get(switch, "code")
    before, after = set(specs(target)), set(specs(target, **{switch: side}))
    assert {kind for kind, _ in after - before} == kinds


def test_every_method_that_reads_sources_differently_has_a_switch() -> None:
    turned = {
        method
        for paper in PAPERS.values()
        for switch in paper["switches"].values()
        for side in switch.values()
        if isinstance(side, dict)
        for method in side.get("hparams", {})
    }
    assert {name for name in method_names() if "reading" in read_method(name).hparams} <= turned


def test_every_disagreement_of_the_protocol_has_its_switch() -> None:
    """D18 is about command lines of the released scripts, not about numbers."""
    listed = set(re.findall(r"^### (D\d+)$", (ROOT / "docs/protocol.md").read_text(encoding="utf-8"), flags=re.M))
    known = {
        one
        for switch in PAPERS["rpo"]["switches"].values()
        for one in re.findall(r"D\d+", switch.get("protocol_id", ""))
    }
    assert known <= listed and listed - known == {"D18"}


def test_the_page_of_the_protocol_names_each_switch_and_side() -> None:
    """Under the heading of its disagreement."""
    page = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### (D\d+)\n(.*?)(?=^##)", page, flags=re.M | re.S))
    for name, switch in PAPERS["rpo"]["switches"].items():
        for one in re.findall(r"D\d+", switch.get("protocol_id", ""))[:1]:
            said = sections[one]
            sides = [side for side in switch if side not in ("about", "protocol_id")]
            assert [f"`{word}`" for word in (name, *sides) if f"`{word}`" not in said] == [], one
