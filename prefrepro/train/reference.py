"""Log-probs of the frozen reference model, once for all runs that share it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from prefrepro.files import write_json
from prefrepro.model.examples import RowFile, encode_groups, encode_pairs, is_ranked, mismatched
from prefrepro.model.load import checkpoint_of, load_model, tokenizer_of
from prefrepro.model.policy import Policy
from prefrepro.model.tensors import save_tensors
from prefrepro.specs.runtime import DEFAULT, Runtime
from prefrepro.train.run import limits_of

PARTS = ("train", "eval")


def compute(spec: dict[str, Any], inputs: dict[str, Path], out: Path, _runtime: Runtime = DEFAULT) -> None:
    """reference.safetensors: log-probs in nats, in file order, per part.

    `train`, `eval`: (rows, 2), chosen then rejected; of ranked data (rows, K), the best response first, NaN where a
    prompt has fewer than K. `mismatched`, for methods that want it: (rows, 2) of the training prompts with responses
    to another prompt.
    """
    started = time.perf_counter()
    torch.set_num_threads(spec["threads"])
    init = checkpoint_of(inputs, "init", spec["init"])
    tokenizer, model = tokenizer_of(inputs, "init", spec["init"]), load_model(init, spec["dtype"])
    policy = Policy(model, tokenizer.pad_token_id)
    limits, batch_size = limits_of(spec), spec["micro_batch"]
    tensors, counts = {}, {}

    def of_pairs(rows: Iterable[dict[str, Any]], name: str) -> None:
        pairs = encode_pairs(rows, tokenizer, limits)
        tensors[name], counts[name] = policy.score_pairs(pairs, batch_size), pairs.counts

    for part in PARTS:
        rows = RowFile(inputs["data"] / f"{part}.jsonl")
        if is_ranked(rows):
            groups = encode_groups(rows, tokenizer, limits)
            flat = policy.score_all(groups.flat, batch_size)
            table = torch.full((len(rows), groups.width), torch.nan)
            for row, values in zip(table, flat.split([len(scores) for scores in groups.scores]), strict=True):
                row[: len(values)] = values
            tensors[part], counts[part] = table, groups.counts
        else:
            of_pairs(rows, part)
            if part == "train" and spec.get("mismatched"):
                of_pairs(mismatched(rows), "mismatched")
    save_tensors(tensors, out / "reference.safetensors")
    write_json(out / "manifest.json", {"spec": spec, "truncation": counts, "wall_s": time.perf_counter() - started})
