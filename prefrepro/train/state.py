"""A training's state between attempts: of one process a file, of several a folder of shards (torch's DCP).

Either resumes on any number of ranks; checkpoint.py owns the folder and the file.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystem, FileSystemWriter
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_state_dict,
)  # fmt: skip
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from prefrepro.errors import UserError
from prefrepro.files import write_json
from prefrepro.train.checkpoint import KEEP, CheckpointStore
from prefrepro.train.ranks import Ranks

log = logging.getLogger(__name__)

PLAIN = "state.json"
"""Written last: what is no tensor, and the size and checksum of each shard's file."""
READ_BYTES = 2**24


class Summing(FileSystem):
    """torch's, which knows the checksum of each file that it has written: of 7B, nobody reads 54 GB a second time."""

    def __init__(self) -> None:
        self.sums: dict[str, int] = {}

    @contextlib.contextmanager
    def create_stream(self, path: str | os.PathLike[str], mode: str) -> Iterator[Any]:
        """As torch has it; a file is written from its start to its end."""
        with super().create_stream(path, mode) as stream:
            yield stream if "r" in mode else _Summed(stream, self.sums, Path(path).name)

    def rename(self, path: str | os.PathLike[str], new_path: str | os.PathLike[str]) -> None:
        """The checksum goes with the file."""
        super().rename(path, new_path)
        self.sums[Path(new_path).name] = self.sums.pop(Path(path).name)


class _Summed:
    """A stream that adds to a checksum what is written; the rest is the stream's own."""

    def __init__(self, stream: Any, sums: dict[str, int], name: str) -> None:
        self._stream, self._sums, self._name = stream, sums, name
        sums[name] = 0

    def write(self, part: Any) -> int:
        self._sums[self._name] = zlib.crc32(part, self._sums[self._name])
        return self._stream.write(part)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class State:
    """The modules and the optimiser of a run, and where they are kept."""

    def __init__(
        self,
        store: CheckpointStore,
        modules: dict[str, nn.Module],
        optimizer: torch.optim.Optimizer,
        ranks: Ranks | None = None,
    ) -> None:
        self.store, self.modules, self.optimizer, self.ranks = store, modules, optimizer, ranks
        self.whole = nn.ModuleDict(modules)

    def save(self, step: int, plain: dict[str, Any]) -> None:
        """Keep the state after `step` finished steps, `plain` (numbers, lists, text) with it. All ranks must call."""
        if self.ranks is None:
            modules = {name: _kept(module) for name, module in self.modules.items()}
            self.store.save(step, {**modules, "optimizer": self.optimizer.state_dict(), **plain})
        else:
            self._save_shards(self.ranks, step, plain)

    def load(self) -> dict[str, Any] | None:
        """Go back to the newest whole state: its `plain` and `step`; None: there is none. All ranks must call."""
        if self.ranks is None or self.ranks.is_first:
            torn = [path for path in _folders(self.store.folder) if not _is_whole(path)]
            for path in torn:
                log.warning("%s is torn: it is removed, and the training goes on from the checkpoint before", path)
                shutil.rmtree(path)
            found = self.store.load()
        if self.ranks is not None:
            self.ranks.gather(None)  # what is torn is gone
            found = found if self.ranks.is_first else self.store.load()
        folders = _folders(self.store.folder)
        if folders and (found is None or _step_of(folders[-1]) > found["step"]):
            return self._load_shards(folders[-1])
        return None if found is None else self._load_file(found)

    def _save_shards(self, ranks: Ranks, step: int, plain: dict[str, Any]) -> None:
        folder = self.store.folder / f"step-{step:09d}"
        temporary = folder.with_name(f".{folder.name}")
        if ranks.is_first:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        ranks.gather(None)
        try:
            writer = FileSystemWriter(temporary)
            writer.fs = Summing()
            save(self._tensors(), storage_writer=writer)
        except (CheckpointException, RuntimeError, OSError) as error:
            raise UserError(
                f"{folder}: no checkpoint could be written after step {step}: {str(error).splitlines()[0]}. Those "
                "before stay. Next: free the disk and run again, which goes on from the last of them."
            ) from error
        sums = {name: found for part in ranks.gather(writer.fs.sums) for name, found in part.items()}
        if ranks.is_first:
            write_json(temporary / PLAIN, {"step": step, "plain": plain, "files": sums})
            shutil.rmtree(folder, ignore_errors=True)
            temporary.replace(folder)
            _sync(self.store.folder)
            for old in _folders(self.store.folder)[:-KEEP]:
                shutil.rmtree(old)
        ranks.gather(None)

    def _tensors(self) -> dict[str, Any]:
        """By name, so that they fit any number of ranks: this rank's part of each."""
        modules, optimizer = get_state_dict(self.whole, self.optimizer)
        return {"modules": modules, "optimizer": optimizer}

    def _load_shards(self, folder: Path) -> dict[str, Any]:
        tensors = self._tensors()
        load(tensors, checkpoint_id=folder, no_dist=self.ranks is None)
        set_state_dict(
            self.whole,
            self.optimizer,
            model_state_dict=tensors["modules"],
            optim_state_dict=tensors["optimizer"],
        )
        content = json.loads((folder / PLAIN).read_text(encoding="utf-8"))
        return {"step": content["step"], **content["plain"]}

    def _load_file(self, found: dict[str, Any]) -> dict[str, Any]:
        if self.ranks is None:
            for name, module in self.modules.items():
                module.load_state_dict(found[name], strict=not _frozen(module))
            self.optimizer.load_state_dict(found["optimizer"])
        else:
            modules = {f"{name}.{key}": value for name in self.modules for key, value in found[name].items()}
            options = StateDictOptions(full_state_dict=True)
            optimizer = _by_name(found["optimizer"], self.whole)
            set_state_dict(
                self.whole, self.optimizer, model_state_dict=modules, optim_state_dict=optimizer, options=options
            )
        return {key: value for key, value in found.items() if key not in (*self.modules, "optimizer")}


def _frozen(module: nn.Module) -> set[str]:
    """The parameters that are not trained: those beside adapters."""
    return {name for name, one in module.named_parameters(remove_duplicate=False) if not one.requires_grad}


def _kept(module: nn.Module) -> dict[str, Any]:
    """What a checkpoint holds of a module: all of it, or of one that is frozen in part what is trained."""
    state = module.state_dict()
    if not _frozen(module):
        return state
    return {name: state[name] for name, one in module.named_parameters() if one.requires_grad}


def _by_name(state: dict[str, Any], module: nn.Module) -> dict[str, Any]:
    """An optimiser's state with parameters' names in the place of their numbers."""
    names = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    groups = [group | {"params": [names[number] for number in group["params"]]} for group in state["param_groups"]]
    return {"state": {names[number]: value for number, value in state["state"].items()}, "param_groups": groups}


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def _step_of(path: Path) -> int:
    return int(path.name.partition("-")[2])


def _checksums(paths: list[Path]) -> dict[str, int]:
    sums = {}
    for path in paths:
        value = 0
        with path.open("rb") as file:
            while part := file.read(READ_BYTES):
                value = zlib.crc32(part, value)
        sums[path.name] = value
    return sums


def _is_whole(folder: Path) -> bool:
    """Whether every file is as it was written."""
    try:
        files = json.loads((folder / PLAIN).read_text(encoding="utf-8"))["files"]
        return _checksums([folder / name for name in files]) == files
    except (OSError, ValueError, KeyError):
        return False


def _sync(folder: Path) -> None:
    """Make a rename in `folder` last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
