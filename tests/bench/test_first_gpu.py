"""bench.first_gpu without a GPU: every section runs, what is measured stays, and one line's failure is its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from shared import SHARED

from bench import first_gpu
from bench.first_gpu import COLUMNS, SECTIONS, WHOLE, Results, Section, page
from bench.stamp import read_rows
from prefrepro.errors import UserError
from prefrepro.files import ROOT

COMMAND = [sys.executable, "-m", "bench.first_gpu", "--device", "cpu", "--shape", "tiny", "--out"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Filled by one run of everything."""
    out = tmp_path_factory.mktemp("first_gpu")
    done = subprocess.run(
        [*COMMAND, str(out), "--minutes", "30"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out


def test_every_section_runs_and_nothing_is_refuted(folder: Path) -> None:
    rows = read_rows(folder / "first_gpu.csv")
    assert {row["section"] for row in rows} == {section.name for section in SECTIONS}
    missed = [row for row in rows if row["verdict"] == "not measured"]
    assert all("TRL is not installed" in row["note"] for row in missed), missed
    assert not [row for row in rows if row["verdict"] == "refuted"]
    right = [row for row in rows if row["section"] in ("varlen", "methods", "mixed")]
    assert len(right) > 50 and {row["verdict"] for row in right} == {"confirmed"}


def test_the_page_says_every_line(folder: Path) -> None:
    text = (folder / "first_gpu.md").read_text(encoding="utf-8")
    for row in read_rows(folder / "first_gpu.csv"):
        assert f"| {row['line']} | {row['claim']} | {row['expected']} |" in text
    assert "its figures say nothing of a GPU" in text


def test_what_is_measured_is_not_measured_again(folder: Path) -> None:
    before = read_rows(folder / "first_gpu.csv")
    done = subprocess.run(
        [*COMMAND, str(folder), "--only", "device", "varlen", "methods"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "confirmed" not in done.stdout
    assert read_rows(folder / "first_gpu.csv") == before


class Dies:
    """Stands for a section's process: it sends what it is given, then ends or waits."""

    def __init__(self, messages: list[tuple[Any, ...]], ends: bool) -> None:
        self.messages: Iterator[tuple[Any, ...]] = iter(messages)
        self.ends, self.section, self.log, self.process = ends, SECTIONS[0], Path("x.log"), self
        self.exitcode = -9

    def join(self, timeout: float) -> None:
        pass

    def next(self, seconds: float) -> tuple[Any, ...] | None:
        found = next(self.messages, None)
        if found is None and self.ends:
            raise EOFError
        return found


CASES = [("a", "claim", "1"), ("b", "claim", "2"), ("c", "claim", "3")]


@pytest.mark.parametrize("ends", [True, False])
def test_a_line_that_fails_leaves_the_others(ends: bool, tmp_path: Path) -> None:
    """A process that dies says so at the line that it was at, and is begun again for the others; one that is slow
    loses what is left of its section."""
    results = Results(tmp_path, "cuda", "full")
    messages = [("plan", CASES), ("start", "a"), ("found", "a", "confirmed", "1", "", 0.5), ("start", "b")]
    died: Any = Dies(messages, ends)
    assert first_gpu.measure(died, results, 3.0) == ("b" if ends else "")
    rows = {row["line"]: row for row in read_rows(tmp_path / "first_gpu.csv")}
    assert [rows[line]["verdict"] for line in "abc"] == ["confirmed", "not measured", "not measured"]
    assert ("code -9" if ends else "3 s were over") in rows["b"]["note"]
    assert results.done("device") == {"a"} and not results.is_through("device")
    again: Any = Dies([("plan", CASES), ("start", "c"), ("found", "c", "refuted", "4", "", 0.5), ("end",)], True)
    assert first_gpu.measure(again, results, 3.0) == ""
    kept = Results(tmp_path, "cuda", "full")
    assert kept.done("device") == {"a", "c"}
    text = (tmp_path / "first_gpu.md").read_text(encoding="utf-8")
    assert "1 confirmed, 1 refuted, 0 measured, 1 not measured" in text and "**refuted**" in text


def test_a_process_that_dies_before_its_first_line_is_not_begun_again(tmp_path: Path) -> None:
    results, died = Results(tmp_path, "cuda", "full"), Dies([], True)
    assert first_gpu.measure(died, results, 3.0) == ""  # pyright: ignore[reportArgumentType]
    (row,) = read_rows(tmp_path / "first_gpu.csv")
    assert tuple(row) == COLUMNS and row["line"] == WHOLE and row["verdict"] == "not measured"


def test_rows_of_another_device_stay(tmp_path: Path) -> None:
    Results(tmp_path, "cpu", "tiny").put("device", "a", verdict="confirmed")
    Results(tmp_path, "cuda", "full").put("device", "a", verdict="refuted")
    assert [row["device"] for row in read_rows(tmp_path / "first_gpu.csv")] == ["cpu", "cuda"]
    assert Results(tmp_path, "cpu", "tiny").done("device") == {"a"}


def test_a_page_cannot_be_broken_by_what_it_shows() -> None:
    row = dict.fromkeys(COLUMNS, "") | {"section": "device", "line": "a|b", "measured": "1\n2", "verdict": "measured"}
    assert "| a¦b |  |  | 1 2 | measured |" in page([row], "cuda", "full")


def test_a_full_shape_is_refused_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.first_gpu", "--device", "cpu"])
    with pytest.raises(UserError, match="give --shape tiny"):
        first_gpu.main()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_the_command_says_so(tmp_path: Path) -> None:
    """Each section of a GPU starts as a new interpreter; the first of them finds no device."""
    command = [*COMMAND[:3], "--only", "device", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "there is no CUDA device" in done.stderr
    assert not read_rows(tmp_path / "first_gpu.csv")


def test_the_limits_fit_nine_minutes() -> None:
    """Most sections end before theirs; the last ones are the least important."""
    assert sum(section.seconds for section in SECTIONS) <= 1.2 * 9 * 60
    assert all(isinstance(section, Section) for section in SECTIONS)


EMULATED = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from fakegpu import DEV, Emulate
from bench import first_gpu_right
from bench.first_gpu_cases import Place
torch.set_num_threads(1)
place = Place(DEV, True)
wanted = "bradley_terry", "dpo", "kto", "ppo", "ppo_offline", "rpo_paired", "swepo"
with Emulate():
    for case in first_gpu_right.methods(place):
        if case.line in [f"{name}, float32" for name in wanted]:
            print(case.line, case.run().is_so)
"""


@pytest.mark.skipif(not (SHARED / "gpu" / "fakegpu.py").exists(), reason="../shared/gpu/fakegpu.py is absent")
def test_the_methods_section_trains_on_a_second_device() -> None:
    """Emulated: an operation that mixes it with the CPU raises, as CUDA's does. In float32: its tensors cannot be
    given other data, as narrow copies of the weights want it, which on CUDA are FSDP's."""
    done = subprocess.run(
        [sys.executable, "-c", EMULATED, str(SHARED / "gpu")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) == 7 and all(line.endswith(" True") for line in lines), done.stdout
