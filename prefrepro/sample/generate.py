"""The sample node of the DAG: responses of one run to the prompts that every run answers."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from prefrepro.data.hub import checkpoint_of
from prefrepro.data.jsonl import text_of
from prefrepro.files import write_json, write_lines
from prefrepro.model.decode import stop_ids
from prefrepro.model.examples import read_rows
from prefrepro.model.tokenizer import tokenizer_of
from prefrepro.sample.answers import answers, seeds_of, temperatures
from prefrepro.sample.engines import Engine, engine_of
from prefrepro.sample.padded import Padded
from prefrepro.sample.processes import Processes, visible_devices
from prefrepro.specs.runtime import DEFAULT, Runtime


def run(spec: dict[str, Any], inputs: dict[str, Path], out: Path, runtime: Runtime = DEFAULT) -> None:
    """samples.jsonl and manifest.json. Raises UserError where the engine is not installed."""
    started, sampling = time.perf_counter(), spec["sampling"]
    model = checkpoint_of(inputs, "run", spec.get("model", ""))
    tokenizer = tokenizer_of(model, spec.get("model", ""))
    prompts = read_rows(inputs["data"] / "prompts.jsonl")
    draws = temperatures(sampling)
    is_greedy = not any([*draws, *(prompt.get("temperature", 0) for prompt in prompts)])
    devices = visible_devices() if runtime.devices is None else runtime.devices
    total = len(draws) * sum(len(prompt.get("turns", [None])) for prompt in prompts)
    with (
        open_engine(sampling, model.folder, tokenizer, devices, is_greedy) as engine,
        tqdm(total=total, unit="answer", disable=None) as bar,
    ):
        engine.advance = bar.update
        rows = answers(engine, tokenizer, prompts, sampling, spec["seed"])
    write_lines(out / "samples.jsonl", map(text_of, rows))
    finishes, lengths = [row["finish"] for row in rows], [row["tokens"] for row in rows]
    cut = sum(row["prompts_cut"] for row in rows)
    manifest = {
        "spec": spec,
        "n": len(rows),
        "finish": {kind: finishes.count(kind) for kind in ("eos", "role_tag", "length")},
        "turns": total,
        "prompts_cut": cut,
        "prompts_cut_share": cut / total,
        "stops": {
            token: tokenizer.decode([token]) for token in stop_ids(tokenizer, sampling.get("stop_at", "role_tag"))
        },
        "mean_tokens": sum(lengths) / len(rows),
        "median_tokens": statistics.median(lengths),
        "max_tokens": max(lengths),
        "engine": sampling["engine"],
        "engine_version": engine.version,
        "seeds": {"draws": seeds_of(sampling, spec["seed"]), "per": engine.seeded_per},
        "processes": engine.processes,
        "model_commit": model.commit,
        "wall_s": time.perf_counter() - started,
    }
    write_json(out / "manifest.json", manifest)


@contextlib.contextmanager
def open_engine(
    sampling: dict[str, Any], checkpoint: Path, tokenizer: Any, devices: Sequence[str], is_greedy: bool
) -> Iterator[Engine]:
    """The engine that `sampling` names, with the model of a checkpoint; `devices` as in CUDA_VISIBLE_DEVICES.

    Only `transformers` uses more than one device, and only where that changes no answer: greedy, or seeds by batch.
    Raises UserError where vLLM is wanted and not installed.
    """
    seed_per, is_plain = sampling["seed_per"], sampling["engine"] == "transformers"
    if is_plain and len(devices) > 1 and (is_greedy or seed_per == "batch"):
        threads = max(1, sampling["threads"] // len(devices))
        with Processes(devices, checkpoint, sampling["dtype"], threads) as processes:
            yield Scattered(processes, sampling["batch_size"], seed_per)
    else:
        yield engine_of(sampling, checkpoint, tokenizer)


class Scattered(Padded):
    """`Padded` with one process for each device: the same batches, each answered by the next free process."""

    def __init__(self, processes: Processes, batch_size: int, seed_per: str) -> None:
        self.batch_size, self.seeded_per, self.processes = batch_size, seed_per, processes.count
        self.answered = processes.map
