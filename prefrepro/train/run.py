"""One training as a DAG node: from input folders to a model folder, metrics.csv and run.json.

Base model, SFT, reward model and every alignment method go through here and through the same loop.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import resource
import shutil
import statistics
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from prefrepro.data.hub import checkpoint_of
from prefrepro.errors import UserError
from prefrepro.files import replacing, write_json
from prefrepro.model import align as alignment
from prefrepro.model.batches import Inputs
from prefrepro.model.inputs import reward_accuracy
from prefrepro.model.learner import Learner
from prefrepro.model.load import save_model
from prefrepro.model.pretrain import pretraining
from prefrepro.model.rollout import rollout_learner
from prefrepro.model.tokenizer import tokenizer_of
from prefrepro.model.unpaired import unpaired_learner
from prefrepro.provenance import code_state, versions
from prefrepro.specs.runtime import DEFAULT, Metrics, Runtime
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import METRICS, Outcome, train
from prefrepro.train.preempt import noticed
from prefrepro.train.ranks import is_first, joined, launched
from prefrepro.train.sharded import whole_weights


def pretrain(spec: dict[str, Any], inputs: dict[str, Path], out: Path, runtime: Runtime = DEFAULT) -> None:
    """A base model from nothing: tokenizer and language model trained on the dataset's pretraining texts."""
    learner, tokenizer = pretraining(spec, inputs["data"])
    _run(spec, inputs, out, learner, tokenizer, None, None, runtime)


def align(spec: dict[str, Any], inputs: dict[str, Path], out: Path, runtime: Runtime = DEFAULT) -> None:
    """SFT, a reward model or any alignment method; of every parameter, or of adapters that are merged at the end.

    `inputs`: data, init, and reference, embeddings, reference_rewards, reward_model where needed.
    Under torchrun, all ranks call this.
    """
    check_adapters(spec["training"].get("lora_rank", 0), spec["training"].get("quantize", "none"))
    init = checkpoint_of(inputs, "init", spec["init"])
    tokenizer = tokenizer_of(init, spec["init"])
    start = alignment.start(spec, inputs, init.folder, tokenizer)
    is_rollout = start.objective.needs.shape == "rollout"
    if spec.get("pairs") == "unpaired":
        learner = unpaired_learner(start, spec, inputs, tokenizer)
    else:
        learner = rollout_learner(start, inputs.get("reward_model")) if is_rollout else start.learner()
    _run(spec, inputs, out, learner, tokenizer, start, init.commit, runtime)


def check_adapters(rank: int, quantize: str) -> None:
    """Raise UserError where this process cannot train adapters of this rank; before any data is read."""
    if not rank:
        return
    if find_spec("peft") is None:
        raise UserError(
            f"training: lora_rank is {rank}, which wants peft, and that is not installed. Next: make setup, or "
            "pip install -e '.[lora]'; lora_rank: 0 trains every parameter"
        )
    if launched():
        raise UserError(
            f"training: lora_rank is {rank}, and torchrun started several processes; adapters are trained on one GPU. "
            "Next: --processes 1, as the workflow has it; lora_rank: 0 trains on several"
        )
    if quantize != "none" and not torch.cuda.is_available():
        raise UserError(
            f"training: quantize is {quantize}, which wants a CUDA device, and this process sees none. Next: "
            "quantize: none, which holds the frozen weights in compute_dtype"
        )
    if quantize != "none" and find_spec("bitsandbytes") is None:
        raise UserError(
            f"training: quantize is {quantize}, which wants bitsandbytes, and that is not installed. Next: "
            "pip install -e '.[qlora]'; quantize: none holds the frozen weights in compute_dtype"
        )


def _run(
    spec: dict[str, Any],
    inputs: dict[str, Path],
    out: Path,
    learner: Learner,
    tokenizer: Any,
    start: alignment.Start | None,
    init_commit: str | None,
    runtime: Runtime,
) -> None:
    """Train, and write the node's files. `start`: None for a base model."""
    started, training, policy = time.perf_counter(), learner.training, learner.policy
    held_out = start.held_out if start else None
    engine = runtime.engine if spec["seed"] <= runtime.engine.snapshot_seeds else replace(runtime.engine, snapshots=0)
    store = CheckpointStore(out.parent.parent / "checkpoints" / out.name)

    def log(metrics: Metrics) -> None:
        write_metrics(out / "metrics.csv", metrics)
        if runtime.tracker is not None:
            runtime.tracker(metrics)

    # The first rank alone owns and writes; the others wait for it.
    owned = store.owned() if is_first() else contextlib.nullcontext()
    with owned, noticed(), joined(training.is_mixed and torch.cuda.is_available()) as ranks:
        is_finished = _is_finished(spec, out)  # by the orphan of a killed workflow, while this process waited
        if ranks.any(is_finished) if ranks else is_finished:
            return

        def save(folder: Path) -> None:
            """The model as it is now; all ranks must call."""
            weights = whole_weights(policy.model) if ranks else None
            if is_first():
                shutil.rmtree(folder, ignore_errors=True)
                # Not the policy's: one that computes in bfloat16 over float32 weights is not what is trained.
                model = start.saved_model() if start and start.adapters else learner.modules["model"]
                save_model(model, tokenizer, folder, weights, training.save_dtype)

        outcome = train(
            learner,
            store,
            evaluate=lambda: held_out and reward_accuracy(policy, held_out, training.micro_batch),
            on_log=log if is_first() else lambda metrics: None,
            on_snapshot=lambda step: save(out / "snapshots" / f"step-{step:06d}"),
            ranks=ranks,
            engine=engine,
        )
        save(out / "model")
        if is_first():
            more = {}
            if start and start.adapters:  # they stand beside the model that they are merged into
                start.adapters.save(out / "adapter", _init_name(inputs, spec))
                more = {"adapters": start.adapters.facts()}
            write_metrics(out / "metrics.csv", outcome.metrics)
            wall_s, n_ranks = time.perf_counter() - started, ranks.size if ranks else 1
            manifest = _manifest(spec, inputs, out.name, outcome, learner.volume(outcome.steps), wall_s, n_ranks)
            manifest |= {"init_commit": init_commit, **text_facts(learner.inputs, tokenizer), **more}
            manifest |= _origin(inputs)
            write_json(out / "run.json", manifest)
            store.clear()


def _init_name(inputs: dict[str, Path], spec: dict[str, Any]) -> str:
    """What a training starts from, as a reader may find it: a run's id, or the hub's."""
    hub = spec["init"]
    return inputs["init"].name if "init" in inputs else hub if isinstance(hub, str) else hub["repo"]


def text_facts(inputs: Inputs, tokenizer: Any) -> dict[str, Any]:
    """What was cut, how long the encoded sequences are, and which token closes a response."""
    pairs, counts = inputs.pairs, inputs.pairs.counts
    sequences = inputs.groups.flat if inputs.groups else [*pairs.chosen, *pairs.rejected]
    parts = {"prompt": [len(s.prompt_ids) for s in sequences], "response": [len(s.response_ids) for s in sequences]}
    share = {"prompts_cut_share": counts["prompts_cut"] / counts["sequences"]} if counts.get("sequences") else {}
    return {
        "truncation": counts,
        **share,
        "tokens": {part: {"mean": statistics.fmean(own), "max": max(own)} for part, own in parts.items() if own},
        "eos": {"id": tokenizer.eos_token_id, "text": tokenizer.eos_token},
        "template": "chat" if tokenizer.chat_template else "role_tags",
    }


def _origin(inputs: dict[str, Path]) -> dict[str, Any]:
    """{origin} of the package whose weights this training or what it starts from began with; {} without one."""
    for name in ("run.json", "manifest.json") if "init" in inputs else ():
        file = inputs["init"] / name
        if file.is_file() and (origin := json.loads(file.read_text(encoding="utf-8")).get("origin")):
            return {"origin": origin}
    return {}


def _is_finished(spec: dict[str, Any], out: Path) -> bool:
    if not (out / "run.json").is_file() or not (out / "metrics.csv").is_file():
        return False
    return json.loads((out / "run.json").read_text(encoding="utf-8"))["spec"] == spec


def write_metrics(path: Path, metrics: Metrics) -> None:
    """metrics.csv: one line per logged step; empty where a value does not exist."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, METRICS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(metrics)


def _packages(training: dict[str, Any]) -> list[str]:
    """Packages whose version a run names."""
    adapted = ["peft"] if training.get("lora_rank") else []
    quantized = ["bitsandbytes"] if training.get("quantize", "none") != "none" else []
    return ["torch", "transformers", "tokenizers", *adapted, *quantized]


def _manifest(
    spec: dict[str, Any],
    inputs: dict[str, Path],
    run_id: str,
    outcome: Outcome,
    volume: dict[str, Any],
    wall_s: float,
    n_ranks: int,
) -> dict[str, Any]:
    """run.json: the row for runs.csv, and what it came from."""
    on_gpu = torch.cuda.is_available()
    hashes = json.loads((inputs["data"] / "manifest.json").read_text(encoding="utf-8"))["sha256"]
    peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    row = {
        "run_id": run_id,
        "scale": spec["scale"],
        "reading": spec["reading"],
        "dataset": spec["dataset"],
        "model": spec["model"],
        "method": spec.get("method", "base"),
        "hparams": json.dumps(spec["hparams"], sort_keys=True),
        "seed": spec["seed"],
        "steps": outcome.steps,
        "pairs": volume["examples"] // (2 if volume["of"] == "mixed" else 1),
        "tokens": outcome.tokens,
        "wall_s": round(wall_s, 2),
        "gpu_h": round(n_ranks * outcome.train_s / 3600, 4) if on_gpu else 0.0,
        "peak_mem_gb": round(peak / 2**30, 3),
        "final_loss": outcome.final_loss,
        "reward_accuracy": outcome.reward_accuracy,
        **code_state(),
        "code_digest": spec["code_digest"],
        "data_hash": hashes[spec["part"]],
        "versions": json.dumps(versions(*_packages(spec["training"])), sort_keys=True),
    }
    return {
        "row": row,
        "spec": spec,
        "volume": volume,
        "train_s": outcome.train_s,
        "on_nan": {"setting": spec["training"].get("on_nan", "stop"), "skipped_steps": outcome.skipped},
        "ranks": n_ranks,
        "cpus": os.cpu_count(),
    }
