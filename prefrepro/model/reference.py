"""Log-probs of the frozen reference model, for all runs that share it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefrepro.data.truncate import limits_of
from prefrepro.model.examples import RowFile, encode_groups, encode_pairs, is_ranked, mismatched
from prefrepro.model.load import load_model
from prefrepro.model.policy import Policy

PARTS = ("train", "eval")


def reference_logps(
    spec: dict[str, Any], data: Path, init: Path, tokenizer: Any
) -> tuple[dict[str, Tensor], dict[str, dict[str, int]]]:
    """Log-probs in nats, in file order, per part, and what truncation did.

    `train`, `eval`: (rows, 2), chosen then rejected; of ranked data (rows, K), the best response first, NaN where a
    prompt has fewer than K. `mismatched`, for methods that want it: (rows, 2) of the training prompts with responses
    to another prompt.
    """
    torch.set_num_threads(spec["threads"])
    model, logp_dtype = load_model(init, spec["dtype"]), spec.get("logp_dtype", "float32")
    policy = Policy(model, tokenizer.pad_token_id, logp_dtype=logp_dtype)
    limits, batch_size = limits_of(spec), spec["micro_batch"]
    tensors, counts = {}, {}

    def add_pairs(rows: Iterable[dict[str, Any]], name: str) -> None:
        pairs = encode_pairs(rows, tokenizer, limits)
        tensors[name], counts[name] = policy.score_pairs(pairs, batch_size), pairs.counts

    for part in PARTS:
        rows = RowFile(data / f"{part}.jsonl")
        if is_ranked(rows):
            groups = encode_groups(rows, tokenizer, limits)
            flat = policy.score_all(groups.flat, batch_size)
            table = torch.full((len(rows), groups.width), torch.nan)
            for row, values in zip(table, flat.split([len(scores) for scores in groups.scores]), strict=True):
                row[: len(values)] = values
            tensors[part], counts[part] = table, groups.counts
        else:
            add_pairs(rows, part)
            if part == "train" and spec.get("mismatched"):
                add_pairs(mismatched(rows), "mismatched")
    return tensors, counts
