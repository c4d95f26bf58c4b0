"""Responses of one run to the prompts that every run answers.

Batched by length, left-padded, deterministic; EOS and role tags end a response. Knows nothing of methods or judges.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from prefrepro.data.template import render_for
from prefrepro.files import replacing, write_json
from prefrepro.train.decode import Answer, decode, sampling_arguments
from prefrepro.train.examples import read_rows
from prefrepro.train.load import load_model, load_tokenizer
from prefrepro.train.seeds import seed_for


@torch.inference_mode()
def generate(
    model: Any, tokenizer: Any, prompts: list[str], sampling: dict[str, Any], seed: int
) -> list[dict[str, Any]]:
    """One {response, tokens, finish} per prompt, in the prompts' order.

    finish: eos | role_tag | length. Greedy where temperature is 0. `max_length` bounds prompt and response together,
    as the released sampler; a prompt that leaves no room loses its beginning.
    """
    model.eval()
    tokenizer.padding_side, tokenizer.truncation_side = "left", "left"
    room = sampling["max_new_tokens"] or sampling["max_length"]
    lengths = [len(ids) for ids in tokenizer(prompts)["input_ids"]]
    order = sorted(range(len(prompts)), key=lambda i: (lengths[i], i))
    settings = sampling_arguments(sampling["temperature"], sampling["top_p"])
    torch.manual_seed(seed)
    results: list[dict[str, Any]] = [{} for _ in prompts]
    bar = tqdm(total=len(prompts), unit="prompt", disable=None)
    for start in range(0, len(order), sampling["batch_size"]):
        rows = order[start : start + sampling["batch_size"]]
        longest = sampling["max_length"] - min(room, sampling["max_length"] // 2)
        batch = tokenizer(
            [prompts[i] for i in rows], return_tensors="pt", padding=True, truncation=True, max_length=longest
        ).to(model.device)
        answers = decode(
            model, tokenizer, batch["input_ids"], batch["attention_mask"], room, sampling["max_length"], settings
        )
        for row, answer in zip(rows, answers, strict=True):
            results[row] = _result(answer)
        bar.update(len(rows))
    bar.close()
    return results


def _result(answer: Answer) -> dict[str, Any]:
    return {"response": answer.text, "tokens": answer.tokens, "finish": answer.finish}


def run(spec: dict[str, Any], inputs: dict[str, Path], out: Path) -> None:
    """samples.jsonl {prompt_id, prompt, response, baseline, tokens, finish} of every prompt, and manifest.json."""
    started, sampling = time.perf_counter(), spec["sampling"]
    torch.set_num_threads(sampling["threads"])
    folder = inputs["run"] / "model"
    tokenizer, model = load_tokenizer(folder), load_model(folder, sampling["dtype"])
    prompts = read_rows(inputs["data"] / "prompts.jsonl")
    texts = [render_for(tokenizer, row["prompt"]) for row in prompts]
    answers = generate(model, tokenizer, texts, sampling, seed_for(spec["seed"], "sampling"))
    with (
        replacing(out / "samples.jsonl") as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as file,
    ):
        for prompt, answer in zip(prompts, answers, strict=True):
            file.write(json.dumps(prompt | answer, ensure_ascii=False) + "\n")
    finishes = [answer["finish"] for answer in answers]
    manifest = {
        "spec": spec,
        "n": len(answers),
        "finish": {kind: finishes.count(kind) for kind in ("eos", "role_tag", "length")},
        "mean_tokens": sum(answer["tokens"] for answer in answers) / len(answers),
        "engine": "transformers",
        "wall_s": time.perf_counter() - started,
    }
    write_json(out / "manifest.json", manifest)
