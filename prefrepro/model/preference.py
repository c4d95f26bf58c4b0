"""How a model ranks the labelled responses of held-out rows: one margin for each comparison, by each reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from prefrepro.data.comparisons import Comparison, comparisons
from prefrepro.data.hub import Checkpoint, checkpoint_of
from prefrepro.data.select import best_first
from prefrepro.data.truncate import limits_of
from prefrepro.errors import UserError
from prefrepro.model.examples import Groups, RowFile, encode_groups, encode_pairs, is_ranked
from prefrepro.model.load import load_model, load_tokenizer
from prefrepro.model.policy import Policy
from prefrepro.model.tensors import load_tensors

READINGS = ("reward", "logp", "logp_per_token")
"""Log-ratio to the reference, or a reward model's score; summed log-prob; log-prob per token, EOS included. In nats."""
Margins = dict[str, list[float]]
"""Reading -> one margin for each comparison: the best value of the better responses less that of the worse ones"""


class Ranked(NamedTuple):
    """What a model makes of the comparisons of one part."""

    comparisons: list[Comparison]
    counts: dict[str, int]
    margins: Margins
    """Without the readings that the model does not have"""
    truncation: dict[str, int]
    commit: str | None
    """The hub's, of a model that it serves"""


class _Scored(NamedTuple):
    """All responses of a part, row after row; those of a group as encode_groups has them, the best first."""

    values: Tensor
    """(S,) summed log-probs, or scores"""
    tokens: Tensor
    """(S,) tokens of each response"""
    truncation: dict[str, int]


def rank(spec: Mapping[str, Any], inputs: Mapping[str, Path]) -> Ranked:
    """Margins of the model that plays `run`, or of the hub's, on every labelled comparison of `part`.

    Raises UserError where the part holds no comparison, or a value is no number.
    """
    torch.set_num_threads(spec["threads"])
    path = inputs["data"] / f"{spec['part']}.jsonl"
    rows = RowFile(path)
    found, counts = comparisons(rows) if path.is_file() else ([], {})
    if not found:
        raise UserError(
            f"{path}: found no labelled pair, expected at least one. Give the part {spec['part']} a share in `parts` "
            "of the data set's file, or name another part in the evaluation"
        )
    model = checkpoint_of(inputs, "run", spec["model"])
    own = _scored(spec, rows, model, spec["output"])
    values = {"reward": own.values} if spec["output"] == "score" else {"logp": own.values}
    if spec["output"] != "score":
        values["logp_per_token"] = own.values / own.tokens
        if "reference" in inputs:
            values["reward"] = own.values - _reference(inputs["reference"], spec["part"], len(own.values))
    of_row = _places(rows)
    margins = {name: _margins(found, of_row, values[name].tolist()) for name in READINGS if name in values}
    return Ranked(found, counts, margins, own.truncation, model.commit)


class Values(NamedTuple):
    """What one model says of rows that are at hand."""

    comparisons: list[Comparison]
    of_row: list[list[int]]
    values: list[float]

    def compared(self, before: Values) -> list[tuple[Comparison, float, float]]:
        """Each comparison with the log-ratios, to another model's values, of its better and its worse responses."""
        ratios = [own - other for own, other in zip(self.values, before.values, strict=True)]
        return [
            (one, _best(self.of_row, ratios, one.row, one.better), _best(self.of_row, ratios, one.row, one.worse))
            for one in self.comparisons
        ]


def ranked_by(spec: Mapping[str, Any], rows: Sequence[dict[str, Any]], model: Checkpoint) -> Values:
    """Summed log-probs of every response of `rows`. Raises UserError where one is not finite."""
    values = _scored(spec, rows, model, "logp").values.tolist()
    return Values(comparisons(rows)[0], _places(rows), values)


def _scored(spec: Mapping[str, Any], rows: Iterable[dict[str, Any]], model: Checkpoint, output: str) -> _Scored:
    """Raises UserError where a value is not finite."""
    tokenizer, limits = load_tokenizer(model.folder, model.template), limits_of(spec)
    found = (encode_groups if is_ranked(rows) else encode_pairs)(rows, tokenizer, limits)
    policy = Policy(
        load_model(model.folder, spec["dtype"], output),
        tokenizer.pad_token_id,
        output,
        logp_dtype=spec.get("logp_dtype", "float32"),
    )
    if isinstance(found, Groups):
        values = policy.score_all(found.flat, spec["micro_batch"])
        tokens = [len(response.response_ids) for response in found.flat]
    else:
        values = policy.score_pairs(found, spec["micro_batch"]).flatten()
        both = zip(found.chosen, found.rejected, strict=True)
        tokens = [len(response.response_ids) for pair in both for response in pair]
    if not values.isfinite().all():
        raise UserError(
            f"{model.folder} gives NaN or infinity for {int((~values.isfinite()).sum())} of {len(values)} responses; "
            "expected finite values. Look at the metrics.csv of its training, and train it again"
        )
    return _Scored(values, torch.tensor(tokens), found.counts)


def _reference(folder: Path, part: str, expected: int) -> Tensor:
    """(S,) the reference's log-probs, as its node has them. Raises UserError where they are of other rows."""
    path = folder / "reference.safetensors"
    flat = load_tensors(path)[part].flatten()
    flat = flat[~flat.isnan()]  # a group of fewer responses than the largest ends with NaN
    if len(flat) != expected:
        raise UserError(
            f"{path}: {part} holds {len(flat)} responses; expected {expected}, those of the data set. It was made of "
            "other data: remove its folder and run again"
        )
    return flat


def _places(rows: Iterable[dict[str, Any]]) -> list[list[int]]:
    """Row -> where each of its responses stands among all, in the order of the row's file."""
    found, start = [], 0
    for row in rows:
        order = best_first(row["scores"]) if "scores" in row else [0, 1]
        places = [0] * len(order)
        for at, place in enumerate(order):
            places[place] = start + at
        found.append(places)
        start += len(order)
    return found


def _margins(found: list[Comparison], of_row: list[list[int]], values: list[float]) -> list[float]:
    return [_best(of_row, values, one.row, one.better) - _best(of_row, values, one.row, one.worse) for one in found]


def _best(of_row: list[list[int]], values: list[float], row: int, places: list[int]) -> float:
    return max(values[of_row[row][place]] for place in places)
