"""Training state that survives a kill: atomic, verified on load, owned by one process at a time.

Kept outside the workflow's outputs, because Snakemake deletes those of a failed job.
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
            state = _read(path)
            if state is not None:
                return state
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


def _read(path: Path) -> dict[str, Any] | None:
    """The state in a file of torch.save, or None where it is torn.

    The file is a zip archive: every record's checksum is held, which torch does not look at; and torch may refuse what
    zipfile lets pass, such as a changed bit in the archive's directory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        return torch.load(path, map_location="cpu", weights_only=True)
    except torch.OutOfMemoryError:
        raise
    except (zipfile.BadZipFile, EOFError, ValueError, KeyError, RuntimeError):
        return None
