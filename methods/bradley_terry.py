"""Bradley-Terry reward model, as in Relative Preference Optimization (Yin et al., 2024, arXiv:2402.10958).

Its policy emits one scalar score per response (`output="score"`): here `policy_chosen_logps` and
`policy_rejected_logps` hold scores r(x, y), not log-probs, and there is no reference.
"""

from dataclasses import dataclass

import torch.nn.functional as F

from methods.contract import LossOutput, Needs, PairedBatch

NAME = "bradley_terry"
PAPER = "arXiv:2402.10958"
NEEDS = Needs(shape="paired", reference=False, output="score")


@dataclass(frozen=True, slots=True)
class Hparams:
    """None: a scale of the scores is learned."""


def loss(batch: PairedBatch, hp: Hparams) -> LossOutput:
    """Eq. 2. Shapes: B preference pairs; scores without unit. The rewards are the scores themselves."""
    chosen, rejected = batch.policy_chosen_logps, batch.policy_rejected_logps  # (B,) r(x, y_w), r(x, y_l)
    losses = -F.logsigmoid(chosen - rejected)  # Eq. 2
    return LossOutput(losses, chosen.detach(), rejected.detach())
