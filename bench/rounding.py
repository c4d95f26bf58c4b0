"""How far bfloat16 computing over float32 weights is from float32: losses and accuracies of the same DPO training.

    python -m bench.rounding MODEL PAIRS.jsonl.gz --steps 50

MODEL: a folder that transformers reads. PAIRS: lines with `chosen` and `rejected` dialogues of one prompt, as HH has
them. Prints a line per step; the last says the largest and the mean difference.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from bench.ours import with_reference
from methods import dpo
from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.jobs.threads import let_waiting_threads_sleep
from prefrepro.model.batches import Inputs
from prefrepro.model.examples import Pairs, Tokens
from prefrepro.model.learner import Learner, Objective
from prefrepro.model.load import load_model, load_tokenizer
from prefrepro.model.policy import Policy
from prefrepro.model.training import Training
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import train

ASSISTANT = "\n\nAssistant:"
LR = 1e-5


def pairs_of(path: Path, tokenizer: Any, n: int, longest: int) -> Pairs:
    """The first n pairs whose prompt and responses have at most `longest` tokens together."""
    chosen, rejected = [], []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            prompt, _, answer = row["chosen"].rpartition(ASSISTANT)
            other = row["rejected"].rpartition(ASSISTANT)[2]
            ids = [
                tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt + ASSISTANT, answer, other)
            ]
            if sum(map(len, ids)) + 2 <= longest:
                chosen.append(Tokens(ids[0], [*ids[1], tokenizer.eos_token_id]))
                rejected.append(Tokens(ids[0], [*ids[2], tokenizer.eos_token_id]))
            if len(chosen) == n:
                return Pairs(chosen, rejected, [str(number) for number in range(n)], {})
    raise UserError(f"{path}: {len(chosen)} pairs of at most {longest} tokens, {n} expected. Raise --longest.")


def metrics(model: Path, pairs: Pairs, steps: int, batch: int, compute_dtype: str) -> list[dict[str, float]]:
    """Of each step; reference and policy in `compute_dtype`, weights in float32."""
    pad = load_tokenizer(model).pad_token_id
    inputs = with_reference(Inputs(pairs), Policy(load_model(model, compute_dtype), pad), 2 * batch)
    settings = Training(
        optimizer="rmsprop", lr=LR, warmup_steps=steps // 10, epochs=1.0, max_steps=steps, batch_size=batch,
        micro_batch=2 * batch, contrast_size=batch, max_grad_norm=10.0, max_length=1024, max_prompt_length=512,
        truncation_mode="keep_end", cut_prompts="with_response", dtype="float32", compute_dtype=compute_dtype,
        log_every=1, eval_every=0, checkpoint_every=steps + 1, threads=torch.get_num_threads(),
    )  # fmt: skip
    policy, objective = Policy(load_model(model, "float32"), pad), Objective(dpo.loss, dpo.Hparams(), dpo.NEEDS)
    with tempfile.TemporaryDirectory() as folder:
        return train(Learner(policy, objective, inputs, settings, 0), CheckpointStore(Path(folder))).metrics


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.rounding", description="bfloat16 beside float32.")
    parser.add_argument("model", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--longest", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = pairs_of(
        arguments.pairs, load_tokenizer(arguments.model), arguments.steps * arguments.batch, arguments.longest
    )
    both = [
        metrics(arguments.model, rows, arguments.steps, arguments.batch, dtype) for dtype in ("float32", "bfloat16")
    ]
    keys = "loss", "rewards/margins", "rewards/accuracies", "grad_norm"
    differences = {key: [abs(a[key] - b[key]) for a, b in zip(*both, strict=True)] for key in keys}
    for wide, narrow in zip(*both, strict=True):
        print(wide["step"], "  ".join(f"{key} {wide[key]:.5f} {narrow[key]:.5f}" for key in keys))
    for key, values in differences.items():
        means = [sum(run[key] for run in runs) / len(runs) for runs in both]
        print(
            f"{key}: mean {means[0]:.5f} in float32, {means[1]:.5f} in bfloat16; largest difference of a step "
            f"{max(values):.5f}, mean {sum(values) / len(values):.5f}"
        )


if __name__ == "__main__":
    let_waiting_threads_sleep()
    exit_on_user_error(main)
