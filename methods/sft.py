"""Supervised fine-tuning on chosen responses, the start of every run of Relative Preference Optimization
(Yin et al., 2024, arXiv:2402.10958, section 4.1).

`rows="demonstrations"` asks the trainer for the first chosen response of each unique prompt.
"""

from dataclasses import dataclass

import torch

from methods.contract import LossOutput, Needs, UnpairedBatch

NAME = "sft"
PAPER = "arXiv:2402.10958"
NEEDS = Needs(shape="unpaired", reference=False, rows="demonstrations")


@dataclass(frozen=True, slots=True)
class Hparams:
    """None: the likelihood has no knob."""


def loss(batch: UnpairedBatch, hp: Hparams) -> LossOutput:
    """Negative log-likelihood of M demonstrations, in nats, summed over completion tokens.

    Not divided by the length, as the released code (trainers.py:557-567): long responses weigh more. There is
    no reference, so the rewards are zeros.
    """
    losses = -batch.policy_chosen_logps  # (M,) −log π(y|x); section 4.1, trainers.py:559
    return LossOutput(losses, torch.zeros_like(losses), torch.zeros_like(batch.policy_rejected_logps))
