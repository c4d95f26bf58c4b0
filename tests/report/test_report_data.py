"""What stands on the page, without a browser."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT, Checkout
from tabulate import tabulate

from prefrepro.csv_schema.schema import read_csv
from prefrepro.errors import UserError
from prefrepro.inspect.explain import explain
from prefrepro.inspect.report import chain, curves, samples
from prefrepro.inspect.report.embed import embedded
from prefrepro.inspect.report.folder import Folder, read_folder
from prefrepro.inspect.report.jobs import jobs
from prefrepro.inspect.report.markdown import blocks
from prefrepro.inspect.report.page import document, render
from prefrepro.inspect.results import open_results, seeds_of
from prefrepro.inspect.verify import verify
from prefrepro.plan.plan import Plan
from prefrepro.stats.judging import judging_quality
from prefrepro.tables.escape import markdown_text
from prefrepro.tables.signs import fall_of, signs

N_PROMPTS = 24
"""As conftest.PROMPTS; pytest's conftest is no module to import from."""


def cell_of(content: dict[str, Any], table: str, row: str) -> dict[str, Any]:
    (found,) = [one for one in content["tables"] if one["id"] == table]
    return next(cell for cell in found["cells"] if cell["row"] == row)


def found_wrong(results: Path) -> list[str]:
    return [finding.path for finding in verify(open_results(results)).findings]


def test_every_cell_of_the_csv_stands_in_a_matrix_with_its_labels(content: dict[str, Any], finished: Path) -> None:
    cells = read_csv(finished / "cells.csv", "cells")
    shown = [(t["paper"], cell["row"], cell["column"], cell["value"]) for t in content["tables"] for cell in t["cells"]]
    assert sorted(shown) == sorted(cells[["paper", "row", "column", "value"]].itertuples(index=False, name=None))
    table = content["tables"][0]
    assert table["name"] == "RPO Table 1"
    assert table["rows"][0]["label"] == "DPO", "rows stand in the order of the print"
    paired = cell_of(content, "rpo/table1", "rpo-paired")
    assert paired["text"]["printed"].startswith("78.52")
    assert paired["method"] == "rpo_paired"
    assert {cell["status"] for cell in table["cells"]} == {"consistent", "differs"}
    assert {cell["status"] for one in content["tables"][1:] for cell in one["cells"]} == {"not_comparable"}


def test_settings_stand_as_a_table_of_their_own(content: dict[str, Any]) -> None:
    (settings,) = [table for table in content["tables"] if "settings" in table]
    assert settings["name"] == "RPO Table 5"
    assert settings["settings"]["head"] == ["setting", "ours", "printed", "differs"]
    assert settings["settings"]["rows"]


def test_the_chain_of_a_cell_goes_down_to_the_data(content: dict[str, Any], plan: Plan) -> None:
    cell = cell_of(content, "rpo/table1", "dpo")
    assert len(cell["seeds"]) == 2
    seed = cell["seeds"][1]
    nodes, found, todo = content["nodes"], set(), [seed["verdict"]]
    while todo:
        node_id = todo.pop()
        found.add(node_id)
        todo += nodes[node_id]["inputs"].values()
    assert {seed["sample"], seed["run"]} <= found
    assert {nodes[one]["kind"] for one in found} >= {"verdict", "sample", "run", "reference", "sft", "data"}
    facts = dict(nodes[seed["run"]]["facts"])
    assert facts["commit"] == "0123abc" and facts["seed"] == "2" and facts["data_sha256"] == "d" * 64
    assert facts["code_digest"] == plan.nodes[seed["run"]].spec["code_digest"]


def test_the_page_shows_the_chain_of_explain(content: dict[str, Any], finished: Path) -> None:
    told = explain(open_results(finished), "rpo/table1/rpo-paired")
    assert cell_of(content, "rpo/table1", "rpo-paired")["seeds"] == told["seeds"]
    jobs = {name: job["inputs"] for name, job in told["jobs"].items()}
    assert len(jobs) > 6
    assert {name: content["nodes"][name]["inputs"] for name in jobs} == jobs


def test_records_know_the_chain_of_results_of_another_plan(results: Path, content: dict[str, Any]) -> None:
    """As in a folder that an older commit made: no plan of ours knows its ids."""
    folder = read_folder(results, {})
    folder.plan.nodes.clear()
    assert chain.nodes(folder) == content["nodes"]


def test_without_records_the_chain_is_what_the_cells_say(results: Path) -> None:
    shutil.rmtree(results / "records")
    folder = read_folder(results, {})
    nodes = chain.nodes(folder)
    (cell,) = [cell for cell in folder.cells if cell["row"] == "dpo" and cell["table"] == "table1"]
    seed = {kind: name or "" for kind, name in seeds_of(cell)[0].items()}
    assert nodes[seed["verdict"]]["inputs"] == {"sample": seed["sample"]}
    assert nodes[seed["sample"]]["inputs"] == {"run": seed["run"]}
    assert nodes[seed["run"]]["inputs"] == {}
    assert nodes[seed["verdict"]]["method"] == "dpo"
    assert document(folder)["meta"]["unrecorded"] == len(nodes)


def test_wins_rise_with_length_where_long_answers_win(content: dict[str, Any]) -> None:
    (table,) = [one for one in content["tables"] if one["id"] == "rpo/table1"]
    assert len(table["by_length"]) == len(table["rows"])
    for entry in table["by_length"]:
        values = [found["value"] for found in entry["bins"]]
        assert values[0] <= values[-1], entry
        assert sum(found["n"] for found in entry["bins"]) == N_PROMPTS, (
            "each prompt is in one bin, whatever the number of seeds"
        )
        assert all(found["ci"][0] <= found["value"] <= found["ci"][1] for found in entry["bins"])
    rated = next(one for one in content["tables"] if one["id"] == "swepo/mtbench")
    assert {entry["metric"] for entry in rated["by_length"]} == {"mt_bench"}


def test_position_bias_is_that_of_judging_csv_and_leaves_ratings_out(content: dict[str, Any], finished: Path) -> None:
    shown = {one["id"]: one for one in content["position"]}
    assert shown and not any("mt-bench" in name for name in shown)
    for name, one in shown.items():
        frame = read_csv(finished / "verdicts" / name / "verdicts.csv", "verdicts")
        repeats = json.loads((finished / "verdicts" / name / "manifest.json").read_text()).get("repeats", ())
        assert judging_quality(frame, repeats).items() <= one.items()
    again = [one for one in shown.values() if one["n_repeated"]]
    assert again and {(one["n_repeated"], one["n_repeats"], round(one["flip_pct"], 1)) for one in again} == {
        (3, 9, 16.7)
    }
    collected = read_csv(finished / "judging.csv", "judging").set_index("verdict_set_id")
    assert all(collected.loc[one["id"], "judge_variance"] == one["judge_variance"] for one in again)
    (judge,) = content["judges"]
    assert judge["cost_usd"] == pytest.approx(0.25 * judge["sets"])


def test_a_table_says_how_much_topics_count(content: dict[str, Any], finished: Path) -> None:
    """Topics of six prompts in a row, where long answers win: nearly all of the variance is between topics."""
    table = next(one for one in content["tables"] if one["id"] == "rpo/table1")
    (note,) = (note for note in table["notes"] if "Design effect" in note)
    effects = [cell["design_effect"] for cell in table["cells"] if cell["design_effect"]]
    assert {cell["n_clusters"] for cell in table["cells"] if cell["design_effect"]} == {4}
    assert f"{min(effects):.1f} to {max(effects):.1f} (4 clusters" in note and min(effects) > 1.5
    assert note.split(":")[0] in (finished / "tables" / "rpo_table1__seeds-2.md").read_text(encoding="utf-8")


def test_curves_have_the_metrics_that_were_logged(content: dict[str, Any]) -> None:
    run = next(one for one in content["runs"] if one["method"] == "dpo")
    assert run["curves"]["loss"] == [[10, 0.3], [20, 0.15], [30, 0.1], [40, 0.075], [50, 0.06]]
    assert "objective/kl" not in run["curves"], "an empty column is no curve"
    assert {one["method"] for one in content["runs"]} == set(content["methods"])


def test_long_curves_are_thinned_and_keep_their_end(results: Path) -> None:
    path = next(results.glob("runs/dpo_*/metrics.csv"))
    path.write_text("step,loss\n" + "".join(f"{step},1.0\n" for step in range(1, 1002)))
    (run,) = [one for one in curves.runs(read_folder(results, {})) if one["id"] == path.parent.name]
    assert len(run["curves"]["loss"]) <= curves.POINTS
    assert run["curves"]["loss"][-1] == [1001, 1.0]


def test_methods_differ_in_colour_or_dash() -> None:
    looks = curves.colours({f"m{number}" for number in range(len(curves.COLOURS) * len(curves.DASHES))})
    assert len({tuple(look.values()) for look in looks.values()}) == len(looks)


@pytest.mark.parametrize("colour", curves.COLOURS)
def test_colours_are_legible_on_white(colour: str) -> None:
    """Contrast as WCAG 2.2 defines it: (1 + 0.05) / (L + 0.05)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) >= 4


def test_samples_fit_their_room_and_every_set_has_some(folder: Folder) -> None:
    nodes = chain.nodes(folder)
    whole = samples.browser(folder, nodes)
    assert all(len(one["rows"]) == one["total"] for one in whole["sets"])
    few = samples.browser(folder, nodes, bytes_=40_000)
    a_row = 1000
    """More than any of these takes with its four texts: a set stops after the row that fills its share."""
    assert len(embedded(few)) <= 40_000 + a_row * len(few["sets"]) < len(embedded(whole))
    assert 0 < sum(len(one["rows"]) for one in few["sets"]) < sum(one["total"] for one in few["sets"])
    for one in few["sets"]:
        assert one["rows"], one["id"]
        if "mt-bench" not in one["id"]:
            assert one["rows"][0][2] == "invalid", "what is rare comes first"


def test_a_second_turn_is_shown_with_the_first(folder: Folder) -> None:
    browsed = samples.browser(folder, chain.nodes(folder))
    (rated, *_) = [one for one in browsed["sets"] if "mt-bench" in one["id"]]
    by_order = {row[1]: row for row in rated["rows"][:2]}
    prompt, answer, baseline = by_order["turn_2"][4:7]
    assert "first turn's answer" in browsed["texts"][prompt] and "And then?" in browsed["texts"][prompt]
    assert browsed["texts"][by_order["turn_1"][5]] == "first turn's answer" != browsed["texts"][answer]
    assert baseline == -1


def test_jobs_stand_in_time_and_a_copy_without_dates_is_told(content: dict[str, Any], results: Path) -> None:
    run = content["run"]
    assert run["is_dated"]
    assert [job["start"] for job in run["jobs"]] == [30.0 * rank for rank in range(len(run["jobs"]))]
    assert sum(job["gpu_h"] for job in run["jobs"]) == 0.5 * len(content["runs"])
    for path in results.glob("benchmarks/*/*.tsv"):
        path.touch()
    assert not jobs(read_folder(results, {}))["is_dated"]


@pytest.mark.parametrize("kept", ["cells.csv", "runs", "samples", "benchmarks"])
def test_any_part_of_the_results_makes_a_page(results: Path, kept: str) -> None:
    for path in results.iterdir():
        if path.name not in (kept, "runs" if kept == "samples" else kept):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if kept == "benchmarks":
        with pytest.raises(UserError, match="holds no results"):
            read_folder(results, {})
    else:
        assert "<main" in render(document(read_folder(results, {})))


def test_a_broken_manifest_is_named(results: Path) -> None:
    path = next(results.glob("samples/*/manifest.json"))
    path.write_text("{")
    with pytest.raises(UserError, match=re.escape(str(path))):
        read_folder(results, {})


class Tags(HTMLParser):
    """Every tag and attribute name that a parser sees."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        assert not any(name.startswith("on") for name, _ in attrs)


def test_the_file_is_whole_in_itself_and_nothing_in_it_is_markup_of_others(content: dict[str, Any]) -> None:
    page = render(content)
    parser = Tags()
    parser.feed(page)
    assert parser.tags.count("script") == 2
    assert not {"img", "iframe", "object", "b"} & set(parser.tags)
    assert set(parser.links) <= {"data:,", "#main"}
    assert "default-src 'none'" in page
    data = page.split('id="data">', 1)[1].split("</script>", 1)[0]
    assert not set(data) & set("<>&\u2028\u2029")
    assert json.loads(data)["samples"]["texts"] == content["samples"]["texts"], "what is shown is what was written"
    assert render(content) == page


def test_embedded_values_survive_and_what_json_lacks_is_null() -> None:
    value = {"a": ["</script>", "\u2028", "&amp;", 1.5, None, True], "b": float("nan"), "c": float("inf")}
    assert json.loads(embedded(value)) == value | {"b": None, "c": None}
    assert json.loads(embedded(["\ud800"])) == ["?"]


def test_markdown_of_our_commands_comes_back_as_its_text() -> None:
    hostile = "a|b *c* `d` <script> _e_ [f](g) \\ ~ # &lt;"
    table = tabulate([[markdown_text(hostile), "1"]], ["head", "n"], tablefmt="pipe", disable_numparse=True)
    text = f"# Title\n\nOne line\nand `code`.\n\n- {markdown_text(hostile)}\n- **second**\n\n{table}\n"
    assert blocks(text) == [
        {"kind": "heading", "level": 1, "text": "Title"},
        {"kind": "text", "text": "One line and code."},
        {"kind": "list", "items": [hostile, "second"]},
        {"kind": "table", "head": ["head", "n"], "rows": [[hostile, "1"]]},
    ]


def test_the_command_writes_the_page_and_names_what_it_does_not_find(results: Path) -> None:
    checkout = Checkout(ROOT, copy=False)
    done = checkout.prefrepro("report", str(results))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(results / "report.html")
    assert (results / "report.html").stat().st_size < 10_000_000
    assert "report.html" not in [*found_wrong(results), *verify(open_results(results)).unrecorded]
    page = results / "report.html"
    content = bytearray(page.read_bytes())
    content[len(content) // 2] ^= 1
    page.write_bytes(content)
    assert "report.html" in found_wrong(results)
    lost = checkout.prefrepro("report", str(results / "runs"))
    assert lost.returncode == 2
    assert "holds no results" in lost.stderr and "snakemake table1" in lost.stderr


def logged(**columns: list[float]) -> list[dict[str, str]]:
    return [dict(zip(columns, map(str, row), strict=True)) for row in zip(*columns.values(), strict=True)]


HEALTHY = {
    "loss": [0.69, 0.65, 0.6, 0.58],
    "rewards/margins": [0.0, 0.1, 0.2, 0.3],
    "rewards/chosen": [0.0, -0.1, -0.1, -0.2],
    "logps/chosen": [-8.0, -8.5, -14.0, -10.0],
}
"""β = 0.1: at the end 2 of the reference's 8 nats are lost; the batch before it had longer responses."""


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({}, None),
        ({"rewards/margins": [0.0, 0.1, 0.0, -0.1]}, "chosen responses gain nothing"),
        ({"rewards/chosen": [0.0, -0.1, -0.3, -0.6]}, "fell by 150 % of the reference's"),
        ({"loss": [0.69, 0.8, 0.9, 1.2]}, None),  # PPO's and Swepo's losses do not fall from step to step
    ],
)
def test_a_training_whose_curves_are_not_healthy_says_so(odd: dict[str, list[float]], said: str | None) -> None:
    found = signs(logged(**HEALTHY | odd), 0.1)
    assert found == [] if said is None else said in found[0] and len(found) == 1


def test_where_a_reward_is_no_log_ratio_no_fall_is_told() -> None:
    assert fall_of(logged(**HEALTHY), 0.1) == pytest.approx(2 / 8)
    assert fall_of(logged(**HEALTHY), None) is None
    assert signs([], 0.1) == [] == signs([{"loss": "", "step": "1"}], 0.1)
