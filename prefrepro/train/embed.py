"""Prompt embeddings, once for all runs that share them.

What is embedded is the rendered prompt as training sees it: role tags in, truncated by the policy's tokenizer
(released code: trainers.py:604-605). Knows nothing of methods.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from prefrepro.files import write_json
from prefrepro.model.embedders import embedder_commit, load_embedder, texts_cut
from prefrepro.model.examples import RowFile, Tokens, encode_pairs
from prefrepro.model.load import tokenizer_of
from prefrepro.model.tensors import save_tensors
from prefrepro.specs.runtime import DEFAULT, Runtime
from prefrepro.train.run import limits_of


def compute(spec: dict[str, Any], inputs: dict[str, Path], out: Path, _runtime: Runtime = DEFAULT) -> None:
    """embeddings.safetensors: vectors (U, d) of unique texts, index (rows, 2) of each training row's two sides."""
    started = time.perf_counter()
    torch.set_num_threads(spec["embedder"]["threads"])
    tokenizer = tokenizer_of(inputs, "tokenizer", spec["tokenizer"])
    pairs = encode_pairs(RowFile(inputs["data"] / "train.jsonl"), tokenizer, limits_of(spec))
    numbers: dict[str, int] = {}

    def number(sequence: Tokens) -> int:
        text = tokenizer.decode(sequence.prompt_ids, skip_special_tokens=True)
        if spec["text"] == "prompt+response":
            text += tokenizer.decode(sequence.response_ids, skip_special_tokens=True)
        return numbers.setdefault(text, len(numbers))

    index = [[number(c), number(r)] for c, r in zip(pairs.chosen, pairs.rejected, strict=True)]
    embedder = load_embedder(spec["embedder"], list(numbers))
    vectors = embedder.encode(
        list(numbers),
        batch_size=spec["embedder"]["batch_size"],
        convert_to_tensor=True,
        show_progress_bar=False,
    )
    save_tensors(
        {"vectors": vectors.float().cpu().contiguous(), "index": torch.tensor(index)}, out / "embeddings.safetensors"
    )
    cut = texts_cut(embedder, list(numbers))
    manifest = {
        "spec": spec,
        "texts": len(numbers),
        "texts_cut_by_embedder": cut,
        "dim": vectors.shape[1],
        "embedder_commit": embedder_commit(spec["embedder"]),
    }
    write_json(out / "manifest.json", manifest | {"wall_s": time.perf_counter() - started})
