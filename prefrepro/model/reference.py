"""Log-probs of the frozen reference model, for all runs that share it: of what these runs read, and no more."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from methods.contract import Needs
from prefrepro.data.truncate import Limits, limits_of
from prefrepro.model.batches import step_rows, steps_per_epoch
from prefrepro.model.examples import RowFile, encode_groups, encode_pairs, is_ranked, mismatched, places_of_pairs
from prefrepro.model.load import load_model
from prefrepro.model.policy import Policy
from prefrepro.model.seeds import seed_for
from prefrepro.model.token_file import Lazy, Tokens
from prefrepro.model.training import capped_steps

PARTS = ("train", "eval")


def reference_logps(
    spec: dict[str, Any], data: Path, init: Path, tokenizer: Any
) -> tuple[dict[str, Tensor], dict[str, dict[str, int]]]:
    """Log-probs in nats, in file order, of each of `parts`, and what truncation did.

    `train`, `eval`, `dev`: (rows, 2), chosen then rejected; of ranked data (rows, K), the best response first, NaN
    where a prompt has fewer than K. `mismatched`: (rows, 2) of the training prompts with responses to another prompt.
    Where `read` describes the steps of a training, NaN stands for every response of `train` and `mismatched` that they
    do not read.
    """
    torch.set_num_threads(spec["threads"])
    tensors, counts, encoded = {}, {}, {}
    for part in spec.get("parts", PARTS):
        is_mismatched = part == "mismatched"
        rows = RowFile(data / f"{'train' if is_mismatched else part}.jsonl")
        sizes = [len(row.get("scores", ("chosen", "rejected"))) for row in rows]
        read = spec.get("read") if part in ("train", "mismatched") else None
        places = [range(size) for size in sizes] if read is None else places_read(rows, sizes, read)
        limits, wanted, kept = limits_of(spec), rows, None
        if is_mismatched:
            wanted, kept = mismatched(rows), rows.kept(tokenizer, limits, part)
        if not all(places):
            wanted, kept = compress(wanted, places), None
        responses, counts[part] = _responses(wanted, is_ranked(rows), tokenizer, limits, kept)
        kept = [number for number, own in enumerate(places) if own]
        at = [(number, row, place) for number, row in enumerate(kept) for place in sorted(places[row])]
        flat = Lazy(len(at), lambda i, responses=responses, at=at: responses[at[i][0]][at[i][2]])
        counts[part]["scored"] = len(at)
        tensors[part] = torch.full((len(sizes), max(sizes, default=2)), torch.nan)
        encoded[part] = flat, torch.tensor([cell[1:] for cell in at], dtype=torch.long).view(-1, 2).T
    model, logp_dtype = load_model(init, spec["dtype"]), spec.get("logp_dtype", "float32")
    policy = Policy(model, tokenizer.pad_token_id, logp_dtype=logp_dtype)
    for part, (flat, where) in encoded.items():
        tensors[part][tuple(where)] = policy.score_all(flat, spec["micro_batch"])
    return tensors, counts


def _responses(
    rows: Any, is_group: bool, tokenizer: Any, limits: Limits, kept: Path | None
) -> tuple[Sequence[Sequence[Tokens]], dict[str, int]]:
    if is_group:
        groups = encode_groups(rows, tokenizer, limits)
        return groups.responses, dict(groups.counts)
    pairs = encode_pairs(rows, tokenizer, limits, kept)
    return Lazy(len(pairs.chosen), lambda i: (pairs.chosen[i], pairs.rejected[i])), dict(pairs.counts)


def places_read(rows: RowFile, sizes: Sequence[int], read: Mapping[str, Any]) -> list[Collection[int]]:
    """Row -> the responses of it that the steps of a training read; of a group, the best is 0.

    `read`: `rows` as in `Needs`, `pairs` that are selected from groups, `seed`, `batch_size`, `epochs`, `max_steps`.
    """
    order, needs = seed_for(read["seed"], "order"), Needs(shape="unpaired", rows=read["rows"])
    pairs = [(number, 0, 1) for number in range(len(sizes))]
    if read["pairs"]:
        ids, scores = zip(*((row["prompt_id"], sorted(row["scores"], reverse=True)) for row in rows), strict=True)
        pairs = places_of_pairs(scores, ids, read["pairs"], seed_for(read["seed"], "pairs"))
    found: list[set[int]] = [set() for _ in sizes]
    names = [""] * len(pairs)  # no such training goes by prompt
    per_epoch = steps_per_epoch(names, needs, read["batch_size"])
    rows_of = step_rows(names, needs, read["batch_size"], order)
    for step in range(capped_steps(per_epoch, read["epochs"], read["max_steps"]) if per_epoch else 0):
        drawn = rows_of(step)
        for side, numbers in ((1, drawn.chosen), (2, drawn.rejected)):
            for number in numbers:
                row = pairs[number][0]
                found[row].update(range(sizes[row]) if read["rows"] == "groups" else [pairs[number][side]])
    return list[Collection[int]](found)
