"""One flipped byte in any result file is found, named with its cells, and everything else still fits."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from checkout import Checkout
from trace_world import make_table

from prefrepro.errors import UserError
from prefrepro.inspect.results import open_results
from prefrepro.inspect.verify import Finding, verify
from prefrepro.jobs.record import as_text, now, record_files, seal

DPO, RPO = "rpo/table1/dpo/win-rate seeds=2", "rpo/table1/rpo-paired/win-rate seeds=2"
BOTH = [DPO, RPO]
TOUCHED = {
    "data/*/train.jsonl": BOTH,
    "data/*/eval.jsonl": BOTH,
    "data/*/pretrain.jsonl": BOTH,
    "data/*/prompts.jsonl": BOTH,
    "data/*/manifest.json": BOTH,
    "base/*/model/model.safetensors": BOTH,
    "base/*/run.json": BOTH,
    "runs/sft_*/model/model.safetensors": BOTH,
    "runs/dpo_*/model/model.safetensors": [DPO],
    "runs/dpo_*/model/config.json": [DPO],
    "runs/dpo_*/model/tokenizer.json": [DPO],
    "runs/dpo_*/model/README.md": [DPO],
    "runs/rpo-paired_*/model/generation_config.json": [RPO],
    "runs/rpo-paired_*/model/tokenizer_config.json": [RPO],
    "runs/rpo-paired_*/metrics.csv": [RPO],
    "runs/dpo_*/run.json": [DPO],
    "reference/*/reference.safetensors": BOTH,
    "reference/*/manifest.json": BOTH,
    "embeddings/*/embeddings.safetensors": [RPO],
    "embeddings/*/manifest.json": [RPO],
    "samples/dpo_*/samples.jsonl": [DPO],
    "samples/rpo-paired_*/manifest.json": [RPO],
    "verdicts/rpo-paired_*/verdicts.csv": [RPO],
    "verdicts/dpo_*/manifest.json": [DPO],
    "tables/rpo_table1__seeds-2.csv": BOTH,
    "tables/rpo_table1__seeds-2.md": BOTH,
    "tables/rpo_table1__seeds-2.tex": BOTH,
    "tables/rpo_table1__seeds-2.html": BOTH,
    "records/data/*.json": BOTH,
    "records/runs/dpo_*.json": [DPO],
    "records/samples/rpo-paired_*.json": [RPO],
    "records/verdicts/dpo_*.json": [DPO],
    "records/tables/rpo_table1__seeds-2.json": BOTH,
}
"""Kind of file -> the cells that rest on it, whichever byte is flipped."""
JOINED = ("cells.csv", "runs.csv", "verdicts.csv", "judging.csv", "pairs.csv", "cell_seeds.csv",
          *(f"tables/rpo_table1__seeds-2.{name}.csv" for name in ("cells", "cell_seeds", "pairs")))  # fmt: skip


def flip(path: Path, place: float = 0.5) -> None:
    """Flip the lowest bit of the byte at a share of the file."""
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    path.write_bytes(content)


def found(results: Path) -> dict[str, Finding]:
    return {finding.path: finding for finding in verify(open_results(results)).findings}


def test_every_kind_of_file_is_tried(world: Checkout) -> None:
    """A new kind of output must be added above; an empty file has no byte to flip."""
    kinds = [*TOUCHED, *JOINED]
    tried = {path for kind in kinds for path in world.results.glob(kind)}
    names = {(path.relative_to(world.results).parts[0], path.name) for path in tried}
    files = [path for path in world.results.rglob("*") if path.is_file() and path.stat().st_size]
    of_results = [path for path in files if not path.name.startswith(("judge_cache.sqlite", ".collect.lock"))]
    lacking = [
        path
        for path in of_results
        if path not in tried and (path.relative_to(world.results).parts[0], path.name) not in names
        and path.relative_to(world.results).parts[0] not in ("records", "base", "benchmarks")
    ]  # fmt: skip
    assert not lacking


def test_what_was_just_made_fits(world: Checkout) -> None:
    verified = verify(open_results(world.results))
    assert verified.findings == []
    assert verified.is_whole
    assert verified.unrecorded == []
    assert verified.tables == 1
    assert verified.records == len(list((world.results / "records").rglob("*.json")))
    assert verified.files == sum(len(record["files"]) for record in open_results(world.results).records.values())


@pytest.mark.parametrize("kind", TOUCHED)
def test_one_flipped_byte_is_found_with_its_cells(results: Path, kind: str) -> None:
    path = sorted(results.glob(kind))[0]
    flip(path)
    place = path.relative_to(results).as_posix()
    findings = found(results)
    assert place in findings, findings
    assert findings[place].cells == TOUCHED[kind]
    assert {cell for finding in findings.values() for cell in finding.cells} == set(TOUCHED[kind])


@pytest.mark.parametrize("name", JOINED)
@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 1.0])
def test_one_flipped_byte_of_a_joined_csv_is_found(results: Path, name: str, place: float) -> None:
    flip(results / name, place)
    findings = found(results)
    assert name in findings
    assert findings[name].cells
    assert set(findings[name].cells) <= set(BOTH)


def test_a_row_of_cells_csv_names_its_cell_alone(results: Path) -> None:
    path = results / "cells.csv"
    path.write_text(
        path.read_text(encoding="utf-8").replace("table1,rpo-paired,", "table1,rpo-pairee,"), encoding="utf-8"
    )
    assert found(results)["cells.csv"].cells == [RPO]


def test_a_raw_reply_names_its_cell(results: Path) -> None:
    path = next(results.glob("verdicts/dpo_*/verdicts.csv"))
    path.write_text(path.read_text(encoding="utf-8").replace("Response 1", "Response 2", 1), encoding="utf-8")
    findings = found(results)
    assert findings[path.relative_to(results).as_posix()].cells == [DPO]
    assert findings["verdicts.csv"].cells == [DPO]


def test_a_file_that_is_gone_or_too_many(results: Path) -> None:
    gone = next(results.glob("runs/dpo_*/model/model.safetensors"))
    gone.unlink()
    (gone.parent / "notes.txt").write_text("x", encoding="utf-8")
    findings = found(results)
    assert findings[gone.relative_to(results).as_posix()].problem == "is missing"
    stranger = (gone.parent / "notes.txt").relative_to(results).as_posix()
    assert "stands in no record" in findings[stranger].problem
    assert findings[stranger].cells == [DPO]
    without = verify(open_results(results), is_without_models=True)
    assert [finding.path for finding in without.findings] == [stranger]


def test_a_verdict_and_its_record_changed_together_no_longer_give_the_table(results: Path) -> None:
    """Who mends the hash as well is told by the table, and by what was made from it."""
    path = next(results.glob("verdicts/rpo-paired_*/verdicts.csv"))
    text = path.read_text(encoding="utf-8")
    assert ",loss,0.0," in text
    path.write_text(text.replace(",loss,0.0,", ",win,1.0,"), encoding="utf-8")
    forge(results, path)
    findings = found(results)
    assert "is not what its verdicts give" in findings["tables/rpo_table1__seeds-2.cells.csv"].problem
    assert findings["tables/rpo_table1__seeds-2.cells.csv"].cells == [RPO]
    assert "than stands there now" in findings["records/tables/rpo_table1__seeds-2.json"].problem


def test_an_input_made_anew_is_told(results: Path) -> None:
    path = next(results.glob("samples/dpo_*/samples.jsonl"))
    path.write_text(path.read_text(encoding="utf-8").replace("{", "{ ", 1), encoding="utf-8")
    forge(results, path)
    name = path.parent.name
    findings = [one for one in found(results).values() if f"another sample {name} than stands" in one.problem]
    assert [finding.cells for finding in findings] == [[DPO]]


def test_a_record_of_another_spec_than_its_id(results: Path) -> None:
    path = next((results / "records/runs").glob("dpo_*.json"))
    record = json.loads(path.read_text(encoding="utf-8"))
    record["spec"]["hparams"]["beta"] = 0.5
    path.write_text(as_text(record | {"sha256": seal(record)}), encoding="utf-8")
    assert "the digest of its spec and inputs is" in found(results)[path.relative_to(results).as_posix()].problem


def forge(results: Path, path: Path) -> None:
    """Write the record of a changed file's job anew, sealed."""
    place = path.relative_to(results).as_posix()
    record_path = results / "records" / f"{Path(place).parent.as_posix()}.json"
    record = json.loads(record_path.read_text(encoding="utf-8"))
    record["files"][place] = hashlib.sha256(path.read_bytes()).hexdigest()
    record_path.write_text(as_text(record | {"sha256": seal(record)}), encoding="utf-8")


def test_other_files_are_recorded_too(results: Path) -> None:
    (results / "audit.csv").write_text("a\n", encoding="utf-8")
    assert verify(open_results(results)).unrecorded == ["audit.csv"]
    record_files(results, "audit", ["audit.csv"], now())
    verified = verify(open_results(results))
    assert verified.is_whole and verified.unrecorded == []
    flip(results / "audit.csv")
    assert found(results)["audit.csv"].cells == []


def test_the_same_table_made_again_has_the_same_bytes(world: Checkout) -> None:
    files = [*world.results.glob("tables/*"), world.results / "cells.csv"]
    before = {path: path.read_bytes() for path in files}
    make_table(world, {"seeds": 2})
    assert {path: path.read_bytes() for path in files} == before


def test_results_without_records_are_refused(results: Path) -> None:
    (results / "records").rename(results / "elsewhere")
    with pytest.raises(UserError, match="holds no record"):
        verify(open_results(results))


def test_the_command(world: Checkout, results: Path) -> None:
    whole = world.prefrepro("verify")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert "everything fits" in whole.stdout
    flip(next(results.glob("runs/dpo_*/model/model.safetensors")))
    broken = world.prefrepro("verify", str(results))
    assert broken.returncode == 1
    assert f"touches  {DPO}" in broken.stdout
    assert "model.safetensors" in broken.stdout
    told = json.loads(world.prefrepro("verify", str(results), "--json").stdout)
    assert not told["is_whole"]
    assert [finding["cells"] for finding in told["findings"]] == [[DPO]]
    assert world.prefrepro("verify", "nowhere").returncode == 2
