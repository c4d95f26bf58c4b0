"""What the ranks of test_ranks.py do: `torchrun … rank_jobs.py JOB OUT`; each job leaves a file, or files, in OUT.

Run without torchrun, the same code is the single process that they are compared with.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn
from train_helpers import LIMITS, OF_DATA, inputs_for, learner_of, make_policy, method_of, settings, tokenizer, weights

from methods.contract import Needs
from prefrepro.model.batches import Inputs, Rows, make_batch, sequences_of
from prefrepro.model.examples import Pairs, Tokens
from prefrepro.model.learner import Objective, gradient_step
from prefrepro.model.load import device
from prefrepro.model.respond import responder
from prefrepro.model.training import Training
from prefrepro.specs.runtime import Engine, Runtime
from prefrepro.train import run
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import train
from prefrepro.train.ranks import Ranks, joined
from prefrepro.train.sharded import Sharded, whole_weights

UNEQUAL = Rows([0, 1, 2, 3, 4], [7, 8])
LOSSES: dict[str, tuple[str, dict[str, Any], Rows, int]] = {
    "paired, one matrix": ("rpo_paired", {}, Rows(list(range(8)), list(range(8))), 8),
    "paired, as one GPU of several": ("rpo_paired", {}, Rows(list(range(8)), list(range(8))), 2),
    "paired, the last matrix smaller": ("rpo_paired", {}, Rows(list(range(7)), list(range(7))), 3),
    "unpaired": ("rpo_unpaired", {}, UNEQUAL, 8),
    "unpaired, nothing rejected": ("rpo_unpaired", {}, Rows([0, 1, 2], []), 8),
    "unpaired, one row for all ranks": ("rpo_unpaired", {}, Rows([0], []), 8),
    "kto": ("kto", {}, Rows.mixed([0, 3, 5, 6, 9, 11, 12]), 7),
    "kto, as released": ("kto", {"reading": "code", "world_size": 4}, Rows.mixed([0, 3, 5, 6, 9, 11, 12, 15]), 2),
    "groups of four": ("swepo", {}, Rows([0, 1, 2], []), 8),
}
"""Name -> method, hyper-parameters, the rows of a step, contrast_size."""
WITHOUT_CONTRAST = ("unpaired, nothing rejected", "unpaired, one row for all ranks")
MODELS: dict[str, dict[str, Any]] = {
    "tied": {"num_hidden_layers": 2},
    "untied": {"num_hidden_layers": 2, "tie_word_embeddings": False},
    "padded": {"num_hidden_layers": 2, "layout": "padded"},
}


def gradients(name: str, model: str, ranks: Ranks | None) -> dict[str, torch.Tensor]:
    """Loss and gradients of one step in float64."""
    method_name, hparams, rows, contrast_size = LOSSES[name]
    method = method_of(method_name)
    policy = make_policy(**MODELS[model])
    if ranks:
        Sharded(policy, ranks, None)
    training = Training(**settings(contrast_size=contrast_size, micro_batch=4))
    parameters = list(policy.model.parameters())
    inputs, hp = near_inputs(method.NEEDS), method.Hparams(**hparams)
    objective = Objective(method.loss, hp, method.NEEDS)
    found = gradient_step(rows, inputs, objective, policy, parameters, training, ranks.size if ranks else 1)
    named = {key: whole(value.grad) for key, value in policy.model.named_parameters()}
    return {"loss": torch.tensor(found[0], dtype=torch.float64), **named}


def near_inputs(needs: Needs) -> Inputs:
    """Reference log-probs near the policy's own, where no sigmoid is saturated."""
    inputs, policy, noise = inputs_for(needs), make_policy(**MODELS["tied"]), torch.Generator().manual_seed(3)

    def near(pairs: Pairs) -> torch.Tensor:
        found = policy.score_pairs(pairs, 16)
        return found + 3 * torch.randn(found.shape, generator=noise)

    if inputs.groups is not None:
        found = policy.score_all(inputs.groups.flat, 16)
        return dataclasses.replace(inputs, reference=found.view(len(inputs.groups.responses), -1) + 3)
    partners = near(inputs.mismatched) - 5 if inputs.mismatched else None  # KTO's estimate is not below 0
    return dataclasses.replace(inputs, reference=near(inputs.pairs), mismatched_reference=partners)


def whole(tensor: Any) -> torch.Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def losses(ranks: Ranks | None, out: Path) -> None:
    every = {f"{name} / tied": gradients(name, "tied", ranks) for name in LOSSES}
    first = next(iter(LOSSES))
    every |= {f"{first} / {model}": gradients(first, model, ranks) for model in MODELS if model != "tied"}
    write(ranks, out / "gradients.pt", every)


def as_released(ranks: Ranks | None, out: Path) -> None:
    """KTO with the lines of the release (trainers.py:924-974) on each rank: its all-reduce returns what it drops."""
    assert ranks is not None
    method = method_of("kto")
    inputs, policy = near_inputs(method.NEEDS), make_policy(**MODELS["tied"])
    size = 8 // ranks.size
    rows = Rows.mixed([0, 3, 5, 6, 9, 11, 12, 15])
    own = list(rows.groups(size))[ranks.rank]
    batch: Any = make_batch(own, policy(sequences_of(own, inputs, method.NEEDS)), inputs, method.NEEDS)
    intended = ranks.gather(method.loss(batch, method.Hparams()).losses.mean().detach())
    kl = (batch.policy_mismatched_logps - batch.ref_mismatched_logps).mean().detach().clamp(min=0)
    torch.distributed.nn.all_reduce(kl, op=dist.ReduceOp.SUM)
    kl = kl / ranks.size
    chosen = batch.policy_chosen_logps - batch.ref_chosen_logps
    rejected = batch.policy_rejected_logps - batch.ref_rejected_logps
    parts = torch.cat([1 - torch.sigmoid(0.1 * (chosen - kl)), 1 - torch.sigmoid(0.1 * (kl - rejected))])
    loss = torch.stack(ranks.gather(parts.mean().detach())).mean()
    read = Training(**settings(contrast_size=size, micro_batch=8))
    hp = method.Hparams(reading="code", world_size=ranks.size)
    Sharded(policy, ranks, None)
    objective = Objective(method.loss, hp, method.NEEDS)
    mine, _ = gradient_step(rows, inputs, objective, policy, list(policy.model.parameters()), read, ranks.size)
    write(
        ranks,
        out / "released.pt",
        {"released": float(loss), "ours": mine, "intended": float(torch.stack(intended).mean())},
    )


def trained(ranks: Ranks | None, out: Path, name: str = "rpo_paired", **changes: Any) -> None:
    """Six steps of two contrast matrices each, with a checkpoint after each second; `stop_at`: none after that.

    `asked`, by rank: how many prompts each call of the model answered.
    """
    method, dtype, respond = method_of(name), changes.pop("model_dtype", torch.float64), None
    asked: list[int] = []
    policy, stop_at = make_policy(dtype=dtype, num_hidden_layers=2), changes.pop("stop_at", None)
    policy.model.to(device())
    judge = make_policy(dtype=dtype, output="score", num_hidden_layers=2)
    if "rollout" in changes and changes["rollout"].responses == "policy":

        def score(sequences: Sequence[Tokens]) -> torch.Tensor:
            return judge.score_all(sequences, 4).round(decimals=3)

        respond = responder(policy.model, tokenizer(), score, LIMITS.max_length, 6, 3)
        policy.model.generate = lambda generate=policy.model.generate, **given: (
            asked.append(len(given["input_ids"])) or generate(**given)
        )
    training = Training(**settings(**{"max_steps": 6, "epochs": 9.0, "checkpoint_every": 2} | changes))

    def on_log(metrics: list[dict[str, float]]) -> None:
        if metrics[-1]["step"] == stop_at:
            raise KeyboardInterrupt

    learner = learner_of(policy, method, training, respond=respond)
    if respond:
        learner.frozen.append(judge)
    try:
        outcome = train(
            learner,
            CheckpointStore(out / "checkpoints"),
            evaluate=lambda: float(policy.score_all(inputs_for(method.NEEDS).pairs.chosen[:3], 2).sum()),
            on_log=on_log,
            ranks=ranks,
        )
    except KeyboardInterrupt:
        return
    found = whole_weights(policy.model) if ranks else weights(policy)
    every = ranks.gather(asked) if ranks else [asked]
    write(ranks, out / "outcome.pt", {"outcome": dataclasses.asdict(outcome), "weights": found, "asked": every})


def aligned(out: Path) -> None:
    """A whole run as a node of the DAG, from the folder that the test has made."""
    content = json.loads((out / "node.json").read_text(encoding="utf-8"))
    inputs = {role: Path(folder) for role, folder in content["inputs"].items()}
    run.align(content["spec"], inputs, out / "runs" / "run", Runtime(Engine(**content["engine"])))


def write(ranks: Ranks | None, path: Path, content: Any) -> None:
    if ranks is None or ranks.is_first:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, path)


JOBS: dict[str, Callable[[Ranks | None, Path], None]] = {
    "losses": losses,
    "as_released": as_released,
    "train": trained,
    "train_part": lambda ranks, out: trained(ranks, out, stop_at=5),
    "train_ppo": lambda ranks, out: trained(ranks, out, "ppo", rollout=OF_DATA, max_grad_norm=0.5),
    "train_sampled": lambda ranks, out: trained(
        ranks, out, "ppo", rollout=dataclasses.replace(OF_DATA, responses="policy", ppo_epochs=2, minibatches=2)
    ),
    "resume": trained,
    "train_mixed": lambda ranks, out: trained(
        ranks, out, model_dtype=torch.float32, compute_dtype="bfloat16", optimizer="adamw"
    ),
}


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "aligned":  # joins by itself
        aligned(Path(sys.argv[2]) / "aligned")
        sys.exit()
    with joined(is_wanted=False) as all_ranks:
        for argument in sys.argv[1].split(","):
            JOBS[argument](all_ranks, Path(sys.argv[2]) / argument)
