"""Text embeddings of a data set's training rows, for all runs that share them.

What is embedded is the rendered prompt as training sees it: role tags in, truncated by the policy's tokenizer
(released code: trainers.py:604-605).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefrepro.data.truncate import limits_of
from prefrepro.model.embedders import load_embedder, texts_cut
from prefrepro.model.examples import RowFile, Tokens, encode_pairs


def text_embeddings(
    spec: dict[str, Any], data: Path, tokenizer: Any, folder: Path | None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """vectors (U, d) of the unique texts, index (rows, 2) of each row's two sides; what the manifest says of cuts.

    `folder`: the embedder's checkpoint, where it has one.
    """
    torch.set_num_threads(spec["embedder"]["threads"])
    pairs = encode_pairs(RowFile(data / "train.jsonl"), tokenizer, limits_of(spec))
    numbers: dict[str, int] = {}

    def number(sequence: Tokens) -> int:
        text = tokenizer.decode(sequence.prompt_ids, skip_special_tokens=True)
        if spec["text"] == "prompt+response":
            text += tokenizer.decode(sequence.response_ids, skip_special_tokens=True)
        return numbers.setdefault(text, len(numbers))

    index = [[number(c), number(r)] for c, r in zip(pairs.chosen, pairs.rejected, strict=True)]
    texts = list(numbers)
    embedder = load_embedder(spec["embedder"], texts, folder)
    batch_size = spec["embedder"]["batch_size"]
    vectors = embedder.encode(texts, batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False)
    tensors = {"vectors": vectors.float().cpu().contiguous(), "index": torch.tensor(index)}
    return tensors, {"texts_cut_by_embedder": texts_cut(embedder, texts), "truncation": pairs.counts}
