"""Losses of a row or two whose value the docstring derives, for the methods on pairs and on single responses."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from method_helpers import LOG_2, LOG_3, close, paired, unpaired, without_pot

from methods import (
    bco,
    bradley_terry,
    cdpo,
    dpo,
    dpo_own_weight,
    ipo,
    kto,
    kto_simple,
    kto_zero,
    rpo_diagonal,
    rpo_integrated,
    rpo_ot,
    rpo_paired,
    rpo_uniform,
    rpo_unpaired,
    rpo_z,
    sft,
)

ORTHOGONAL = torch.eye(2, dtype=torch.float64)
TAU_3 = 1 / LOG_3
"""Orthogonal prompts are at distance 1: exp(-1/τ) = 1/3, and the weights of a row of two are 3/4 and 1/4."""


def test_sft_by_hand() -> None:
    """Two demonstrations of log-prob -3 and -5: losses 3 and 5, no rewards."""
    output = sft.loss(unpaired([-3, -5], []), sft.Hparams())
    close(output.losses, [3, 5])
    close(output.chosen_rewards, [0, 0])
    assert output.rejected_rewards.shape == (0,)


def test_bradley_terry_by_hand() -> None:
    """Scores log 3 and 0: σ(log 3) = 3/(3+1), so the loss is log(4/3). The rewards are the scores."""
    output = bradley_terry.loss(paired([LOG_3], [0]), bradley_terry.Hparams())
    close(output.losses, [math.log(4 / 3)])
    close(output.chosen_rewards, [LOG_3])


def test_dpo_by_hand() -> None:
    """β = 0.5, log-ratios log 3 and -log 3: z = 0.5 · 2 log 3 = log 3, σ(z) = 3/4, loss log(4/3)."""
    output = dpo.loss(paired([LOG_3], [-LOG_3]), dpo.Hparams(beta=0.5))
    close(output.losses, [math.log(4 / 3)])
    close(output.chosen_rewards, [LOG_3 / 2])
    close(output.rejected_rewards, [-LOG_3 / 2])


def test_dpo_own_weight_by_hand() -> None:
    """Own weights of 3/4 in both rows (TAU_3): log-ratios of 4/3 log 3 and 0 give z = log 3 and 0."""
    batch = paired([4 / 3 * LOG_3, 0], [0, 0], ORTHOGONAL)
    output = dpo_own_weight.loss(batch, dpo_own_weight.Hparams(beta=1, tau=TAU_3))
    close(output.losses, [math.log(4 / 3), LOG_2])
    close(output.chosen_rewards, [4 / 3 * LOG_3, 0])


def test_rpo_paired_by_hand() -> None:
    """Weights 3/4 and 1/4 (TAU_3). Row 1 has log-ratio 4 log 3 against zeros: z = 3 log 3 = log 27 and log 3,
    so its loss is the mean of log(28/27) and log(4/3). Row 2 has log-ratio 0: log 2.
    """
    batch = paired([4 * LOG_3, 0], [0, 0], ORTHOGONAL)
    output = rpo_paired.loss(batch, rpo_paired.Hparams(beta=1, tau=TAU_3))
    close(output.losses, [(math.log(28 / 27) + math.log(4 / 3)) / 2, LOG_2])


def test_rpo_unpaired_by_hand() -> None:
    """One chosen response against two rejected, the first of a like prompt: row 1 of the paired case."""
    batch = unpaired([4 * LOG_3], [0, 0], ORTHOGONAL[:1], ORTHOGONAL)
    output = rpo_unpaired.loss(batch, rpo_unpaired.Hparams(beta=1, tau=TAU_3))
    close(output.losses, [(math.log(28 / 27) + math.log(4 / 3)) / 2])
    close(output.rejected_rewards, [0, 0])


def test_rpo_uniform_by_hand() -> None:
    """Row 1 has log-ratio 2 log 3 against zeros. paper: z = ½ · 2 log 3 = log 3, loss log(4/3). code:
    z = log 9, loss log(10/9). Row 2 has log-ratio 0: log 2 in both.
    """
    batch = paired([2 * LOG_3, 0], [0, 0])
    close(rpo_uniform.loss(batch, rpo_uniform.Hparams(beta=1)).losses, [math.log(4 / 3), LOG_2])
    code = rpo_uniform.Hparams(beta=1, reading="code")
    close(rpo_uniform.loss(batch, code).losses, [math.log(10 / 9), LOG_2])


def test_rpo_diagonal_by_hand() -> None:
    """α = 0.75, two pairs, log-ratios (4 log 3, 0) against zeros.

    paper: z = ¾ · 4 log 3 = log 27 on the diagonal and ¼ · 4 log 3 = log 3 beside it, so the loss is the
    mean of log(28/27) and log(4/3).
    code, log-ratios (log 3, 0) against (0, log 3): row 1 is ¾ · log(4/3) + ¼ · log 2, row 2 is
    ¾ · log 4 + ¼ · log 2, as -log σ(-log 3) = log 4.
    """
    paper = rpo_diagonal.Hparams(beta=1, alpha=0.75)
    by_hand = [(math.log(28 / 27) + math.log(4 / 3)) / 2, LOG_2]
    close(rpo_diagonal.loss(paired([4 * LOG_3, 0], [0, 0]), paper).losses, by_hand)
    code = replace(paper, reading="code")
    by_hand = [0.75 * math.log(4 / 3) + 0.25 * LOG_2, 0.75 * math.log(4) + 0.25 * LOG_2]
    close(rpo_diagonal.loss(paired([LOG_3, 0], [0, LOG_3]), code).losses, by_hand)


def test_rpo_paired_with_the_distance_of_eq_10_as_printed_favours_unlike_prompts() -> None:
    """d = cos: a prompt is at distance 1 to itself and 0 to the other, so the weights 3/4 and 1/4 change places."""
    eye = torch.eye(2, dtype=torch.float64)
    weights = rpo_paired.contrast_weights(eye, rpo_paired.Hparams(tau=TAU_3, distance="cos"))
    close(weights, [[0.25, 0.75], [0.75, 0.25]])


def test_ipo_by_hand() -> None:
    """β = 0.1 wants a margin of 5 nats. Sums 6 and -2: (8 - 5)² = 9. Means of 2 and 1 tokens: (3 + 2 - 5)² = 0."""
    batch = replace(paired([6], [-2]), chosen_lengths=torch.tensor([2]))
    close(ipo.loss(batch, ipo.Hparams()).losses, [9])
    output = ipo.loss(batch, ipo.Hparams(reduction="mean"))
    close(output.losses, [0])
    close(output.chosen_rewards, [0.3])


def test_cdpo_by_hand() -> None:
    """z = log 3: σ(z) = 3/4 with probability 0.8, 1/4 with 0.2. Without smoothing it is DPO."""
    batch = paired([LOG_3], [0])
    close(cdpo.loss(batch, cdpo.Hparams(beta=1)).losses, [0.8 * math.log(4 / 3) + 0.2 * math.log(4)])
    close(cdpo.loss(batch, cdpo.Hparams(beta=1, label_smoothing=0)).losses, [math.log(4 / 3)])


def test_kto_by_hand() -> None:
    """β = 1 and a reference point of (2 log 3 + 0)/2 = log 3. Chosen at 2 log 3: 1 - σ(log 3) = 1/4. Rejected at 0:
    1 - σ(log 3) = 1/4. As run by two ranks the point is log 3 / 2: at twice that, 1 - σ(log 3 / 2).
    """
    batch = unpaired([2 * LOG_3], [0], mismatched=[2 * LOG_3, 0])
    output = kto.loss(batch, kto.Hparams(beta=1, undesirable_weight=2))
    close(output.losses, [0.25, 0.5])
    close(output.chosen_rewards, [2 * LOG_3])
    code = kto.Hparams(beta=1, reading="code", world_size=2)
    close(kto.reference_point(batch, code), LOG_3 / 2)
    close(kto.loss(batch, code).losses[1:], [1 / (1 + math.sqrt(3))])


def test_kto_reference_point_is_not_below_0_and_has_no_gradient() -> None:
    batch = unpaired([0], [0], mismatched=[-3, 1])
    ratios = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    close(kto.reference_point(batch, kto.Hparams()), 0)
    assert not kto.reference_point(replace(batch, policy_mismatched_logps=ratios), kto.Hparams()).requires_grad


def test_kto_simple_by_hand() -> None:
    """β = 1. Chosen log 3 against the rejected's mean of 0: 1/4. Rejected 0 against the chosen's log 3: 1/4."""
    close(kto_simple.loss(unpaired([LOG_3], [0]), kto_simple.Hparams(beta=1)).losses, [0.25, 0.25])


def test_kto_zero_by_hand() -> None:
    """β = 1 and 0 as reference point. Chosen at log 3: 1/4; rejected at log 3: 1 - σ(-log 3) = 3/4."""
    close(kto_zero.loss(unpaired([LOG_3], [LOG_3]), kto_zero.Hparams(beta=1)).losses, [0.25, 0.75])


def test_bco_by_hand() -> None:
    """β = 1, δ = log 3: a chosen reward of 2 log 3 gives log(4/3), a rejected one of log 3 is at δ: log 2."""
    close(bco.loss(unpaired([2 * LOG_3], [LOG_3]), bco.Hparams(beta=1, delta=LOG_3)).losses, [math.log(4 / 3), LOG_2])


def test_rpo_integrated_by_hand() -> None:
    """As rpo_unpaired, with embeddings of prompt and response."""
    eye = torch.eye(2, dtype=torch.float64)
    batch = unpaired([4 * LOG_3], [0, 0], eye[:1], eye)
    output = rpo_integrated.loss(batch, rpo_integrated.Hparams(beta=1, tau=TAU_3))
    close(output.losses, [(math.log(28 / 27) + math.log(4 / 3)) / 2])


def test_rpo_z_by_hand() -> None:
    """Level log-ratios, weights 3/4 and 1/4, log Z of 4 log 3 and 0 (a constant reward c gives c/β): on the
    diagonal Z cancels, beside it z = ± log 3: log(4/3) for the first prompt, log 4 for the second.
    """
    rewards = torch.tensor([[4 * LOG_3] * 3, [0] * 3], dtype=torch.float64)
    batch = replace(paired([0, 0], [0, 0], ORTHOGONAL), reference_rewards=rewards)
    output = rpo_z.loss(batch, rpo_z.Hparams(beta=1, tau=TAU_3))
    close(output.losses, [(LOG_2 + math.log(4 / 3)) / 2, (LOG_2 + math.log(4)) / 2])
    close(output.chosen_rewards, [0, 0])


def test_rpo_z_with_equal_z_is_rpo_paired() -> None:
    batch = paired([3, -1], [2, 0.5], ORTHOGONAL)
    with_z = replace(batch, reference_rewards=torch.full((2, 3), 7.0, dtype=torch.float64))
    close(rpo_z.loss(with_z, rpo_z.Hparams()).losses, rpo_paired.loss(batch, rpo_paired.Hparams()).losses)


def test_log_z_is_estimated_from_samples_of_the_reference() -> None:
    """β = 0.5, rewards 0 and ½ log 3: exp(r/β) is 1 and 3, their mean 2. A constant reward c gives c/β."""
    rewards = torch.tensor([[0, LOG_3 / 2], [7.0, 7.0]], dtype=torch.float64)
    close(rpo_z.estimate_log_z(rewards, beta=0.5), [LOG_2, 14])


def sinkhorn(costs: torch.Tensor, tau: float, n_steps: int = 500) -> torch.Tensor:
    """The plan of uniform masses by plain alternating scaling, times the number of rows."""
    plan = (-costs / tau).exp()
    for _ in range(n_steps):
        plan = plan / plan.sum(dim=0, keepdim=True) * costs.shape[0] / costs.shape[1]
        plan = plan / plan.sum(dim=1, keepdim=True)
    return plan


@without_pot
@pytest.mark.parametrize(("m", "n", "tau"), [(4, 4, 0.75), (3, 5, 0.75), (5, 2, 0.2), (1, 3, 0.75)])
def test_rpo_ot_weights_are_a_transport_plan(m: int, n: int, tau: float) -> None:
    """Rows sum to 1, columns to M/N, and the plan is that of alternating scaling."""
    generator = torch.Generator().manual_seed(1)
    rows, columns = (torch.randn(size, 6, generator=generator, dtype=torch.float64) for size in (m, n))
    weights = rpo_ot.transport_weights(rows, columns, tau)
    close(weights.sum(dim=1), [1.0] * m)
    close(weights.sum(dim=0), [m / n] * n, rtol=1e-6)
    unit = [torch.nn.functional.normalize(side, dim=-1) for side in (rows, columns)]
    close(weights, sinkhorn(1 - unit[0] @ unit[1].T, tau), rtol=1e-6)


@without_pot
def test_rpo_ot_by_hand() -> None:
    """Two like and two unlike pairs of prompts: the plan is symmetric, so its rows are rpo_unpaired's."""
    batch = unpaired([4 * LOG_3, 0], [0, 0], ORTHOGONAL, ORTHOGONAL)
    output = rpo_ot.loss(batch, rpo_ot.Hparams(beta=1, tau=TAU_3))
    close(output.losses, [(math.log(28 / 27) + math.log(4 / 3)) / 2, LOG_2])


def test_rpo_diagonal_code_of_one_pair_is_nan() -> None:
    """As the release: the mean over no other pair. It must not turn into a number unseen."""
    output = rpo_diagonal.loss(paired([1], [0]), rpo_diagonal.Hparams(reading="code"))
    assert output.losses.isnan().all()
