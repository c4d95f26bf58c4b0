"""The libraries that a worker keeps warm, and whether its process may still be forked.

Names no module of ours: a job must run the code that is on disk.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from pathlib import Path

from prefrepro.jobs.threads import let_waiting_threads_sleep

LIBRARIES = (
    "torch",
    "torch.distributed.checkpoint.state_dict",
    "safetensors.torch",
    "tokenizers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.models.mistral.modeling_mistral",
    "sentence_transformers",
    "threadpoolctl",
    "tqdm",
    "pandas",
    "scipy.stats",
    "statsmodels.stats.proportion",
    "openai",
    "jsonschema",
)
HARMLESS_THREADS = {"jemalloc_bg_thd"}
"""pyarrow's allocator: it stops and starts its thread around a fork by itself."""

GPUS = ("/dev/nvidia", "/dev/kfd", "/dev/dri")


class Libraries:
    """Imported once; afterwards nothing but their code is in memory: no thread, no GPU."""

    def __init__(self) -> None:
        before = _files()
        let_waiting_threads_sleep()
        os.environ["OPENBLAS_NUM_THREADS"] = "1"  # more would be started at once, and a fork has none of them
        for name in LIBRARIES:
            with contextlib.suppress(ImportError):  # a job that needs it says so, as it would without us
                importlib.import_module(name)
        gc.collect()
        gc.freeze()  # a fork's collector need not look at, and so copy, all that is shared
        self._files = _files() | before

    def problem(self) -> str | None:
        """Why a fork now would not do what a new process does, or None."""
        changed = next((name for name, state in self._files.items() if _state(name) != state), None)
        if changed is not None:
            return f"{changed} was changed since it was imported"
        others = [task for task in Path("/proc/self/task").iterdir() if task.name != str(os.getpid())]
        started = {(task / "comm").read_text(encoding="utf-8").strip() for task in others} - HARMLESS_THREADS
        if started:
            return f"a library has started threads ({', '.join(sorted(started))})"
        opened = {os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()}
        return "a library has opened a GPU" if any(name.startswith(GPUS) for name in opened) else None


def _files() -> dict[str, tuple[int, int] | None]:
    """Modification time and size of every imported file; None where it is gone."""
    names = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return {name: _state(name) for name in names if isinstance(name, str)}


def _state(name: str) -> tuple[int, int] | None:
    try:
        state = os.stat(name)  # noqa: PTH116 (5,000 files for each job: a Path for each takes longer than its stat)
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size
