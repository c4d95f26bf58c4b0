"""Write a new method file: minimal, working, passing `prefrepro check`, for its author to change.

Knows nothing of torch: what is written is text.
"""

from __future__ import annotations

import keyword
import re

from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.specs.method import method_names

PAIRED = '''"""{name}: ours, so far Direct Preference Optimization (Rafailov et al., 2023, arXiv:2305.18290)."""

from dataclasses import dataclass
from typing import Annotated

import torch.nn.functional as F

from methods.contract import LossOutput, Needs, PairedBatch

NAME = "{name}"
PAPER = "ours"
NEEDS = Needs(shape="paired", reference=True)


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""


def loss(batch: PairedBatch, hp: Hparams) -> LossOutput:
    """-logσ(β · margin). Shapes: B preference pairs; log-probs are summed over completion tokens, in nats."""
    chosen = batch.policy_chosen_logps - batch.ref_chosen_logps  # (B,) log-ratio
    rejected = batch.policy_rejected_logps - batch.ref_rejected_logps  # (B,)
    losses = -F.logsigmoid(hp.beta * (chosen - rejected))
    return LossOutput(losses, hp.beta * chosen.detach(), hp.beta * rejected.detach())
'''

UNPAIRED = '''"""{name}: ours, so far a logistic regression of the label on the reward, without pairs."""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F

from methods.contract import LossOutput, Needs, UnpairedBatch

NAME = "{name}"
PAPER = "ours"
NEEDS = Needs(shape="unpaired", reference=True, rows="mixed")


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""


def loss(batch: UnpairedBatch, hp: Hparams) -> LossOutput:
    """-logσ(±β · log-ratio). Shapes: M chosen, N rejected, either may be 0; losses in this order, in nats."""
    chosen = hp.beta * (batch.policy_chosen_logps - batch.ref_chosen_logps)  # (M,) reward
    rejected = hp.beta * (batch.policy_rejected_logps - batch.ref_rejected_logps)  # (N,)
    losses = -F.logsigmoid(torch.cat([chosen, -rejected]))  # (M + N,)
    return LossOutput(losses, chosen.detach(), rejected.detach())
'''

RANKED = '''"""{name}: ours, so far InfoNCA, noise contrastive alignment (Chen et al., 2024, arXiv:2402.05369)."""

from dataclasses import dataclass
from typing import Annotated

from methods.contract import LossOutput, Needs, RankedBatch

NAME = "{name}"
PAPER = "ours"
NEEDS = Needs(shape="ranked", reference=True, rows="groups")


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""
    temperature: Annotated[float, "> 0"] = 1.0
    """Divides the scores: the lower, the more the best response counts alone."""


def loss(batch: RankedBatch, hp: Hparams) -> LossOutput:
    """Cross-entropy of softmax(rewards) to softmax(scores). Shapes: B prompts with up to K responses, in nats.

    A row with one response has nothing to tell apart: zero loss and gradient.
    """
    nothing = ~batch.mask  # (B, K) where there is no response
    targets = (batch.scores / hp.temperature).masked_fill(nothing, float("-inf")).softmax(dim=-1)
    rewards = hp.beta * batch.log_ratios()  # (B, K), 0 where there is none
    shares = rewards.masked_fill(nothing, float("-inf")).log_softmax(dim=-1).masked_fill(nothing, 0)
    return LossOutput(-(targets * shares).sum(dim=-1), *batch.best_and_rest(rewards))
'''

TEMPLATES = {"paired": PAIRED, "unpaired": UNPAIRED, "ranked": RANKED}
SHAPES = tuple(TEMPLATES)
TABLES = {
    "paired": ("paper_tables/rpo/table1.yaml", "table1"),
    "unpaired": ("paper_tables/rpo/table1.yaml", "table1"),
    "ranked": ("paper_tables/swepo/embedded_methods.yaml", "swepo_embedded_methods"),
}
"""A table whose data fit, and its target"""


def new_method(name: str, shape: str) -> str:
    """Write methods/<name>.py; returns what to do next. Raises UserError for a name that cannot be, or is taken."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        plain = re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")
        hint = f" Did you mean {plain}?" if re.fullmatch("[a-z][a-z0-9_]*", plain) and plain != name else ""
        raise UserError(
            f'"{name}" is no name for a method. Expected a Python name in snake_case, such as my_dpo.{hint}'
        )
    path = ROOT / "methods" / f"{name}.py"
    if path.exists():
        known = f"Known: {', '.join(method_names())}."
        raise UserError(f"methods/{name}.py exists already and stays as it is. Choose another name. {known}")
    path.write_text(TEMPLATES[shape].format(name=name), encoding="utf-8")
    table, target = TABLES[shape]
    return f"""wrote methods/{name}.py, which works as it is. Next:
  change its loss, docstrings and PAPER, then
    prefrepro check methods/{name}.py
  add a row to the rows of a table spec, such as {table}:
    {name.replace("_", "-")}: {{label: {name}, method: {name}, hparams: {{beta: 0.1}}}}
  see what it adds, and run that:
    snakemake -n {target}
    snakemake {target}"""
