"""One training on several processes is the training on one: losses, gradients, steps, checkpoints, a node's folder.

Real ranks: torchrun starts them on gloo (rank_jobs.py), and this process does the same alone.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
import rank_jobs
import torch
from safetensors.torch import load_file
from train_helpers import make_inputs, make_policy, model_config, settings

from prefrepro.model.examples import Tokens
from prefrepro.train import run
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.ranks import joined, shares
from prefrepro.train.state import PLAIN, State

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


def torchrun(n_ranks: int, jobs: str, out: Path) -> None:
    """Real ranks of this machine; fails with what they wrote."""
    command = [*TORCHRUN, f"--nproc-per-node={n_ranks}", rank_jobs.__file__, jobs, str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-6000:]


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes."""
    out = tmp_path_factory.mktemp("alone")
    torch.set_num_threads(1)
    for job in ("losses", "train", "train_part", "train_ppo", "train_sampled"):
        rank_jobs.JOBS[job](None, out / job)
    return out


@pytest.fixture(scope="module")
def together(alone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two ranks make; `resume` goes on from a checkpoint of one process."""
    out = tmp_path_factory.mktemp("together")
    shutil.copytree(alone / "train_part", out / "resume")
    torchrun(2, "losses,as_released,train,train_part,train_ppo,train_sampled,resume,train_mixed", out)
    return out


def assert_same_gradients(alone: Path, out: Path) -> None:
    one, several = load(alone / "losses/gradients.pt"), load(out / "losses/gradients.pt")
    assert list(one) == list(several)
    for name, expected in one.items():
        size = max(float(value.abs().max()) for key, value in expected.items() if key != "loss")
        for key, value in expected.items():
            difference = float((value - several[name][key]).abs().max())
            assert difference <= 1e-12 * max(size, 1), (name, key, difference)


def assert_same_training(expected: dict[str, Any], found: dict[str, Any], tolerance: float = 1e-12) -> None:
    """Step by step, in float64."""
    steps = [entry["metrics"] for entry in (expected["outcome"], found["outcome"])]
    assert len(steps[0]) == len(steps[1]) == 6
    for one, other in zip(*steps, strict=True):
        assert one.keys() == other.keys()
        for key in one.keys() - {"tokens_per_second"}:
            assert other[key] == pytest.approx(one[key], rel=tolerance, abs=tolerance), (one["step"], key)
    assert found["outcome"]["tokens"] == expected["outcome"]["tokens"]
    torch.testing.assert_close(found["weights"], expected["weights"], rtol=tolerance, atol=tolerance)


def test_the_gradients_that_are_compared_are_not_zero(alone: Path) -> None:
    """But where there is nothing to contrast."""
    for name, found in load(alone / "losses/gradients.pt").items():
        size = max(float(value.abs().max()) for key, value in found.items() if key != "loss")
        assert (size == 0) if name.split(" / ")[0] in rank_jobs.WITHOUT_CONTRAST else (size > 1e-4), (name, size)


def test_loss_and_gradient_on_two_ranks_are_those_of_one_process(alone: Path, together: Path) -> None:
    assert_same_gradients(alone, together)


@pytest.mark.slow
def test_loss_and_gradient_on_four_ranks_are_those_of_one_process(alone: Path, tmp_path: Path) -> None:
    torchrun(4, "losses,as_released,train", tmp_path)
    assert_same_gradients(alone, tmp_path)
    assert_same_training(load(alone / "train/outcome.pt"), load(tmp_path / "train/outcome.pt"))
    assert load(tmp_path / "as_released/released.pt")["ours"] == pytest.approx(
        load(tmp_path / "as_released/released.pt")["released"], rel=1e-12
    )


@pytest.mark.parametrize("job", ["train", "train_ppo"])
def test_two_ranks_train_as_one_process_does(job: str, alone: Path, together: Path) -> None:
    assert_same_training(load(alone / job / "outcome.pt"), load(together / job / "outcome.pt"))


def test_two_ranks_learn_from_their_own_responses_as_one_process_does(alone: Path, together: Path) -> None:
    """Each samples its share of the 8 prompts, 3 at a time: the first rank batches 1 and 3, the second batch 2."""
    one, two = load(alone / "train_sampled/outcome.pt"), load(together / "train_sampled/outcome.pt")
    assert_same_training(one, two)
    assert one["asked"] == [[3, 3, 2] * 6]
    assert two["asked"] == [[3, 2] * 6, [3] * 6]


@pytest.mark.slow
def test_a_rank_without_a_batch_of_its_own_samples_beside_the_others(alone: Path, tmp_path: Path) -> None:
    """Three batches for four ranks: the last gathers weights with the others, and its answers count for nothing."""
    torchrun(4, "train_sampled", tmp_path)
    found = load(tmp_path / "train_sampled/outcome.pt")
    assert_same_training(load(alone / "train_sampled/outcome.pt"), found)
    assert found["asked"] == [[3] * 6, [3] * 6, [2] * 6, [3] * 6]


def test_kto_read_as_code_is_what_the_released_lines_do_on_real_ranks(together: Path) -> None:
    found = load(together / "as_released/released.pt")
    assert found["ours"] == pytest.approx(found["released"], rel=1e-12)
    assert found["ours"] != pytest.approx(found["intended"], rel=1e-3)


def test_two_ranks_go_on_from_a_checkpoint_of_one_process(alone: Path, together: Path) -> None:
    assert_same_training(load(alone / "train/outcome.pt"), load(together / "resume/outcome.pt"))


def test_one_process_goes_on_from_a_checkpoint_of_two_ranks(alone: Path, together: Path, tmp_path: Path) -> None:
    shutil.copytree(together / "train_part", tmp_path / "resume")
    shards = tmp_path / "resume/checkpoints/step-000000004"
    assert {path.name for path in shards.iterdir()} == {".metadata", "__0_0.distcp", "__1_0.distcp", PLAIN}
    rank_jobs.JOBS["resume"](None, tmp_path / "resume")
    assert_same_training(load(alone / "train/outcome.pt"), load(tmp_path / "resume/outcome.pt"))


def test_the_checksums_of_shards_are_made_as_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is read again to save it: of 7B that is 54 GB; and what is read at a resume has these checksums."""
    model = torch.nn.Linear(64, 64)
    optimizer = torch.optim.RMSprop(model.parameters())
    model(torch.ones(1, 64)).sum().backward()
    optimizer.step()
    with joined(is_wanted=True) as ranks:
        state = State(CheckpointStore(tmp_path), {"model": model}, optimizer, ranks)
        with monkeypatch.context() as patch:
            patch.setattr("prefrepro.train.state._checksums", None)
            state.save(3, {"tokens": 7})
        files = json.loads((tmp_path / "step-000000003" / PLAIN).read_text(encoding="utf-8"))["files"]
        assert files == {name: zlib.crc32((tmp_path / "step-000000003" / name).read_bytes()) for name in files}
        assert set(files) == {".metadata", "__0_0.distcp"}
        assert state.load() == {"step": 3, "tokens": 7}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("tear", [flip, Path.unlink, lambda path: (path.parent / PLAIN).unlink()])
def test_torn_shards_fall_back_to_the_checkpoint_before(tear: Any, together: Path, tmp_path: Path) -> None:
    shutil.copytree(together / "train_part", tmp_path / "resume")
    newest = tmp_path / "resume/checkpoints/step-000000004"
    tear(newest / "__1_0.distcp")
    rank_jobs.JOBS["resume"](None, tmp_path / "resume")
    assert not newest.is_dir()
    assert_same_training(load(together / "train/outcome.pt"), load(tmp_path / "resume/outcome.pt"))


def test_float32_weights_computed_in_bfloat16_train_alike_on_one_rank_and_two(together: Path, tmp_path: Path) -> None:
    with joined(is_wanted=True) as ranks:
        rank_jobs.JOBS["train_mixed"](ranks, tmp_path / "train_mixed")
    one, two = load(tmp_path / "train_mixed/outcome.pt"), load(together / "train_mixed/outcome.pt")
    assert {value.dtype for value in two["weights"].values()} == {torch.float32}
    for first, second in zip(one["outcome"]["metrics"], two["outcome"]["metrics"], strict=True):
        assert second["loss"] == pytest.approx(first["loss"], rel=2e-3)
        assert second["grad_norm"] == pytest.approx(first["grad_norm"], rel=0.1)


def test_a_node_made_by_two_ranks_is_the_node_of_one(data_node: Path, tmp_path: Path) -> None:
    """Model, metrics, manifest; a launcher that was asked to go would start from what is left in checkpoints."""
    names = {"scale": "t", "reading": "paper", "dataset": "hh", "model": "mistral-7b", "code_digest": "0" * 64}
    base = tmp_path / "base/tiny"
    training = settings(max_steps=1)
    run.pretrain(
        {"kind": "base", "config": model_config(), "vocab_size": 400, "seed": 0, "training": training, "hparams": {},
         "part": "pretrain", **names},
        {"data": data_node}, base,
    )  # fmt: skip
    engine = {"activation_checkpointing": True, "compile": False}
    spec = {
        "kind": "run", "method": "bradley_terry", "hparams": {}, "seed": 1, "init": "", "part": "train", **names,
        "training": settings(max_steps=3, eval_every=2, checkpoint_every=1, micro_batch=4, dtype="float64"),
    }  # fmt: skip
    inputs = {"data": str(data_node), "init": str(base)}
    out = tmp_path / "two/aligned"
    out.mkdir(parents=True)
    (out / "node.json").write_text(json.dumps({"spec": spec, "engine": engine, "inputs": inputs}))
    torchrun(2, "aligned", tmp_path / "two")
    run.align(dict(spec), {role: Path(folder) for role, folder in inputs.items()}, tmp_path / "one/runs/run")
    folders = tmp_path / "one/runs/run", out / "runs/run"
    one, two = (json.loads((folder / "run.json").read_text(encoding="utf-8")) for folder in folders)
    assert one["spec"] == two["spec"] == spec
    assert (one["ranks"], two["ranks"]) == (1, 2)
    assert not (out / "checkpoints/run").exists()
    assert two["row"]["final_loss"] == pytest.approx(one["row"]["final_loss"], rel=1e-10)
    assert two["row"]["reward_accuracy"] == one["row"]["reward_accuracy"]
    models = [load_file(folder / "model/model.safetensors") for folder in folders]
    torch.testing.assert_close(*models, rtol=1e-8, atol=1e-8)
    assert (folders[0] / "model/config.json").read_bytes() == (folders[1] / "model/config.json").read_bytes()


@pytest.mark.gpu
def test_float32_weights_are_computed_in_bfloat16_on_a_gpu(tmp_path: Path) -> None:
    """FSDP on one device, torch's variable-length kernel, the fused optimiser, shards on disk."""
    with joined(is_wanted=True) as ranks:
        rank_jobs.JOBS["train_mixed"](ranks, tmp_path)
    found = load(tmp_path / "outcome.pt")
    assert {value.dtype for value in found["weights"].values()} == {torch.float32}
    assert all(entry["loss"] > 0 for entry in found["outcome"]["metrics"])


def sequences() -> list[Tokens]:
    pairs = make_inputs(6).pairs
    return [*pairs.chosen, *pairs.rejected]


@pytest.mark.parametrize(("size", "is_even"), list(itertools.product([1, 2, 4, 20], [False, True])))
def test_every_sequence_is_read_once_and_prompts_stay_together(size: int, is_even: bool) -> None:
    given = sequences()
    found = shares(given, size, is_even)
    assert len(found) == size
    assert sorted(number for part in found for number in part) == list(range(len(given)))
    if is_even:
        assert max(map(len, found)) - min(map(len, found)) <= 1
    else:
        owner = {number: rank for rank, part in enumerate(found) for number in part}
        by_prompt = {tuple(given[number].prompt_ids): owner[number] for number in owner}
        assert all(by_prompt[tuple(given[number].prompt_ids)] == owner[number] for number in owner)


def test_a_policy_alone_reads_no_sequences_as_none() -> None:
    assert make_policy()([]).shape == (0,)
