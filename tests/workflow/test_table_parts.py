"""A part of a table: rows and columns that are named, or left out."""

from __future__ import annotations

from prefrepro.plan.build import make_plan


def test_rows_and_columns_plan_a_part_of_a_table_with_the_same_jobs() -> None:
    whole, part = (
        make_plan({"scale": "paper"}),
        make_plan({"scale": "paper", "rows": "sft,dpo", "columns": "hh-mistral-7b"}),
    )
    cells = part.tables["table4"].spec["cells"]
    assert [(cell["row"], cell["column"]) for cell in cells] == [("sft", "hh-mistral-7b"), ("dpo", "hh-mistral-7b")]
    assert {node.id for node in part.needed_by(["table4"]) if node.kind != "table"} < set(whole.nodes)
    assert part.tables["table4"].done == "tables/rpo_table4__rows-sft-dpo-columns-hh-mistral-7b-68eeac.cells.csv"
    assert whole.tables["table4"].done == "tables/rpo_table4.cells.csv"
    without = make_plan({"scale": "paper", "rows": "-ppo"})
    assert {cell["row"] for cell in whole.tables["table4"].spec["cells"]} - {
        cell["row"] for cell in without.tables["table4"].spec["cells"]
    } == {"ppo"}
    assert len(without.tables["table1"].spec["cells"]) == len(whole.tables["table1"].spec["cells"]), "it has no PPO"
    assert without.tables["table4"].name != make_plan({"scale": "paper", "rows": "ppo"}).tables["table4"].name
    (said,) = make_plan({"rows": "-ppoo"}).broken["table4"]
    assert '"ppoo" is not there' in said and "Did you mean ppo?" in said
    (said,) = make_plan({"rows": "ktoo"}).broken["table4"]
    assert 'rows=ktoo: "ktoo" is not there. Known: ' in said and "Did you mean kto?" in said
