"""Identity Preference Optimisation (Azar et al., 2023, arXiv:2310.12036).

Run as a baseline of Relative Preference Optimization, which writes it as its Eq. 5.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from methods.contract import LossOutput, Needs, PairedBatch

NAME = "ipo"
PAPER = "arXiv:2310.12036"
NEEDS = Needs(shape="paired", reference=True)


@dataclass(frozen=True, slots=True)
class Hparams:
    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the regularisation: the margin is drawn to 1/(2β). Paper: τ."""
    reduction: Literal["sum", "mean"] = "sum"
    """How a response's token log-probs become one number. sum: RPO's Eq. 5 and both released codes of its time
    (trainers.py:736-752), so that β = 0.1 asks for 5 nats a response; mean: per token, as HALOs HEAD and TRL."""


def loss(batch: PairedBatch, hp: Hparams) -> LossOutput:
    """Eq. 17; RPO's Eq. 5. Shapes: B preference pairs; log-probs are summed over completion tokens, in nats."""
    chosen = batch.policy_chosen_logps - batch.ref_chosen_logps  # (B,) log-ratio
    rejected = batch.policy_rejected_logps - batch.ref_rejected_logps  # (B,)
    if hp.reduction == "mean":
        chosen = chosen / batch.chosen_lengths.clamp(min=1)
        rejected = rejected / batch.rejected_lengths.clamp(min=1)
    losses = (chosen - rejected - 1 / (2 * hp.beta)) ** 2  # Eq. 17; RPO's Eq. 5
    return LossOutput(losses, hp.beta * chosen.detach(), hp.beta * rejected.detach())
