"""A training that was killed ends as if nothing had happened; a torn checkpoint is passed over; one owner at a time."""

from __future__ import annotations

import fcntl
import io
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import train_helpers
from train_helpers import make_policy, short_training, weights

from prefrepro.model.policy import Policy
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import Outcome


def new_policy() -> Policy:
    return make_policy(dtype=torch.float32)


def unbroken(folder: Path, optimizer: str = "rmsprop") -> tuple[Policy, Outcome]:
    policy = new_policy()
    return policy, short_training(policy, CheckpointStore(folder / "unbroken"), None, optimizer)


def without_speed(outcome: Outcome) -> list[dict[str, float]]:
    return [{key: value for key, value in entry.items() if key != "tokens_per_second"} for entry in outcome.metrics]


def assert_same(one: tuple[Policy, Outcome], other: tuple[Policy, Outcome]) -> None:
    """Bit for bit: weights, metrics, counts."""
    torch.testing.assert_close(weights(one[0]), weights(other[0]), rtol=0, atol=0)
    assert without_speed(one[1]) == without_speed(other[1])
    for name in ("steps", "tokens", "final_loss", "reward_accuracy"):
        assert getattr(one[1], name) == getattr(other[1], name)


@pytest.mark.parametrize("optimizer", ["rmsprop", "adamw"])
@pytest.mark.parametrize("stop_at", [1, 4, 5, 9])
def test_an_interrupted_run_ends_as_an_unbroken_one(
    stop_at: int, optimizer: str, store: CheckpointStore, tmp_path: Path
) -> None:
    """Before the first checkpoint, at one, between two, and after the last step."""
    with pytest.raises(KeyboardInterrupt):
        short_training(new_policy(), store, stop_at, optimizer)
    policy = new_policy()
    outcome = short_training(policy, store, None, optimizer)
    assert_same((policy, outcome), unbroken(tmp_path, optimizer))
    assert outcome.steps == 9


def test_a_killed_process_ends_as_an_unbroken_one(store: CheckpointStore, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, train_helpers.__file__, str(store.folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    state = store.load()
    assert state is not None
    assert state["step"] == 6
    policy = new_policy()
    assert_same((policy, short_training(policy, store, None)), unbroken(tmp_path))


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def empty(content: bytes) -> bytes:
    return b""


def zeros(content: bytes) -> bytes:
    """What a power cut may leave of a file whose length was already known."""
    return bytes(len(content))


def zeros_at_the_end(content: bytes) -> bytes:
    return content[: -len(content) // 3] + bytes(len(content) // 3)


def flipped(content: bytes) -> bytes:
    """One bit of the largest tensor."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        tensor = archive.read(max(archive.infolist(), key=lambda record: record.file_size))
    place = content.index(tensor) + len(tensor) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("tear", [cut, empty, zeros, zeros_at_the_end, flipped])
def test_a_torn_checkpoint_falls_back_to_the_one_before(
    tear: Callable[[bytes], bytes], store: CheckpointStore, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        short_training(new_policy(), store, 7)
    newest = max(store.folder.glob("step-*.pt"))
    newest.write_bytes(tear(newest.read_bytes()))
    state = store.load()
    assert state is not None
    assert state["step"] == 4
    assert not newest.exists()
    policy = new_policy()
    assert_same((policy, short_training(policy, store, None)), unbroken(tmp_path))


def test_with_nothing_whole_a_run_starts_from_the_beginning(store: CheckpointStore) -> None:
    assert store.load() is None
    store.save(1, {"x": torch.ones(2)})
    (store.folder / "step-000000001.pt").write_bytes(b"torn")
    assert store.load() is None


def test_two_checkpoints_are_kept_and_clear_forgets_all(store: CheckpointStore) -> None:
    for step in (1, 2, 10):
        store.save(step, {"x": torch.tensor([step])})
    assert sorted(path.name for path in store.folder.iterdir()) == ["step-000000002.pt", "step-000000010.pt"]
    assert store.load() == {"x": torch.tensor([10]), "step": 10}
    store.clear()
    assert not store.folder.exists()


WAITER = """
import sys
from pathlib import Path
from prefrepro.train.checkpoint import CheckpointStore
print("asking", flush=True)
with CheckpointStore(Path(sys.argv[1])).owned():
    print("owns", flush=True)
"""


def test_a_second_process_waits_for_the_first(store: CheckpointStore) -> None:
    command: list[Any] = [sys.executable, "-c", WAITER, store.folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiter:
        assert waiter.stdout is not None
        with store.owned():
            assert waiter.stdout.readline() == "asking\n"
            with pytest.raises(subprocess.TimeoutExpired):
                waiter.wait(timeout=0.3)
        assert waiter.stdout.readline() == "owns\n"
        assert waiter.wait(timeout=20) == 0


def test_who_waited_while_the_folder_was_cleared_owns_what_others_see(store: CheckpointStore) -> None:
    """Else a third process would lock a new file and train beside the second."""
    owns, may_end = threading.Event(), threading.Event()

    def second() -> None:
        with CheckpointStore(store.folder).owned():
            owns.set()
            may_end.wait(20)

    waiting = threading.Thread(target=second)
    with store.owned():
        waiting.start()
        time.sleep(0.2)
        assert not owns.is_set()
        store.clear()
    try:
        assert owns.wait(20)
        with (store.folder / ".lock").open("w") as third, pytest.raises(BlockingIOError):
            fcntl.flock(third, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        may_end.set()
        waiting.join()
