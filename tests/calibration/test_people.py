"""Judges against people: made-up files in the released forms, and the released ones where they are."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import pytest
from shared import SHARED

from prefrepro.csv_schema.schema import read_csv
from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.stats.clusters import clustered_difference, clustered_mean
from prefrepro.stats.intervals import wilson
from prefrepro.studies.calibration.cells import safe_differences
from prefrepro.studies.calibration.page import may_stand_in
from prefrepro.studies.calibration.pairs import PublishedSet
from prefrepro.studies.calibration.people import GPT4_REPLIES, LLMBAR, PANDALM, TULU, gpt4_replies, human_sets, sheet
from prefrepro.studies.calibration.published import published_sets
from prefrepro.studies.calibration.run import GPT4, calibrate

needs_data = pytest.mark.skipif(not (SHARED / "data" / "human_eval").is_dir(), reason="no human labels in shared/data")
HEAD = ("instance_index", "instance_id", "prompt", "model_a", "model_b", "completion_a", "completion_b", "preference",
        "evaluator", "timestamp")  # fmt: skip


def pandalm(number: int, votes: tuple[int, int, int], **changes: Any) -> dict[str, Any]:
    """A comparison of models x and y: y's answer is the longer one. Two in a row share a prompt."""
    return {
        "idx": number, "cmp_key": "x_y", "instruction": f"Do {number // 2}.", "input": "Now." if number % 2 else "",
        "response1": f"Short {number}.", "response2": f"A longer answer {number}.",
        **{f"annotator{place}": vote for place, vote in enumerate(votes, start=1)}, **changes,
    }  # fmt: skip


def label(number: int, better: str) -> dict[str, Any]:
    return {
        "input": f"What is {number}?",
        "output_1": f"{number}.",
        "output_2": f"It is not {number}.",
        "label": better,
    }


def workbook(path: Path, rows: list[tuple[Any, ...]]) -> None:
    """A sheet as spreadsheets save it: texts in a shared table, numbers in place, empty cells left out."""
    texts = sorted({cell for row in [HEAD, *rows] for cell in row if isinstance(cell, str)})
    lines = []
    for number, row in enumerate([HEAD, *rows], start=1):
        cells = []
        for column, cell in zip("ABCDEFGHIJ", row, strict=True):
            if isinstance(cell, str):
                cells.append(f'<c r="{column}{number}" t="s"><v>{texts.index(cell)}</v></c>')
            elif cell is not None:
                cells.append(f'<c r="{column}{number}"><v>{cell}</v></c>')
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    shared = "".join(f"<si><t>{escape(text)}</t></si>" for text in texts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("xl/sharedStrings.xml", f"<sst {space}>{shared}</sst>")
        book.writestr(
            "xl/worksheets/sheet1.xml", f"<worksheet {space}><sheetData>{''.join(lines)}</sheetData></worksheet>"
        )


def write(folder: Path, name: str, rows: Any) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(rows), encoding="utf-8")


def only(folder: Path) -> PublishedSet:
    (found,) = human_sets(folder)
    return found


def test_three_annotators_decide_by_majority_and_are_held_against_each_other(tmp_path: Path) -> None:
    """Votes 112: 2 against 11 is wrong, and each 1 meets 1 and 2, which are no majority. 111 and 222 agree thrice."""
    votes = [(1, 1, 2), (1, 1, 1), (2, 2, 2), (0, 0, 1), (1, 0, 2)]
    write(tmp_path, PANDALM, [pandalm(n, vote) for n, vote in enumerate(votes)])
    found = only(tmp_path)
    assert (found.name, found.judge, found.n_left_out) == ("pandalm", "people", 2), "two ties of people"
    assert [pair.score for pair in found.pairs] == [1, 1, 0]
    assert found.people is not None and (found.people.n, found.people.agreement) == (7, pytest.approx(6 / 7))
    first = found.pairs[0]
    assert (first.history, first.candidate, first.candidate_name) == ("\n<|user|>\nDo 0.", "Short 0.", "x")
    assert len({pair.prompt_id for pair in found.pairs}) == 3 and len({pair.cluster for pair in found.pairs}) == 3
    assert found.pairs[1].history == "\n<|user|>\nDo 0.\n\nNow."


def test_pairs_of_one_prompt_are_one_observation() -> None:
    """Ten pairs of two prompts, right in one: a share of ½ whose interval is that of two."""
    flags, prompts = np.array([True] * 5 + [False] * 5), np.array(["a"] * 5 + ["b"] * 5)
    assert clustered_mean(flags, prompts) == pytest.approx((0.5, *wilson(1, 2)[:2]))
    apart = clustered_mean(flags, np.arange(10))
    assert apart == pytest.approx((0.5, *wilson(5, 10)[:2]))
    assert clustered_mean(np.ones(10), prompts)[1] == pytest.approx(wilson(2, 2)[0])
    value, low, high = clustered_difference(flags, ~flags, np.arange(10))
    assert (value, low < 0 < high) == (0, True)
    assert clustered_difference(np.ones(10), np.zeros(10), np.arange(10))[0] == 1


def test_a_workbook_is_read_and_a_raters_latest_verdict_counts(tmp_path: Path) -> None:
    """One instance, judged in both orders of the models; rater p changed their mind; one row has no verdict."""
    rows = [
        (0.0, "i1", "Say <hi> & go.", "zeta", "alpha", "Hi there.", "Hi.", "a-is-better", "p", 1.0),
        (0.0, "i1", "Say <hi> & go.", "zeta", "alpha", "Hi there.", "Hi.", "b-is-slightly-better", "p", 2.0),
        (7.0, "i1", "Say <hi> & go.", "alpha", "zeta", "Hi.", "Hi there.", "a-is-better", "q", 1.5),
        (8.0, "i2", "Other.", "alpha", "zeta", "A.", "B.", "tie", "q", 1.5),
        (9.0, "i3", "None.", "alpha", "zeta", "A.", "B.", None, "q", 1.5),
    ]
    workbook(tmp_path / TULU, rows)
    assert sheet(tmp_path / TULU)[0]["prompt"] == "Say <hi> & go."
    found = only(tmp_path)
    assert (len(found.pairs), found.n_left_out) == (1, 1)
    (pair,) = found.pairs
    assert (pair.candidate_name, pair.baseline_name, pair.candidate, pair.score) == ("alpha", "zeta", "Hi.", 1)
    assert found.people is not None and found.people[:2] == (2, 1.0)


def test_a_response_that_is_no_text_is_left_out(tmp_path: Path) -> None:
    """One of the released 999 is `false`."""
    write(tmp_path, PANDALM, [pandalm(0, (1, 1, 1)), pandalm(1, (1, 1, 1), response2=False)])
    assert (len(only(tmp_path).pairs), only(tmp_path).n_left_out) == (1, 1)


@pytest.mark.parametrize("spoil", [b"no workbook", b"PK\x05\x06" + bytes(18)])
def test_a_broken_file_is_a_clear_error(tmp_path: Path, spoil: bytes) -> None:
    (tmp_path / TULU).parent.mkdir(parents=True)
    (tmp_path / TULU).write_bytes(spoil)
    with pytest.raises(UserError, match="a published set cannot be read"):
        published_sets(tmp_path)


@pytest.mark.parametrize("protocol", ["paper", "robust"])
def test_judges_beside_people_and_the_gpt4_of_2023(tmp_path: Path, protocol: str) -> None:
    """People prefer the longer answer in 8 of 12, its labels in 3 of 4; GPT-4's replies are right in both orders."""
    data, out = tmp_path / "data", tmp_path / "out"
    write(data, PANDALM, [pandalm(n, (2, 2, 2) if n % 3 else (1, 1, 2)) for n in range(12)])
    rows = [label(n, "1" if n == 0 else "2") for n in range(4)]
    write(data, f"{LLMBAR}/Natural.json", rows)
    told = [{f"swap = {swapped}": {"winner": row["label"]} for swapped in (False, True)} for row in rows]
    write(data, GPT4_REPLIES, [{**row, "results": [one]} for row, one in zip(rows, told, strict=True)])
    calibrate(data, out, judges=["replay", "longer", "world"], protocol=protocol)
    frame = read_csv(out / "calibration.csv", "calibration").set_index(["published_set", "judge"])
    assert frame.loc[("pandalm", "longer"), "agreement_pct"] == pytest.approx(100 * 8 / 12)
    assert frame.loc[("pandalm", "longer"), "n_prompts"] == 12
    assert frame.loc[("pandalm", "people"), "agreement_pct"] == pytest.approx(100 * 24 / 28)
    assert frame.loc[("llmbar/natural", "longer"), "agreement_pct"] == 75
    assert frame.loc[("llmbar/natural", GPT4), "agreement_pct"] == 100
    printed = frame.loc[("llmbar/natural", "gpt-4-2023 (printed)")]
    assert (printed["agreement_pct"], printed["status"]) == (95.5, "published")
    assert frame.loc[("pandalm", "world"), "status"] == "refused" and ("pandalm", "replay") not in frame.index
    assert frame.loc[("pandalm", "longer"), "longer_won_pct"] == 100
    moved = read_csv(out / "calibration_cells.csv", "calibration_cells")
    (cell,) = moved.to_dict("records")
    assert (cell["candidate"], cell["judge"], cell["win_rate_pct"], cell["n"]) == ("x", "longer", 0, 12)
    assert cell["shift_pp"] == pytest.approx(-100 * 4 / 12)
    page = (out / "calibration.md").read_text(encoding="utf-8")
    assert "no: not shown to be better than a coin" in page and "95.5" in page


def row(low: float, high: float, over: float) -> dict[str, float]:
    return {"agreement_pct": 70, "agreement_ci_low": low, "agreement_ci_high": high, "over_longer_ci_low": over}


@pytest.mark.parametrize(
    ("own", "people", "said"),
    [
        (row(65, 75, 2), {"agreement_pct": 70.0}, "yes: within 5 points of people"),
        (row(65, 75, 2), {"agreement_pct": 70.1}, "not known: too few pairs"),
        (row(65, 75, 2), {"agreement_pct": 75.1}, "no: below people"),
        (row(50, 90, 40), {"agreement_pct": 74.0}, "no: not shown to be better than a coin"),
        (row(65, 75, 0), {"agreement_pct": 74.0}, "no: not shown to be better"),
        (row(65, 75, 2), None, "not known"),
    ],
)
def test_who_may_stand_in(own: Any, people: Any, said: str) -> None:
    assert may_stand_in(own, people, None).startswith(said)


def test_the_safe_difference_by_hand() -> None:
    """Shifts 0, 2, 4: spread 2, t(2) = 4.303, so 4.303 · 2 · √2 = 12.17. Only a and b change places: 49 and 51."""
    rates = [("a", 51.0, 51.0), ("b", 50.0, 52.0), ("c", 70.0, 74.0)]
    rows = [
        {"published_set": f"f/{name}", "judge": "j", "other": "o", "win_rate_pct": mine, "other_win_rate_pct": theirs}
        for name, theirs, mine in rates
    ]
    (safe,) = safe_differences(rows)
    assert (safe.family, safe.n, safe.mean_shift_pp, safe.spread_pp) == ("f", 3, 2.0, 2.0)
    assert safe.safe_pp == pytest.approx(12.17, abs=0.01)
    assert (safe.swapped, safe.pairs, safe.largest_swapped_pp) == (1, 3, 1.0)
    assert safe_differences(rows[:2]) == [], "two candidates have no spread to speak of"


@needs_data
def test_released_human_labels() -> None:
    """the sources of the shared data: 999, 1,150 verdicts on 996 pairs, 419 and 200; people agree with each other."""
    found = {one.name: one for one in human_sets(SHARED / "data")}
    sizes = {name: len(one.pairs) + one.n_left_out for name, one in found.items()}
    llmbar = sum(size for name, size in sizes.items() if name.startswith("llmbar/"))
    assert (sizes["pandalm"], sizes["tulu"], sizes["mt_bench/people"], llmbar) == (999, 996, 200, 419)
    assert found["pandalm"].people is not None and found["pandalm"].people.agreement > 0.9
    assert found["tulu"].people is not None and 0.5 < found["tulu"].people.agreement < 1
    assert found["llmbar/natural"].people is None


@needs_data
def test_the_documented_figures_of_the_longer_one(tmp_path: Path) -> None:
    """docs/judging.md#published-verdicts, from the released files through the real server."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "human_eval").symlink_to(SHARED / "data" / "human_eval")
    frame = calibrate(tmp_path / "data", tmp_path / "out", judges=["longer"], protocol="paper")
    own = frame.loc[frame["judge"] == "longer"].set_index("published_set")["agreement_pct"].astype(float)
    people = frame.loc[frame["judge"] == "people"].set_index("published_set")["agreement_pct"].astype(float)
    misled = own[own.index.str.contains("adversarial")]
    told = [*own[["pandalm", "mt_bench/people", "tulu", "llmbar/natural"]], misled.min(), *people[["pandalm", "tulu"]]]
    page = (ROOT / "docs" / "judging.md").read_text(encoding="utf-8")
    assert not [figure for figure in told if f"{figure:.1f} %" not in page and f"{figure:.1f} to" not in page]
    assert f"to {misled.max():.1f} %" in page


@needs_data
def test_gpt4s_released_replies_give_its_printed_agreement() -> None:
    """95.5 %, the mean of both orders (known.yaml)."""
    labels = {pair.prompt_id: pair.score for one in human_sets(SHARED / "data") for pair in one.pairs}
    replies = gpt4_replies(SHARED / "data")
    right = [float(share == labels[pair]) for pair, *shares in replies for share in shares]
    assert (len(right), 100 * sum(right) / len(right)) == (200, 95.5)
