"""Training state that survives a kill: atomic, verified on load, owned by one process at a time.

Knows nothing of what the state means. Kept outside the workflow's outputs, because Snakemake deletes those of
a failed job.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch

from prefrepro.errors import UserError
from prefrepro.files import replacing

log = logging.getLogger(__name__)

KEEP = 2


class CheckpointStore:
    """The last checkpoints of one run, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Hold the run's lock; waits while an orphan of a killed workflow still trains."""
        while (lock := self._lock()) is None:
            pass
        with lock:
            yield

    def _lock(self) -> IO[str] | None:
        """The lock, once it is ours; None where its last owner has cleared the folder, and the lock with it."""
        path = self.folder / ".lock"
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat()):
            return lock
        lock.close()
        return None

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"))

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write `state` after `step` finished steps; older ones are removed but for one.

        Raises UserError where the disk does not take it: those before stay.
        """
        path = self.folder / f"step-{step:09d}.pt"
        try:
            with replacing(path) as temporary:
                torch.save(state | {"step": step}, temporary)
        except (RuntimeError, OSError) as error:  # torch's writer of zip archives knows no OSError
            raise UserError(
                f"{path}: no checkpoint could be written after step {step}: {str(error).splitlines()[0]}. The last "
                f"good one is {self.last()}. Next: free the disk and run again, which goes on from there."
            ) from error
        for old in self._files()[:-KEEP]:
            old.unlink()

    def load(self) -> dict[str, Any] | None:
        """The newest whole state; a torn one is removed and the one before is taken. None: start from the beginning."""
        for path in reversed(self._files()):
            if _is_whole(path):
                return torch.load(path, map_location="cpu", weights_only=True)
            log.warning("%s is torn: it is removed, and the training goes on from the checkpoint before", path)
            path.unlink()
        return None

    def last(self) -> str:
        """The newest checkpoint's file, in words."""
        files = self._files()
        return str(files[-1]) if files else f"none yet (below {self.folder})"

    def clear(self) -> None:
        """Forget everything: the run is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _is_whole(path: Path) -> bool:
    """Whether every record of a file of torch.save, a zip archive, has its checksum; torch does not look."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError):
        return False
