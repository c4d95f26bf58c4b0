"""How far a training has moved from its reference, and what it has gained, at each model that it kept on its way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prefrepro.data.comparisons import PAIR, comparisons
from prefrepro.data.hub import checkpoint_of
from prefrepro.data.template import render_for, render_history
from prefrepro.data.truncate import TruncationCounts, limits_of
from prefrepro.data.world.reward import reward
from prefrepro.errors import UserError
from prefrepro.model.attention import hidden_states
from prefrepro.model.decode import Answer, decode, sampling_arguments
from prefrepro.model.examples import RowFile, Tokens, encode
from prefrepro.model.load import load_model, load_tokenizer
from prefrepro.model.packing import pack, pad
from prefrepro.model.policy import Policy
from prefrepro.model.preference import ranked_by

CHUNK = 256
"""Tokens whose two distributions are held at a time."""


def distances(spec: Mapping[str, Any], inputs: Mapping[str, Path]) -> list[dict[str, Any]]:
    """One row for the reference, at step 0, one for each snapshot and one for the final model.

    step, kl (nats of a response, mean over prompts), kl_se, log_ratio (the plain estimate of the same), prompts,
    tokens, accuracy (share of held-out pairs with the higher implicit reward), pairs, chosen and rejected (mean
    log-ratio to the reference), reward (of the embedded world; None elsewhere). Raises UserError where the part that
    the spec names holds no comparison.
    """
    torch.set_num_threads(spec["threads"])
    start = checkpoint_of(inputs, "init", spec["init"])
    rows = _spread(list(RowFile(inputs["data"] / f"{spec['part']}.jsonl")), spec["pairs"])
    if not comparisons(rows)[0]:
        raise UserError(
            f"{inputs['data']}: part {spec['part']} holds no labelled pair, expected at least one. Give it a share in "
            "`parts` of the data set's file"
        )
    prompts = _spread([row["prompt"] for row in rows], spec["prompts"])
    reference = Policy(load_model(start.folder, spec["dtype"]), load_tokenizer(start.folder).pad_token_id)
    before = ranked_by(spec, rows, start)
    n_pairs = sum(one.order == PAIR for one in before.comparisons)
    rest = dict.fromkeys(("kl", "kl_se", "log_ratio", "chosen", "rejected"), 0.0) | {"prompts": len(prompts)}
    found: list[dict[str, Any]] = [{"step": 0, **rest, "tokens": 0, "accuracy": 0.5, "pairs": n_pairs, "reward": None}]
    if spec["is_world"]:
        answers, _ = _sampled(spec, reference, load_tokenizer(start.folder, start.template), prompts)
        found[0]["reward"] = _reward(prompts, answers)
    for step, folder in _models(inputs["run"]):
        after = ranked_by(spec, rows, start._replace(folder=folder, template=None))
        tokenizer = load_tokenizer(folder)
        policy = Policy(load_model(folder, spec["dtype"]), tokenizer.pad_token_id)
        answers, sequences = _sampled(spec, policy, tokenizer, prompts)
        kl, ratio = divergences(policy, reference, sequences, spec["micro_batch"])
        pairs = [(better - worse, better, worse) for one, better, worse in after.compared(before) if one.order == PAIR]
        margins, chosen, rejected = torch.tensor(pairs).T
        found.append(
            {
                "step": step,
                "kl": float(kl.mean()),
                "kl_se": float(kl.std()) / len(kl) ** 0.5,
                "log_ratio": float(ratio.mean()),
                "prompts": len(kl),
                "tokens": sum(len(one.response_ids) for one in sequences),
                "accuracy": float((margins > 0).float().mean() + (margins == 0).float().mean() / 2),
                "pairs": len(margins),
                "chosen": float(chosen.mean()),
                "rejected": float(rejected.mean()),
                "reward": _reward(prompts, answers) if spec["is_world"] else None,
            }
        )
    return found


def divergences(
    policy: Policy, reference: Policy, sequences: Sequence[Tokens], batch_size: int
) -> tuple[Tensor, Tensor]:
    """(S,), (S,): KL(policy ‖ reference) along each of the policy's own responses, and the log-ratio of the response.

    Both estimate the KL of the distributions of responses without bias. The first sums, at each sampled position, the
    KL of the next token's two distributions (Rao–Blackwell: Amini et al., 2025, arXiv:2504.10637): it is never below 0
    and scatters less than the log-ratio. Nats.
    """
    found = [
        _divergence(policy, reference, sequences[start : start + batch_size])
        for start in range(0, len(sequences), batch_size)
    ]
    kl, ratio = zip(*found, strict=True)
    return torch.cat(kl), torch.cat(ratio)


@torch.no_grad()
def _divergence(policy: Policy, reference: Policy, sequences: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
    is_padded = policy.layout == "padded"
    packed = pad(sequences, policy.pad_id) if is_padded else pack(sequences, share_prompts=False)
    packed = packed.to(policy.model.device)
    states = [hidden_states(one.model, packed)[packed.logit_positions].split(CHUNK) for one in (policy, reference)]
    kl, ratio = [], []
    for own, other, targets in zip(*states, packed.targets.split(CHUNK), strict=True):
        p, q = (
            one.model.get_output_embeddings()(hidden).float().log_softmax(dim=-1)
            for one, hidden in ((policy, own), (reference, other))
        )
        difference = p - q
        kl.append((p.exp() * difference).sum(dim=-1))
        ratio.append(difference.gather(1, targets[:, None])[:, 0])
    sums = (
        torch.zeros(len(sequences), device=policy.model.device).index_add(0, packed.sequence_ids, torch.cat(parts))
        for parts in (kl, ratio)
    )
    of_kl, of_ratio = (one.cpu() for one in sums)
    return of_kl, of_ratio


def _models(run: Path) -> list[tuple[int, Path]]:
    """(step, folder) of each model that a run kept, the final one last."""
    kept = sorted((run / "snapshots").glob("step-*"))
    steps = json.loads((run / "run.json").read_text(encoding="utf-8"))["row"]["steps"]
    return [*((int(path.name.partition("-")[2]), path) for path in kept), (steps, run / "model")]


def _sampled(
    spec: Mapping[str, Any], policy: Policy, tokenizer: Any, prompts: Sequence[Any]
) -> tuple[list[Answer], list[Tokens]]:
    """The policy's own responses at temperature 1, without any cut of the distribution."""
    limits, counts = limits_of(spec), TruncationCounts()
    texts = [render_for(tokenizer, prompt) for prompt in prompts]
    ids = [one.prompt_ids for one in encode(tokenizer, texts, [""] * len(texts), limits, counts)]
    order = sorted(range(len(ids)), key=lambda place: len(ids[place]))
    answers: list[Answer] = [Answer([], "", 0, "")] * len(ids)
    torch.manual_seed(spec["seed"])
    policy.model.eval()
    arguments, size = sampling_arguments(1.0, 1.0), spec["micro_batch"]
    for start in range(0, len(order), size):
        places = order[start : start + size]
        with torch.no_grad():
            batch = [ids[place] for place in places]
            drawn = decode(policy.model, tokenizer, batch, spec["max_new_tokens"], limits.max_length, arguments)
        for place, answer in zip(places, drawn, strict=True):
            answers[place] = answer
    return answers, [Tokens(own, answer.ids) for own, answer in zip(ids, answers, strict=True)]


def _reward(prompts: Sequence[Any], answers: Sequence[Answer]) -> float:
    values = [reward(render_history(prompt), answer.text) for prompt, answer in zip(prompts, answers, strict=True)]
    return sum(values) / len(values)


def _spread(items: list[Any], most: int) -> list[Any]:
    """At most so many, evenly from first to last."""
    n = min(most, len(items))
    return [items[place * len(items) // n] for place in range(n)]
