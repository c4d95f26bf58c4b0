"""A disk that is full or may not be written: told by name, nothing written half; with room again the same goes on."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from checkout import Checkout
from test_bad_judge import Judging, N
from train_helpers import make_policy, tokenizer

from prefrepro.errors import UserError
from prefrepro.judge.cache import ReplyCache, Row, cache_key
from prefrepro.model.load import load_model, save_model
from prefrepro.model.tensors import load_tensors, save_tensors
from prefrepro.model.token_file import Tokens, on_disk
from prefrepro.train.checkpoint import CheckpointStore

Tell = Callable[..., None]
Refused = Callable[..., str]
SIZE = 2**21


class Disk:
    """A file system of two MiB in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Leave `leave` bytes, in whole pages, for everybody else."""
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                file.truncate(max(0, file.tell() - leave))

    def free(self) -> None:
        self._ballast.unlink()

    def left_behind(self) -> list[str]:
        """Half-written files."""
        return [path.name for path in self.folder.rglob(".*") if path.is_file() and path.name != ".lock"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no small file system can be mounted: only root may")
    yield Disk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_checkpoint_on_a_full_disk(disk: Disk, tell: Tell) -> None:
    store = CheckpointStore(disk.folder / "checkpoints")
    store.save(2, {"weights": torch.ones(1000)})
    disk.fill(leave=8192)
    with pytest.raises(UserError, match=r"step-000000004\.pt: no checkpoint .* last good one is .*step-000000002\.pt"):
        store.save(4, {"weights": torch.ones(100_000)})
    assert disk.left_behind() == []
    state = store.load()
    assert state is not None and state["step"] == 2
    disk.free()
    store.save(4, {"weights": torch.ones(100_000)})
    state = store.load()
    assert state is not None and state["step"] == 4
    tell("disk full as a checkpoint is written", 1, recovered=1)


def test_tensors_and_weights_on_a_full_disk(disk: Disk, tell: Tell) -> None:
    tensors = {"train": torch.arange(100_000)}
    policy = make_policy(dtype=torch.float32)
    disk.fill(leave=4096)
    with pytest.raises(UserError, match=r"reference\.safetensors: could not be written"):
        save_tensors(tensors, disk.folder / "reference.safetensors")
    assert not (disk.folder / "reference.safetensors").exists() and disk.left_behind() == []
    with pytest.raises(UserError, match="the model could not be saved"):
        save_model(policy.model, tokenizer(), disk.folder / "model")
    disk.free()
    save_tensors(tensors, disk.folder / "reference.safetensors")
    assert torch.equal(load_tensors(disk.folder / "reference.safetensors")["train"], tensors["train"])
    save_model(policy.model, tokenizer(), disk.folder / "model")
    again = load_model(disk.folder / "model", "float32")
    torch.testing.assert_close(again.state_dict(), policy.model.state_dict(), rtol=0, atol=0)
    tell("disk full as tensors and weights are written", 2, recovered=2)


def test_token_ids_on_a_full_disk(disk: Disk, monkeypatch: pytest.MonkeyPatch, tell: Tell) -> None:
    """Trainings of millions of rows keep their token ids in a temporary file."""
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
    sequences = [Tokens([number] * 200, [number] * 100) for number in range(400)]
    disk.fill(leave=65536)
    with pytest.raises(UserError, match=r"disk: token ids .* after \d+ sequences and .* bytes\. .*TMPDIR"):
        on_disk(sequences)
    disk.free()
    assert list(on_disk(sequences)[0]) == sequences
    tell("disk full as token ids are written", 1, recovered=1)


def test_replies_on_a_full_disk(disk: Disk, tell: Tell) -> None:
    """What was stored before stays; what could not be stored is an error, not a verdict."""
    path = disk.folder / "judge_cache.sqlite"
    cache = ReplyCache(path)
    requests = [{"messages": [{"role": "user", "content": f"{number} " * 2000}]} for number in range(400)]
    keys = [cache_key(request, "somewhere", 0) for request in requests]
    reply = Row('{"choices": []}', 0.01, 1, "2026-01-01T00:00:00.000+00:00")
    kept = 0
    with pytest.raises(UserError, match=r"judge_cache\.sqlite: a reply could not be stored: .*full"):
        for key, request in zip(keys, requests, strict=True):
            cache.put(key, "somewhere", 0, request, reply)
            kept += 1
    assert 0 < kept < len(keys)
    assert [cache.get(key) for key in keys[: kept + 1]] == [reply] * kept + [None]
    cache.close()
    subprocess.run(["mount", "-o", f"remount,size={8 * SIZE}", str(disk.folder)], check=True)
    cache = ReplyCache(path)
    for key, request in zip(keys[kept:], requests[kept:], strict=True):
        cache.put(key, "somewhere", 0, request, reply)
    assert all(cache.get(key) == reply for key in keys)
    cache.close()
    tell("disk full as replies are stored", 1, recovered=1)


def judging_on(disk: Disk, checkout: Checkout) -> Judging:
    """The stage of test_bad_judge.py, whose results lie on the small disk."""
    (checkout.root / "results").symlink_to(disk.folder)
    return Judging(checkout, {"kind": "local", "scorer": "length"})


def test_a_stage_on_a_full_disk(disk: Disk, checkout: Checkout, refused: Refused, tell: Tell) -> None:
    judging = judging_on(disk, checkout)
    disk.fill(leave=4096)
    refused(judging.run(), "results/embedded")
    judging.left_nothing()
    disk.free()
    done = judging.run()
    assert done.returncode == 0, done.stderr
    assert json.loads((judging.out / "manifest.json").read_text(encoding="utf-8"))["n"] == N
    tell("disk full under a judging", 1, recovered=1)


def test_read_only_results(disk: Disk, checkout: Checkout, refused: Refused, tell: Tell) -> None:
    """And so a cache that cannot be written."""
    judging = judging_on(disk, checkout)
    subprocess.run(["mount", "-o", "remount,ro", str(disk.folder)], check=True)
    refused(judging.run(), "results/embedded")
    judging.left_nothing()
    subprocess.run(["mount", "-o", "remount,rw", str(disk.folder)], check=True)
    done = judging.run()
    assert done.returncode == 0, done.stderr
    subprocess.run(["mount", "-o", "remount,ro", str(disk.folder)], check=True)
    refused(judging.run(), "Read-only file system: 'results/embedded")
    tell("read-only results and reply cache", 2, recovered=1, refused=1)
