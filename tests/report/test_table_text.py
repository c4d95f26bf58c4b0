"""prefrepro show: a table as text at three widths, without marks of Markdown or HTML."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefrepro.errors import UserError
from prefrepro.inspect.table_text import as_text
from prefrepro.plan.build import make_plan, switches_of
from prefrepro.specs.table import address_of, table_files, target_named
from prefrepro.tables.escape import markdown_text
from prefrepro.tables.render import SWITCH_HEAD, TableMeta
from prefrepro.tables.template import fill_template
from prefrepro.tables.view import View

ROOT = Path(__file__).parents[2]
SWITCHES = [["decoding", "D4, sampling", "paper", "temperature 0"], ["log_z", "log Z", "code", "<dropped>"]]
DIFFERS = (
    "-7.03 [-11.44, -3.22], these two trainings differ; no evidence about methods if trainings spread by 2.1 or more"
)
CELLS = {
    "DPO": View("76.17", "[70.59, 80.98]", "72.26", "n 256"),
    "RPO, embedding reweighting, unpaired (τ = 0.75)": View("69.14†", "[63.23, 74.48]", "75.00", "n 256", DIFFERS),
    "no_reference <x>": View("not run", "", "68.36", ""),
}


def markdown(columns: int = 1) -> str:
    """A table as prefrepro/tables/templates/table.md writes it."""
    labels = [f"Win Rate {number}" for number in range(columns)]
    meta = TableMeta("rpo", "table1", "Table 1: Ways", "embedded", "paper", "paper", {}, {}, {}, False, True)
    inline = [[label, *[cell.inline()] * columns] for label, cell in CELLS.items()]
    values = {"meta": meta, "labels": labels, "lines": ["p < 0.05 [95 % interval] " * 9], "inline": inline}
    values |= {"switches": SWITCHES, "switch_head": SWITCH_HEAD}
    return fill_template(ROOT / "prefrepro/tables/templates/table.md", values)


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("columns", [1, 6])
@pytest.mark.parametrize("touching", [None, ["decoding"]])
def test_it_fits_the_terminal_and_has_no_marks(width: int, columns: int, touching: list[str] | None) -> None:
    text = as_text(markdown(columns), width, touching, "prefrepro show rpo/table1 --switches")
    assert max(map(len, text.splitlines())) <= width
    assert not [mark for mark in ("\\", "&lt;", "&gt;", "|", "**", "\x1b") if mark in text]
    words = " ".join(text.split())
    assert "p < 0.05 [95 % interval]" in words and "not comparable" in words
    assert words.count("not run") == columns and words.count("72.26") == columns
    assert ("log_z" in words, "<dropped>" in words) == ((True, True) if touching is None else (False, False))


def test_each_part_of_a_cell_has_a_place_of_its_own() -> None:
    text = as_text(markdown(), 200, ["decoding"], "MORE")
    head, dpo, rpo, lost = text[text.index("Win Rate 0") :].splitlines()[:4]
    assert head.split() == ["Win", "Rate", "0", "printed", "vs", "baseline", "spread", "below", "n"]
    assert dpo.split()[1:] == ["76.17", "[70.59,", "80.98]", "72.26", "256"]
    assert rpo.endswith("2.1           256") and "-7.03 [-11.44, -3.22]" in rpo and "no evidence" not in text
    assert lost.split() == ["no_reference", "<x>", "not", "run", "68.36"]
    assert text.endswith("Switches that change this table: on side paper decoding. All 2: MORE\n")


def test_a_text_in_a_table_stays_whole() -> None:
    said = markdown_text("a [b]; printed matter; n one")
    assert "a [b]; printed matter; n one" in " ".join(
        as_text(f"| | x |\n|---|---|\n| r | {said} |\n", 80, [], "").split()
    )


def test_the_switches_of_a_table_are_those_that_change_it() -> None:
    plan = make_plan({})
    of = {path.stem: switches_of(plan, path) for path in table_files() if path.parent.name == "rpo"}
    assert {"uniform_weight", "diagonal_weight", "decoding", "precision"} <= set(of["table1"])
    assert not {"ppo", "alpaca_annotator", "kto_reference_point", "log_z", "embedders"} & set(of["table1"])
    assert {"ppo", "alpaca_annotator", "ipo_log_probs"} <= set(of["table4"])


@pytest.mark.parametrize("word", ["table1", "rpo/table1", "rpo_table1"])
def test_a_table_has_one_name_in_three_forms(word: str) -> None:
    assert make_plan({}).targets([word, "table1"]) == ["table1"]
    assert (target_named(word), address_of(word)) == ("table1", "rpo/table1")
    assert address_of(f"{word}/dpo/win-rate") == "rpo/table1/dpo/win-rate"


def test_other_papers_and_names_that_are_none() -> None:
    assert {target_named(word) for word in ("swepo/table1", "swepo_table1")} == {"swepo_table1"}
    assert address_of("swepo_table1/x") == address_of("swepo/table1/x") == "swepo/table1/x"
    assert address_of("tabel1/x") == "tabel1/x"
    with pytest.raises(UserError, match=r'"rpo/tabel1" is no target\. .* Did you mean table1\?'):
        make_plan({}).table_named("rpo/tabel1")
