"""One training as a DAG node: from input folders to a model folder, metrics.csv and run.json.

Base model, SFT, reward model and every alignment method go through here and through the same loop.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import json
import os
import resource
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from methods.contract import Needs
from prefrepro.data.template import render_prompt
from prefrepro.data.truncate import TruncationCounts
from prefrepro.errors import UserError
from prefrepro.files import replacing, write_json
from prefrepro.model.base import build_model, build_tokenizer
from prefrepro.model.batches import Inputs
from prefrepro.model.examples import (
    Limits,
    Pairs,
    RowFile,
    encode,
    encode_groups,
    encode_pairs,
    is_ranked,
    mismatched,
    pairs_of_groups,
    read_rows,
)  # fmt: skip
from prefrepro.model.load import (
    DTYPES,
    Hub,
    checkpoint_of,
    hub_commit,
    load_model,
    load_tokenizer,
    save_model,
    tokenizer_of,
)
from prefrepro.model.lora import Adapters, check_possible
from prefrepro.model.policy import Policy
from prefrepro.model.rollout import Respond, RolloutSettings, responder
from prefrepro.model.seeds import seed_for
from prefrepro.model.tensors import load_tensors
from prefrepro.provenance import code_state, versions
from prefrepro.specs.runtime import DEFAULT, Metrics, Runtime
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import METRICS, Outcome, Training, train
from prefrepro.train.preempt import noticed
from prefrepro.train.ranks import is_first, joined
from prefrepro.train.sharded import whole_weights


def limits_of(training: dict[str, Any]) -> Limits:
    """The token limits among a training's fields."""
    return Limits(training["max_length"], training["max_prompt_length"], training["truncation_mode"])


def training_of(values: dict[str, Any]) -> Training:
    """A spec's `training` section."""
    fields = dict(values)
    if fields.get("rollout"):
        fields["rollout"] = RolloutSettings(**fields["rollout"])
    return Training(**fields)


def pretrain(spec: dict[str, Any], inputs: dict[str, Path], out: Path, runtime: Runtime = DEFAULT) -> None:
    """A base model from nothing: tokenizer and language model learnt from the dataset's pretraining texts."""
    training, seed = training_of(spec["training"]), seed_for(spec["seed"], "pretrain")
    torch.set_num_threads(training.threads)
    rows = read_rows(inputs["data"] / "pretrain.jsonl")
    texts = [render_prompt(row["prompt"]) + row["completion"] for row in rows]
    tokenizer = build_tokenizer(texts, spec["vocab_size"], training.max_length)
    model = build_model(spec["config"], tokenizer, seed)
    counts = TruncationCounts()
    sequences = encode(tokenizer, [""] * len(texts), texts, limits_of(spec["training"]), counts)
    numbers = [str(index) for index in range(len(texts))]
    data = Inputs(Pairs(sequences, [], numbers, {"responses_cut": counts.responses_cut}))
    _run(spec, inputs, out, importlib.import_module("methods.sft"), model, tokenizer, data, None, runtime)


def align(spec: dict[str, Any], inputs: dict[str, Path], out: Path, runtime: Runtime = DEFAULT) -> None:
    """SFT, a reward model or any alignment method; of every parameter, or of adapters that are merged at the end.

    `inputs`: data, init, and reference, embeddings, reference_rewards, reward_model where needed.
    Under torchrun, all ranks call this.
    """
    training = training_of(spec["training"])
    if training.lora_rank:
        check_possible(training.lora_rank, training.quantize)
    torch.set_num_threads(training.threads)
    method = importlib.import_module(f"methods.{spec['method']}")
    init = checkpoint_of(inputs, "init", spec["init"])
    tokenizer = tokenizer_of(inputs, "init", spec["init"])
    output, adapters = method.NEEDS.output, None
    start = partial(load_model, init, dtype=training.dtype, output=output, seed=seed_for(spec["seed"], "head"))
    if training.lora_rank:
        model = start(dtype=training.compute_dtype or training.dtype, quantize=training.quantize)
        seed = seed_for(spec["seed"], "adapters")
        adapters = Adapters(model, training.lora_rank, DTYPES[training.dtype], seed, output)
    else:
        model = start()
    data, held_out = _training_inputs(spec, inputs, method.NEEDS, tokenizer)

    def merged() -> tuple[Any, dict[str, Any]]:
        """The model that is saved, and what run.json says of its adapters, which stand beside it."""
        assert adapters is not None
        adapters.save(out / "adapter", _named(inputs, spec["init"]))
        return adapters.merged(partial(start, place=torch.device("cpu"))), {"adapters": adapters.facts()}

    _run(spec, inputs, out, method, model, tokenizer, data, held_out, runtime, merged if adapters else None)


def _named(inputs: dict[str, Path], hub: Hub) -> str:
    """What a training starts from, as a reader may find it: a run's id, or the hub's."""
    return inputs["init"].name if "init" in inputs else hub if isinstance(hub, str) else hub["repo"]


def _training_inputs(
    spec: dict[str, Any], inputs: dict[str, Path], needs: Needs, tokenizer: Any
) -> tuple[Inputs, Inputs | None]:
    """What the steps draw from, and the held-out pairs whose reward accuracy is measured, if there is one."""
    limits = limits_of(spec["training"])
    rows = RowFile(inputs["data"] / f"{spec['part']}.jsonl")
    held_out_rows = RowFile(inputs["data"] / "eval.jsonl")
    n_rows = {"train": len(rows), "mismatched": len(rows), "index": len(rows), "eval": len(held_out_rows)}
    reference, vectors, rewards = (
        _tensors(inputs, role, n_rows) for role in ("reference", "embeddings", "reference_rewards")
    )
    if is_ranked(rows):
        groups = encode_groups(rows, tokenizer, limits)
        held_out_groups = encode_groups(held_out_rows, tokenizer, limits)
        held_out, held_out_reference = pairs_of_groups(held_out_groups, "best_vs_worst", 0, reference.get("eval"))
        if needs.rows == "groups":
            data = Inputs(Pairs([], [], [], groups.counts), reference.get("train"), groups=groups)
        else:
            seed = seed_for(spec["seed"], "pairs")
            data = Inputs(*pairs_of_groups(groups, spec["pairs"], seed, reference.get("train")))
    else:
        held_out, held_out_reference = encode_pairs(held_out_rows, tokenizer, limits), reference.get("eval")
        others = encode_pairs(mismatched(rows), tokenizer, limits) if needs.mismatched else None
        data = Inputs(
            encode_pairs(rows, tokenizer, limits),
            reference.get("train"),
            vectors.get("vectors"),
            vectors.get("index"),
            others,
            reference.get("mismatched"),
            reference_rewards=rewards.get("train"),
        )
    is_measured = needs.reference or needs.output == "score"
    return data, Inputs(held_out, held_out_reference if needs.reference else None) if is_measured else None


def _tensors(inputs: dict[str, Path], role: str, n_rows: dict[str, int]) -> dict[str, Tensor]:
    """What a shared node computed once; nothing where no such node is among the inputs.

    Raises UserError where it was not made of these rows.
    """
    if role not in inputs:
        return {}
    path = inputs[role] / f"{role}.safetensors"
    tensors = load_tensors(path)
    for name, tensor in tensors.items():
        if len(tensor) != n_rows.get(name, len(tensor)):
            raise UserError(
                f"{path}: {name} holds {len(tensor)} rows; expected {n_rows[name]}, one for each of the data set's. "
                "It was made of other data: remove its folder and run again"
            )
    return tensors


def _run(
    spec: dict[str, Any],
    inputs: dict[str, Path],
    out: Path,
    method: ModuleType,
    model: Any,
    tokenizer: Any,
    data: Inputs,
    held_out: Inputs | None,
    runtime: Runtime,
    finish: Callable[[], tuple[Any, dict[str, Any]]] | None = None,
) -> None:
    """`finish`: the model that is saved in place of the trained one, and what more run.json says."""
    started, training = time.perf_counter(), training_of(spec["training"])
    policy = Policy(model, tokenizer.pad_token_id, method.NEEDS.output)
    respond = None
    if "reward_model" in inputs:
        new_tokens = training.rollout.max_new_tokens if training.rollout else None
        room = training.max_length, new_tokens
        respond = rewarded_responder(model, tokenizer, inputs["reward_model"], *room, training.micro_batch)
    store = CheckpointStore(out.parent.parent / "checkpoints" / out.name)
    # The first rank alone owns and writes; the others wait for it.
    owned = store.owned() if is_first() else contextlib.nullcontext()
    with owned, noticed(), joined(training.is_mixed) as ranks:
        is_finished = _is_finished(spec, out)  # by the orphan of a killed workflow, while this process waited
        if ranks.any(is_finished) if ranks else is_finished:
            return
        outcome = train(
            policy,
            method.loss,
            method.Hparams(**spec["hparams"]),
            method.NEEDS,
            data,
            training,
            seed_for(spec["seed"], "order"),
            store,
            evaluate=lambda: held_out and reward_accuracy(policy, held_out, training.micro_batch),
            on_log=lambda metrics: _log(out / "metrics.csv", metrics, runtime) if is_first() else None,
            respond=respond,
            ranks=ranks,
            engine=runtime.engine,
        )
        weights = whole_weights(model) if ranks else None
        if is_first():
            shutil.rmtree(out / "model", ignore_errors=True)
            model, more = finish() if finish else (model, {})
            save_model(model, tokenizer, out / "model", weights)
            write_metrics(out / "metrics.csv", outcome.metrics)
            wall_s = time.perf_counter() - started
            manifest = _manifest(spec, inputs, out.name, method, data, outcome, wall_s, ranks.size if ranks else 1)
            write_json(out / "run.json", manifest | more)
            store.clear()


def rewarded_responder(
    model: Any, tokenizer: Any, reward_model: Path, max_length: int, max_new_tokens: int | None, batch_size: int
) -> Respond:
    """The model's responses, scored by the reward model of a run's folder. Raises UserError where they cannot speak."""
    folder = reward_model / "model"
    if load_tokenizer(folder).get_vocab() != tokenizer.get_vocab():
        raise UserError(f"{folder}: the reward model has another vocabulary than the policy; train both from one base")
    judge = Policy(load_model(folder, "float32", "score"), tokenizer.pad_token_id, "score")
    return responder(
        model,
        tokenizer,
        lambda sequences: judge.score_all(sequences, batch_size),
        max_length,
        max_new_tokens,
        batch_size,
    )


def _is_finished(spec: dict[str, Any], out: Path) -> bool:
    if not (out / "run.json").is_file() or not (out / "metrics.csv").is_file():
        return False
    return json.loads((out / "run.json").read_text(encoding="utf-8"))["spec"] == spec


def reward_accuracy(policy: Policy, held_out: Inputs, batch_size: int) -> float:
    """Share of held-out pairs whose chosen response has the higher reward (log-ratio, or score), 0 to 1."""
    values = policy.score_pairs(held_out.pairs, batch_size)
    margins = values[:, 0] - values[:, 1]
    if held_out.reference is not None:
        margins = margins - (held_out.reference[:, 0] - held_out.reference[:, 1])
    return float((margins > 0).float().mean())


def write_metrics(path: Path, metrics: Metrics) -> None:
    """metrics.csv: one line per logged step; empty where a value does not exist."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, METRICS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(metrics)


def _log(path: Path, metrics: Metrics, runtime: Runtime) -> None:
    write_metrics(path, metrics)
    if runtime.tracker is not None:
        runtime.tracker(metrics)


def _packages(training: dict[str, Any]) -> list[str]:
    """Those whose version a run names."""
    adapted = ["peft"] if training.get("lora_rank") else []
    quantized = ["bitsandbytes"] if training.get("quantize", "none") != "none" else []
    return ["torch", "transformers", "tokenizers", *adapted, *quantized]


def _manifest(
    spec: dict[str, Any],
    inputs: dict[str, Path],
    run_id: str,
    method: ModuleType,
    data: Inputs,
    outcome: Outcome,
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
        "method": method.NAME if spec["kind"] != "base" else "base",
        "hparams": json.dumps(spec["hparams"], sort_keys=True),
        "seed": spec["seed"],
        "steps": outcome.steps,
        "pairs": outcome.steps * spec["training"]["batch_size"],
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
        "init_commit": hub_commit(inputs, "init", spec.get("init", "")),
        "truncation": data.pairs.counts,
        "train_s": outcome.train_s,
        "on_nan": {"setting": spec["training"].get("on_nan", "stop"), "skipped_steps": outcome.skipped},
        "ranks": n_ranks,
        "cpus": os.cpu_count(),
    }
