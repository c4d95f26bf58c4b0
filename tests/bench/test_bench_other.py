"""Shapes and campaign by arithmetic, judge and GPU at no size, and the page."""

from __future__ import annotations

import csv
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from bench import gpu, judge, page
from bench.campaign import BOUND, WAYS, campaign, hours
from bench.shapes import HH, SHAPES, Lengths, draw_lengths, padded_tokens
from bench.stamp import read_rows, write_rows
from prefrepro.errors import UserError
from prefrepro.judge.connect import local_judge


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_has_the_weights_of_the_model(name: str) -> None:
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**asdict(SHAPES[name])))
    layers = sum(weight.numel() for weight in model.model.layers.parameters() if weight.ndim == 2)
    assert (layers, model.lm_head.weight.numel()) == (SHAPES[name].body, SHAPES[name].head)


def test_tokens_and_attention_of_a_pair() -> None:
    """Prompt of 3, responses of 2 and 1: 9 tokens apart, 6 together; 3·4/2 + 2·3/2 + 1 + 3·3 = 19 query-key pairs."""
    row = Lengths(3, (2, 1))
    assert (row.separate, row.unique, row.attended) == (9, 6, 19)
    assert padded_tokens([row, Lengths(1, (1, 1))], 2) == 4 * 5
    assert padded_tokens([row, Lengths(1, (1, 1))], 1) == 2 * 5 + 2 * 2


def test_drawn_lengths_have_hh_means() -> None:
    rows = draw_lengths(4000)
    assert sum(row.prompt for row in rows) / 4000 == pytest.approx(HH[0], rel=0.03)
    assert sum(sum(row.responses) for row in rows) / 8000 == pytest.approx(HH[1], rel=0.03)
    assert max(row.prompt + max(row.responses) for row in rows) <= 512


def test_each_way_takes_fewer_hours_than_the_one_before() -> None:
    runs, references = campaign()
    found = [hours(way, runs, references) for way in (*WAYS, BOUND)]
    assert found == sorted(found, reverse=True)
    assert found[-2] == pytest.approx(found[-1] / WAYS[-1].rate_share), "the same operations at another rate"
    assert {run.k for run in runs} == {1, 2, 4} and len(references) < len(runs)


def test_new_and_cached_replies_are_timed_apart() -> None:
    with local_judge("world") as endpoint:
        found = judge.measure(40, 4, endpoint)
    assert set(found) == {"new", "cached"} and all(speed > 0 for speed, _ in found.values())


def test_every_gpu_candidate_runs_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    command = ["bench.gpu", "--device", "cpu", "--shape", "tiny", "--steps", "1", "--batch", "2", "--checkpointing"]
    monkeypatch.setattr(sys, "argv", [*command, "--out", str(tmp_path / "gpu.csv")])
    try:
        gpu.main()
    finally:
        torch.set_num_threads(threads)
    rows = {row["candidate"]: row for row in read_rows(tmp_path / "gpu.csv")}
    assert tuple(rows) == tuple(name for name in gpu.CANDIDATES if name != "trl" or find_spec("trl"))
    assert float(rows["shared"]["computed_tokens_per_unique"]) == 1
    assert float(rows["packed"]["computed_tokens_per_unique"]) < float(rows["padded"]["computed_tokens_per_unique"])
    assert all(float(row["ratio_to_padded_live"]) > 0 for row in rows.values())


def test_large_shapes_are_refused_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.gpu", "--device", "cpu"])
    with pytest.raises(UserError, match="give --shape tiny"):
        gpu.main()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_the_command_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.gpu"])
    gpu.main()
    assert capsys.readouterr().out.startswith("skipped: there is no CUDA device")


def test_the_page_shows_the_figures_that_are_committed() -> None:
    """`make bench-page` puts them there; the forecast changes with the plan and is left out."""
    text = page.PAGE.read_text(encoding="utf-8")
    for name in page.SHOWN:
        assert page.with_block(text, name, page.of_csv(name)) == text, f"{name}: run make bench-page"


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(UserError, match="no <!-- train -->"):
        page.with_block("# Title\n", "train", "figures")


def test_a_table_is_made_of_a_csv(tmp_path: Path) -> None:
    assert page.of_csv("judge", tmp_path) == "Not measured yet: `make bench-judge`."
    row = {
        "rule": "align",
        "jobs": 3,
        "start_share": 0.125,
        "machine": "m",
        "date": "d",
        "commit": "c",
        "versions": "v",
    }
    columns = [*page.SHOWN["dag"], "machine", "versions", "date", "commit"]
    write_rows(tmp_path / "dag.csv", columns, [row | {"job_s": 1234.56}])
    lines = page.of_csv("dag", tmp_path).splitlines()
    assert lines[2] == "| align | 3 | 1235 |  |  | 12.5 % |  |  |  |"
    assert lines[-1] == "m; v; d; c"
    with (tmp_path / "dag.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["job_s"] == "1235"
