"""bench.same_numbers on made folders: another commit's ids and times are no difference, every moved number is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.same_numbers import same_numbers
from prefrepro.errors import UserError
from prefrepro.files import ROOT

Change = Callable[[Path], None]


def results(root: Path, digest: str) -> Path:
    """A data set, two trainings that differ in β alone, a sample set and a verdict set of the first, and a table.

    Every id ends in `digest`, as if from another code digest. The two trainings sort one way in one folder and the
    other way in the other, as ids do.
    """

    def job(kind: str, folder: str, name: str, spec: dict[str, Any], inputs: dict[str, str], **files: str) -> str:
        place = root / folder / name
        place.mkdir(parents=True)
        for file, text in files.items():
            (place / file.replace("__", ".")).write_text(text, encoding="utf-8")
        spec = {"kind": kind, "code_digest": digest, **spec}
        record = root / "records" / folder / f"{name}.json"
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({"id": name, "kind": kind, "spec": spec, "inputs": inputs}), encoding="utf-8")
        return name

    first, second = sorted((f"{digest}a", f"{digest}b"), reverse=digest == "2222222")
    data = job("data", "data", f"world_{digest}c", {"seed": 0}, {}, train__jsonl='{"prompt": "a"}\n')
    for beta, end in ((0.1, first), (0.5, second)):
        metrics = f"step,loss,tokens_per_second\n10,{0.7 - beta},{digest}\n20,0.6,1.0\n"
        run = {"row": {"run_id": f"dpo_m_hh_{end}", "commit": digest, "final_loss": beta}, "wall_s": 1.0}
        job("run", "runs", f"dpo_m_hh_{end}", {"hparams": {"beta": beta}, "seed": 1}, {"data": data},
            metrics__csv=metrics, run__json=json.dumps(run), model__safetensors=f"weights {beta}")  # fmt: skip
    run_id = f"dpo_m_hh_{first}"
    sample = job("sample", "samples", f"dpo_m_hh_{digest}d", {"seed": 1}, {"run": run_id}, samples__jsonl='{"r": 1}\n')
    lines = f"verdict_set_id,verdict,created\ndpo_m_hh_j_{digest}e,win,{digest}\n"
    verdict = job("verdict", "verdicts", f"dpo_m_hh_j_{digest}e", {"scorer_digest": digest}, {"sample": sample},
                  verdicts__csv=lines)  # fmt: skip
    cells = f"table,row,value,run_id,verdict_id,commit\ntable1,dpo,{200 / 3},{run_id},{verdict},{digest}\n"
    runs = {first: 0.1, second: 0.5}
    listed = "".join(f"dpo_m_hh_{end},{runs[end]},{digest}\n" for end in sorted(runs))
    (root / "tables").mkdir()
    for name, text in {
        "cells.csv": cells, "tables/rpo_table1.cells.csv": cells, "tables/rpo_table1.md": "| DPO | 66.67 |\n",
        "tables/rpo_table1.html": digest, "verdicts.csv": lines, "judging.csv": f"verdict_set_id,n\n{verdict},1\n",
        "runs.csv": f"run_id,final_loss,wall_s\n{listed}",
        "cell_seeds.csv": f"table,row,seed,verdict_id\ntable1,dpo,1,{verdict}\n",
        "pairs.csv": f"table,first,second,p,first_verdict_id\ntable1,dpo,ipo,0.5,{verdict}\n",
    }.items():  # fmt: skip
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return results(tmp_path / "old", "1111111"), results(tmp_path / "new", "2222222")


def edit(file: str, old: str, new: str) -> Change:
    def change(root: Path) -> None:
        (path,) = root.glob(file)
        text = path.read_text(encoding="utf-8")
        assert old in text, file
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def remove(file: str) -> Change:
    def change(root: Path) -> None:
        (path,) = root.glob(file)
        path.unlink()

    return change


def test_another_commits_ids_order_and_times_are_no_difference(pair: tuple[Path, Path]) -> None:
    report = same_numbers(*pair)
    assert report.differences == []
    assert report.compared["jobs"] == 5
    assert report.compared["runs: metrics.csv"] == report.compared["runs: model.safetensors"] == 2
    assert {"cells.csv", "runs.csv", "verdicts.csv", "judging.csv", "tables: *.md"} <= set(report.compared)
    assert not report.unequal.total()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (edit("cells.csv", "66.66666666666667", "66.66666666666669"), "cells.csv: row 1 (table1, dpo, 66.66"),
        (edit("cells.csv", "hh_2222222b", "hh_22222220"), "run_id: 'dpo_m_hh_2222222b' in OLD"),
        (edit("cells.csv", "table1,dpo", "table1,ipo\ntable1,dpo"), "cells.csv: a row has more or fewer fields"),
        (edit("cells.csv", "row,value", "row,values"), "cells.csv: columns are "),
        (edit("runs/*b/metrics.csv", "20,0.6,", "20,0.60,"), "metrics.csv: row 2 (20, 0.6), loss: '0.6' in OLD"),
        (edit("runs.csv", ",0.5,", ",0.4,"), "runs.csv: row 1 (dpo_m_hh_2222222a, 0.5), final_loss: '0.5' in OLD"),
        (edit("runs/*a/metrics.csv", "20,0.6,1.0\n", ""), "metrics.csv: 2 rows in OLD, 1 in NEW"),
        (edit("runs/*a/run.json", '"final_loss": 0.5', '"final_loss": 0.6'), "row.final_loss: 0.5 in OLD, 0.6 in NEW"),
        (edit("runs/*a/model.safetensors", "weights", "Weights"), "the bytes differ"),
        (edit("samples/*/samples.jsonl", "1", "1.0"), "samples.jsonl: line 1: "),
        (edit("verdicts/*/verdicts.csv", "win", "tie"), "verdict: 'win' in OLD, 'tie' in NEW"),
        (edit("tables/*.md", "66.67", "66.66"), "tables/rpo_table1.md: line 1: "),
        (edit("judging.csv", ",1", ",2"), "judging.csv: row 1 "),
        (remove("runs/*a/metrics.csv"), "metrics.csv: only in OLD"),
        (remove("tables/rpo_table1.md"), "tables/rpo_table1.md: only in OLD"),
        (remove("cells.csv"), "cells.csv: only in OLD"),
    ],
)  # fmt: skip
def test_a_moved_number_is_found_and_placed(pair: tuple[Path, Path], change: Change, said: str) -> None:
    old, new = pair
    change(new)
    (found,) = same_numbers(old, new).differences
    assert said in found


def test_a_job_of_another_spec_is_alone_and_so_is_what_rests_on_it(pair: tuple[Path, Path]) -> None:
    old, new = pair
    edit("records/runs/*b.json", '"beta": 0.1', '"beta": 0.2')(new)
    said = [line for line in same_numbers(old, new).differences if ": only in " in line]
    assert len(said) == 6, "run, samples and verdicts of each side"
    assert any("differs in hparams.beta" in line for line in said)
    assert any("differs in input run" in line for line in said)
    assert any("differs in input sample" in line for line in said)


def test_what_changed_on_purpose_is_named_and_pairs_the_rest(pair: tuple[Path, Path]) -> None:
    old, new = pair
    edit("records/runs/*b.json", '"beta": 0.1', '"temperature": 10')(new)
    assert same_numbers(old, new).differences
    report = same_numbers(old, new, frozenset({"hparams"}))
    assert report.differences == [] and report.compared["jobs"] == 5
    edit("runs/*b/metrics.csv", "20,0.6,", "20,0.7,")(new)
    assert len(same_numbers(old, new, frozenset({"hparams"})).differences) == 1


def test_keys_that_leave_two_jobs_alike_are_refused(pair: tuple[Path, Path]) -> None:
    old, new = pair
    edit("records/runs/*a.json", '"beta": 0.5', '"beta": 0.6')(new)
    edit("records/runs/*b.json", '"beta": 0.1', '"beta": 0.2')(new)
    with pytest.raises(UserError, match="are the same work but for hparams"):
        same_numbers(old, new, frozenset({"hparams"}))


def test_two_versions_of_one_job_are_refused(pair: tuple[Path, Path]) -> None:
    old, new = pair
    record = next((new / "records" / "data").glob("*.json"))
    again = json.loads(record.read_text(encoding="utf-8")) | {"id": "world_00000000"}
    (record.parent / "world_00000000.json").write_text(json.dumps(again), encoding="utf-8")
    with pytest.raises(UserError, match="the same work, done by two versions of the code"):
        same_numbers(old, new)


def test_a_folder_without_records_is_refused(pair: tuple[Path, Path]) -> None:
    old, new = pair
    shutil.rmtree(new / "records")
    with pytest.raises(UserError, match="holds no records"):
        same_numbers(old, new)


@pytest.mark.parametrize(("change", "code"), [(None, 0), (edit("cells.csv", "dpo", "ipo"), 1), (shutil.rmtree, 2)])
def test_the_command_says_by_its_exit_code(pair: tuple[Path, Path], change: Change | None, code: int) -> None:
    old, new = pair
    if change:
        change(new)
    command = [sys.executable, "-m", "bench.same_numbers", str(old), str(new)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert ("Equal: not one number moved." in done.stdout) == (code == 0)
