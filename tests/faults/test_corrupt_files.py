"""Files that were cut or changed after they were whole: named and refused, or passed over for a whole one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
import torch
from checkout import Checkout
from pyarrow import parquet
from test_bad_judge import Judging
from train_helpers import make_policy, tokenizer

from prefrepro.data.local import read_records
from prefrepro.errors import UserError
from prefrepro.files import sha256_file, write_json
from prefrepro.jobs.integrity import check_intact, record_of
from prefrepro.model.load import load_model, save_model
from prefrepro.model.tensors import load_tensors, save_tensors
from prefrepro.train.checkpoint import CheckpointStore

Tell = Callable[..., None]
Refused = Callable[..., str]
SEED = 6
CUTS = 40


def cuts(size: int, n: int = CUTS) -> list[int]:
    draw = random.Random(SEED)
    return [0, 1, size // 2, size - 1, *(draw.randrange(size) for _ in range(n - 4))]


def test_parquet_cut_anywhere(tmp_path: Path, tell: Tell) -> None:
    path = tmp_path / "train.parquet"
    rows = [{"prompt": f"Question {number}?", "chosen": "a" * number, "rejected": "b"} for number in range(3000)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=500)
    content = path.read_bytes()
    assert [record for _, record in read_records(path)] == rows
    for length in cuts(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"train\.parquet: cannot be read as Parquet .* Fetch it again"):
            list(read_records(path))
    tell("Parquet file cut at random", CUTS, refused=CUTS)


def test_safetensors_cut_anywhere(tmp_path: Path, tell: Tell) -> None:
    path = tmp_path / "reference.safetensors"
    save_tensors({"train": torch.randn(500, 2), "eval": torch.randn(100, 2)}, path)
    content = path.read_bytes()
    for length in cuts(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"reference\.safetensors: cannot be read as safetensors"):
            load_tensors(path)
    tell("safetensors file cut at random", CUTS, refused=CUTS)


def test_weights_cut_anywhere(tmp_path: Path, tell: Tell) -> None:
    save_model(make_policy(dtype=torch.float32).model, tokenizer(), tmp_path)
    path = tmp_path / "model.safetensors"
    content = path.read_bytes()
    for length in cuts(len(content), 8):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match="weights cannot be read as safetensors"):
            load_model(tmp_path, "float32")
    tell("model weights cut at random", 8, refused=8)


def test_a_checkpoint_cut_or_changed_anywhere(tmp_path: Path, tell: Tell, caplog: pytest.LogCaptureFixture) -> None:
    """The one before is taken, and the torn one named; a changed bit counts, wherever it is."""
    draw, store = random.Random(SEED), CheckpointStore(tmp_path)
    before, after = {"weights": torch.zeros(2000)}, {"weights": torch.ones(2000)}
    store.save(2, before)
    store.save(4, after)
    path = tmp_path / "step-000000004.pt"
    content, wrong, named = path.read_bytes(), 0, 0
    for number in range(CUTS):
        if number % 2:
            path.write_bytes(content[: draw.randrange(len(content))])
        else:
            place = draw.randrange(len(content))
            path.write_bytes(content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :])
        state = store.load()
        assert state is not None
        expected = {2: before, 4: after}[state["step"]]["weights"]
        wrong += not torch.equal(state["weights"], expected)
        named += state["step"] == 2
        assert path.exists() == (state["step"] == 4)
    assert caplog.text.count("step-000000004.pt is torn") == named >= CUTS // 2
    tell("checkpoint cut, or a bit of it changed, at random", CUTS, recovered=CUTS - wrong, wrong=wrong)


def test_results_of_a_job_that_were_changed_since(checkout: Checkout, refused: Refused, tell: Tell) -> None:
    """A sample set cut at the end of a line reads well: the record of the job that made it tells."""
    judging = Judging(checkout, {"kind": "local", "scorer": "length"})
    folder = f"samples/{judging.samples.parent.name}"
    whole = judging.samples.read_bytes()
    names = [f"{folder}/samples.jsonl", f"{folder}/manifest.json"]
    files = {name: sha256_file(checkout.results / name) for name in names}
    write_json(record_of(checkout.results, folder), {"files": files})
    place = whole.index(b"is the number") + 3
    changed = [whole[: whole.rindex(b"\n", 0, -1) + 1], whole[:place] + b"X" + whole[place + 1 :]]
    for content in changed:
        judging.samples.write_bytes(content)
        refused(
            judging.run(), "samples.jsonl is not what its job wrote", f"delete the folder results/embedded/{folder}"
        )
        judging.left_nothing()
    judging.samples.write_bytes(whole)
    done = judging.run()
    assert done.returncode == 0, done.stderr
    tell("results of an earlier job cut at a line's end, or a letter changed", len(changed), refused=len(changed))


@pytest.mark.parametrize("content", ["{", "[]", '{"files": 3}'])
def test_a_record_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    path = record_of(tmp_path, "runs/x")
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"records/runs/x\.json: no readable record of a job"):
        check_intact(tmp_path, "runs/x")


def test_results_without_a_record_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "runs" / "x").mkdir(parents=True)
    check_intact(tmp_path, "runs/x")
    write_json(record_of(tmp_path, "runs/x"), {"files": {"runs/x/run.json": "00"}})
    with pytest.raises(UserError, match="found SHA-256 no file, expected 00"):
        check_intact(tmp_path, "runs/x")
    assert json.loads(record_of(tmp_path, "runs/x").read_text(encoding="utf-8"))["files"]
