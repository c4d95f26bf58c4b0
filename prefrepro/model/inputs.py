"""What the steps of a training draw from: rows of a data set as token ids, and the tensors of shared nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from methods.contract import Needs
from prefrepro.data.truncate import limits_of
from prefrepro.errors import UserError
from prefrepro.model.batches import Inputs
from prefrepro.model.examples import (
    Pairs,
    RowFile,
    encode_groups,
    encode_pairs,
    fewer_responses,
    is_ranked,
    mismatched,
    pairs_of_groups,
)
from prefrepro.model.policy import Policy
from prefrepro.model.seeds import seed_for
from prefrepro.model.tensors import load_tensors


def training_inputs(
    spec: dict[str, Any], inputs: dict[str, Path], needs: Needs, tokenizer: Any
) -> tuple[Inputs, Inputs | None]:
    """What the steps draw from, and the held-out pairs whose reward accuracy is measured, if there is one."""
    limits = limits_of(spec["training"])
    rows = RowFile(inputs["data"] / f"{spec['part']}.jsonl")
    held_out_rows = RowFile(inputs["data"] / "eval.jsonl")
    n_rows = {"train": len(rows), "mismatched": len(rows), "index": len(rows), "eval": len(held_out_rows)}
    reference: dict[str, Tensor] = {}
    for role in ("reference", "reference_train", "reference_mismatched"):
        reference |= _tensors(inputs, role, n_rows, "reference")
    vectors, rewards = (_tensors(inputs, role, n_rows, role) for role in ("embeddings", "reference_rewards"))
    if is_ranked(rows):
        groups = encode_groups(rows, tokenizer, limits)
        held_out_groups = encode_groups(held_out_rows, tokenizer, limits)
        held_out, held_out_reference = pairs_of_groups(held_out_groups, "best_vs_worst", 0, reference.get("eval"))
        logps = reference.get("train")
        if spec.get("k"):
            groups, logps = fewer_responses(groups, spec["k"], seed_for(spec["seed"], "k"), logps)
        if needs.rows == "groups":
            data = Inputs(Pairs([], [], [], groups.counts), logps, groups=groups)
        else:
            data = Inputs(*pairs_of_groups(groups, spec["pairs"], seed_for(spec["seed"], "pairs"), logps))
    else:
        held_out, held_out_reference = encode_pairs(held_out_rows, tokenizer, limits), reference.get("eval")
        kept = rows.kept(tokenizer, limits, "mismatched") if needs.mismatched else None
        others = encode_pairs(mismatched(rows), tokenizer, limits, kept) if needs.mismatched else None
        data = Inputs(
            encode_pairs(rows, tokenizer, limits),
            reference.get("train"),
            vectors.get("vectors"),
            vectors.get("index"),
            others,
            reference.get("mismatched"),
            reference_rewards=rewards.get("train"),
        )
    is_measured = held_out.prompt_ids and (needs.reference or needs.output == "score")
    return data, Inputs(held_out, held_out_reference if needs.reference else None) if is_measured else None


def _tensors(inputs: dict[str, Path], role: str, n_rows: dict[str, int], file: str) -> dict[str, Tensor]:
    """What a shared node computed once and keeps in `file`; nothing where no such node is among the inputs.

    Raises UserError where it was not made of these rows.
    """
    if role not in inputs:
        return {}
    path = inputs[role] / f"{file}.safetensors"
    tensors = load_tensors(path)
    for name, tensor in tensors.items():
        if len(tensor) != n_rows.get(name, len(tensor)):
            raise UserError(
                f"{path}: {name} holds {len(tensor)} rows; expected {n_rows[name]}, one for each of the data set's. "
                "It was made of other data: remove its folder and run again"
            )
    return tensors


def reward_accuracy(policy: Policy, held_out: Inputs, batch_size: int) -> float:
    """Share of held-out pairs whose chosen response has the higher reward (log-ratio, or score), 0 to 1."""
    values = policy.score_pairs(held_out.pairs, batch_size)
    margins = values[:, 0] - values[:, 1]
    if held_out.reference is not None:
        margins = margins - (held_out.reference[:, 0] - held_out.reference[:, 1])
    return float((margins > 0).float().mean())
