"""Sentence embedders by kind: released ones, and two substitutes that need no download.

sentence-transformers    a released embedder: from a package that carries its weights, a folder, or the hub
pooled-transformer       the same weights, of its first `layers` layers, with another pooling (mean | cls | max)
bag-of-words             tf-idf over the words of the texts themselves; nothing is learnt

The substitutes let a table of several embedders be made without the hub. They differ from what they stand in for,
and their config says so (`label`, `note`).
"""

from __future__ import annotations

import importlib
import math
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import BoW, Normalize, Pooling, Transformer
from torch import nn

from prefrepro.errors import UserError
from prefrepro.model.cpu_matmul import use_onednn
from prefrepro.model.load import device

MOST_WORDS = 4096


def load_embedder(
    spec: Mapping[str, Any], texts: Sequence[str] = (), folder: Path | None = None
) -> SentenceTransformer:
    """The embedder of a config/embedders file.

    `texts` are what it will embed; only bag-of-words looks at them. `folder`: its checkpoint, where no package has it.
    """
    if spec.get("package"):
        folder = Path(importlib.import_module(spec["package"]).get_model_path())
    embedder = KINDS[spec["kind"]](spec, texts, str(folder)).eval()
    use_onednn(embedder)
    return embedder


def texts_cut(embedder: SentenceTransformer, texts: Sequence[str]) -> int:
    """How many of the texts are longer than the embedder reads."""
    limit = embedder.max_seq_length
    if not limit:
        return 0
    return sum(len(tokens) > limit for tokens in embedder.tokenizer(list(texts), verbose=False)["input_ids"])


def _released(spec: Mapping[str, Any], texts: Sequence[str], folder: str) -> SentenceTransformer:
    return SentenceTransformer(folder, device=str(device()))


def _pooled(spec: Mapping[str, Any], texts: Sequence[str], folder: str) -> SentenceTransformer:
    transformer = Transformer(folder, max_seq_length=spec.get("max_seq_length"))
    encoder: Any = transformer.auto_model.encoder
    if not 1 <= spec["layers"] <= len(encoder.layer):
        raise UserError(f"{spec['layers']} layers are wanted of an embedder that has {len(encoder.layer)}")
    encoder.layer = nn.ModuleList(encoder.layer[: spec["layers"]])
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode=spec["pooling"])
    return SentenceTransformer(modules=[transformer, pooling, Normalize()], device=str(device()))


def _bag_of_words(spec: Mapping[str, Any], texts: Sequence[str], folder: str) -> SentenceTransformer:
    """Each word of the texts is a dimension, weighted by log((1 + n) / (1 + texts that hold it))."""
    holding = Counter(word for text in texts for word in set(_words(text)))
    frequent = sorted(holding, key=lambda word: (-holding[word], word))[:MOST_WORDS]
    weights = {word: math.log((1 + len(texts)) / (1 + holding[word])) for word in frequent}
    if not any(weights.values()):
        raise UserError("bag-of-words: no word tells these texts apart. Expected texts that differ in words.")
    return SentenceTransformer(
        modules=[BoW(frequent, word_weights=weights, unknown_word_weight=0.0), Normalize()], device=str(device())
    )


def _words(text: str) -> list[str]:
    """As BoW's own tokenizer finds them: apart by white space, without punctuation around them."""
    return [word for token in text.split() if (word := token.strip(string.punctuation))]


KINDS: dict[str, Callable[[Mapping[str, Any], Sequence[str], str], SentenceTransformer]] = {
    "sentence-transformers": _released,
    "pooled-transformer": _pooled,
    "bag-of-words": _bag_of_words,
}
