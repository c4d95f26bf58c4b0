"""One sample set by several processes: the same samples as by one, on devices of their own, and none left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prefrepro.errors import UserError
from prefrepro.model.load import save_model
from prefrepro.sample.generate import open_engine, run
from prefrepro.sample.padded import Request, batches
from prefrepro.sample.processes import Processes, visible_devices
from prefrepro.specs.runtime import Runtime

TWO_CPUS = ["", ""]
SETTINGS = {
    "temperature": 0.0, "top_p": 1.0, "max_length": 64, "max_prompt_length": 56,
    "truncation_mode": "keep_end", "cut_prompts": "always", "max_new_tokens": 8, "batch_size": 2, "dtype": "float32",
    "threads": 1, "engine": "transformers", "seed_per": "draw",
}  # fmt: skip
PATIENCE_S = 120.0
ORPHANS = """
import multiprocessing, os, signal, sys
from pathlib import Path
from prefrepro.sample.padded import Request, batches
from prefrepro.sample.processes import Processes

if __name__ == "__main__":
    processes = Processes(["", ""], Path(sys.argv[1]), "float32", 1)
    list(processes.map(batches([[1], [2]], Request(0.0, 1.0, 4, 16, 0), 1, "draw")))
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def sampled(
    random_model: Callable[[str], Any], tokenizer: Any, tmp_path: Path
) -> Callable[..., tuple[bytes, dict[str, Any]]]:
    """`sampled(devices, **sampling)`: samples.jsonl and manifest of a random model; two prompts have two turns."""
    save_model(random_model("llama"), tokenizer, tmp_path / "run/model")
    (tmp_path / "data").mkdir()
    rows = [{"prompt_id": f"id{n}", "prompt": [{"role": "user", "content": f"{n} x" * (n + 1)}]} for n in range(7)]
    rows = [row | ({"turns": [row["prompt"][0]["content"], "And?"]} if n < 2 else {}) for n, row in enumerate(rows)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data/prompts.jsonl").write_text(text, encoding="utf-8")

    def sample(devices: list[str], **sampling: Any) -> tuple[bytes, dict[str, Any]]:
        inputs, out = {"data": tmp_path / "data", "run": tmp_path / "run"}, tmp_path / "out"
        run({"sampling": SETTINGS | sampling, "seed": 1}, inputs, out, Runtime(devices=devices))
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        return (out / "samples.jsonl").read_bytes(), manifest

    return sample


def test_two_processes_give_the_samples_of_one(sampled: Any) -> None:
    """Greedy, and at T = 0.9 with a seed for each batch; the manifest says how many there were and what was seeded."""
    changes = {"generations": [[0.0, 1], [0.9, 2]], "seed_per": "batch"}
    alone, one = sampled([], **changes)
    together, two = sampled(TWO_CPUS, **changes)
    assert together == alone
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["seeds"] == two["seeds"] and (one["seeds"]["per"], len(one["seeds"]["draws"])) == ("batch", 3)
    assert (two["engine"], two["engine_version"]) == ("transformers", one["engine_version"])


@pytest.mark.parametrize(
    ("seed_per", "is_greedy", "processes"), [("draw", True, 2), ("draw", False, 1), ("batch", False, 2)]
)
def test_every_device_is_used_where_it_changes_nothing(
    seed_per: str, is_greedy: bool, processes: int, random_model: Callable[[str], Any], tokenizer: Any, tmp_path: Path
) -> None:
    save_model(random_model("llama"), tokenizer, tmp_path)
    with open_engine(SETTINGS | {"seed_per": seed_per}, tmp_path, tokenizer, TWO_CPUS, is_greedy) as engine:
        assert engine.processes == processes


def test_where_a_second_process_would_change_the_samples_there_is_one(sampled: Any) -> None:
    """At T = 0.9 and one seed for a draw, a batch's stream begins where the one before it ended."""
    alone, _ = sampled([], temperature=0.9)
    offered, manifest = sampled(TWO_CPUS, temperature=0.9)
    assert offered == alone
    assert manifest["processes"] == 1
    seeded, _ = sampled([], temperature=0.9, seed_per="batch")
    assert seeded != alone, "and so seed_per is part of what a sample set is"


def test_continuous_batching_is_recorded(sampled: Any) -> None:
    alone, _ = sampled([])
    continuous, manifest = sampled(TWO_CPUS, engine="continuous")
    assert continuous == alone
    assert (manifest["engine"], manifest["processes"]) == ("continuous", 1)


def _meet(folder: str) -> bool:
    """Leave a file named by the device, and wait for the other process's."""
    Path(folder, f"device{os.environ['CUDA_VISIBLE_DEVICES']}").touch()
    deadline = time.monotonic() + PATIENCE_S
    while len(os.listdir(folder)) < 2 and time.monotonic() < deadline:  # noqa: PTH208
        time.sleep(0.05)
    return True


def test_each_process_sees_its_own_device(random_model: Callable[[str], Any], tokenizer: Any, tmp_path: Path) -> None:
    save_model(random_model("llama"), tokenizer, tmp_path / "model")
    (tmp_path / "met").mkdir()
    with Processes(["3", "5"], tmp_path / "model", "float32", 1) as processes:
        assert list(processes.pool.map(_meet, [str(tmp_path / "met")] * 2)) == [True, True]
    assert sorted(path.name for path in (tmp_path / "met").iterdir()) == ["device3", "device5"]


def test_a_process_that_ends_early_is_told(tmp_path: Path) -> None:
    """Here for want of a model."""
    work = batches([[1], [2]], Request(0.0, 1.0, 4, 16, 0), 1, "draw")
    with (
        Processes(TWO_CPUS, tmp_path / "none", "float32", 1) as processes,
        pytest.raises(UserError, match="2 sampling"),
    ):
        list(processes.map(work))


def test_no_process_outlives_a_parent_that_was_killed(
    random_model: Callable[[str], Any], tokenizer: Any, tmp_path: Path
) -> None:
    save_model(random_model("llama"), tokenizer, tmp_path / "model")
    script = tmp_path / "parent.py"
    script.write_text(ORPHANS, encoding="utf-8")
    done = subprocess.run([sys.executable, script, tmp_path / "model"], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    children = [int(pid) for pid in done.stdout.split()]
    assert len(children) == 2
    deadline = time.monotonic() + PATIENCE_S
    while any(map(_is_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_is_alive, children))


def _is_alive(pid: int) -> bool:
    """A zombie is dead, whoever has yet to collect it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_devices_are_named_as_the_scheduler_named_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a device there is no name, whatever the variable holds."""
    import torch

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5,GPU-8f")
    assert visible_devices() == ["2", "5", "GPU-8f"][: torch.cuda.device_count()]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert visible_devices() == ["2", "5", "GPU-8f"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert visible_devices() == ["0", "1", "2"]
