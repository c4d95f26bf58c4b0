"""Losses over all scored responses of a prompt: values by hand, identities, ragged rows, edge rules."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from method_helpers import (
    LOG_2,
    LOG_3,
    Method,
    close,
    each,
    gradients,
    of_shape,
    quick,
    random_batch,
    ranked,
    seeds,
    sizes,
)

from methods import dpo, infonca, nca, swepo
from methods.contract import PairedBatch, RankedBatch

RANKED = of_shape("ranked")
BEST_AGAINST_REST = swepo.Hparams(beta=0.01, group="1_vs_k", p=0)


def test_swepo_by_hand() -> None:
    """β = 1, scores 5, 3, 1: mean 3, so one positive; e^s is 3, 1, 1.

    p = 0: 3 of 5, log(5/3). p = 1: weights 2, 0, 2, the middle drops out: 6 of 8, log(4/3). p = 2: weights 4, 0, 4,
    log(4/3) again. exp with α = log 3 / 2: weights 3, 1, 3: 9 of 13.
    """
    batch = ranked([[LOG_3, 0, 0]], [[5, 3, 1]])
    for p, expected in ((0, math.log(5 / 3)), (1, math.log(4 / 3)), (2, math.log(4 / 3))):
        close(swepo.loss(batch, replace(swepo.Hparams(beta=1), p=p)).losses, [expected])
    output = swepo.loss(batch, swepo.Hparams(beta=1, weight="exp", alpha=LOG_3 / 2))
    close(output.losses, [math.log(13 / 9)])
    close(output.chosen_rewards, [LOG_3])
    close(output.rejected_rewards, [0])


def test_swepo_groups_by_hand() -> None:
    """Scores 4, 4, 1: mean 3, two positives; e^s is 3, 1, 1. k1_vs_k2: 4 of 5. 1_vs_k, the first of the tie: 3 of 5."""
    batch = ranked([[LOG_3, 0, 0]], [[4, 4, 1]])
    close(swepo.loss(batch, swepo.Hparams(beta=1, p=0)).losses, [math.log(5 / 4)])
    close(swepo.loss(batch, replace(BEST_AGAINST_REST, beta=1)).losses, [math.log(5 / 3)])


def test_infonca_by_hand() -> None:
    """β = 1, e^z is 3, 1. One-hot label: log(4/3). Scores 0 and log 3 at α = 1: labels 1/4, 3/4."""
    batch = ranked([[LOG_3, 0]], [[0, LOG_3]])
    close(infonca.loss(ranked([[LOG_3, 0]], [[1, 0]]), infonca.Hparams(beta=1)).losses, [math.log(4 / 3)])
    soft = infonca.Hparams(beta=1, temperature_alpha=1.0, first_bonus=0.0)
    close(infonca.loss(batch, soft).losses, [math.log(4 / 3) / 4 + 3 * math.log(4) / 4])


def test_infonca_breaks_a_tie_for_the_first() -> None:
    """0.01 / 1e-4 = 100 nats; without the bonus the label is even."""
    batch = ranked([[1, 2]], [[7, 7]])
    close(infonca.soft_labels(batch, infonca.Hparams()), [[1, 0]])
    close(infonca.soft_labels(batch, infonca.Hparams(first_bonus=0.0)), [[0.5, 0.5]])


def test_nca_by_hand() -> None:
    """β = 1, z = log 3 and 0, label on the first: -logσ(z_1) = log(4/3), noise (log 4 + log 2) / 2."""
    output = nca.loss(ranked([[LOG_3, 0]], [[1, 0]]), nca.Hparams(beta=1))
    close(output.losses, [math.log(4 / 3) + (math.log(4) + LOG_2) / 2])


@quick
@given(seeds, sizes, st.sampled_from(["k1_vs_k2", "1_vs_k"]))
def test_swepo_with_one_response_a_side_and_no_weight_is_dpo(seed: int, b: int, group: str) -> None:
    """-log(e^c / (e^c + e^r)) = -logσ(c - r). With two responses any power gives both the same weight."""
    generator = torch.Generator().manual_seed(seed)
    policy, reference = (-200 + 50 * torch.randn(b, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    mask, scores = torch.ones(b, 2, dtype=torch.bool), torch.tensor([[8.0, 3.0]]).repeat(b, 1)
    batch = RankedBatch(policy, reference, scores, mask, torch.ones(b, 2))
    sides = policy[:, 0], policy[:, 1], reference[:, 0], reference[:, 1], torch.ones(b), torch.ones(b)
    expected = dpo.loss(PairedBatch(*sides), dpo.Hparams(beta=0.1))
    for p in (0, 1, 2):
        found = swepo.loss(batch, replace(swepo.Hparams(beta=0.1), group=group, p=p))
        close(found.losses, expected.losses)
        close(found.chosen_rewards, expected.chosen_rewards)
        close(found.rejected_rewards, expected.rejected_rewards)


@quick
@given(seeds, sizes, sizes)
def test_infonca_at_its_defaults_is_swepo_of_the_best_against_the_rest(seed: int, m: int, n: int) -> None:
    """docs/protocol.md#infonca-and-nca: the label is one-hot, so both are -log softmax(z)[best] at equal β."""
    batch = best_first(random_batch(RANKED[0], seed, m, n))
    ours = infonca.loss(batch, infonca.Hparams())
    theirs = swepo.loss(batch, BEST_AGAINST_REST)
    close(ours.losses, theirs.losses)


@quick
@given(seeds, sizes)
def test_infonca_on_pairs_is_dpo(seed: int, b: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ratios = 10 * torch.randn(b, 2, generator=generator, dtype=torch.float64)
    losses = infonca.loss(ranked(ratios.tolist(), [[1, 0]] * b), infonca.Hparams(beta=0.1)).losses
    close(losses, -torch.nn.functional.logsigmoid(0.1 * (ratios[:, 0] - ratios[:, 1])))


def best_first(batch: RankedBatch) -> RankedBatch:
    """Responses by falling score, as in the released data set; absent ones stay last."""
    order = batch.scores.masked_fill(~batch.mask, -math.inf).argsort(dim=-1, descending=True)
    return reordered(batch, order)


def reordered(batch: RankedBatch, order: torch.Tensor) -> RankedBatch:
    return RankedBatch(*(getattr(batch, f.name).gather(-1, order) for f in fields(batch)))


@each(RANKED)
@quick
@given(seed=seeds, m=sizes, n=sizes)
def test_the_order_of_responses_is_of_no_account(method: Method, seed: int, m: int, n: int) -> None:
    """Save for the bonus on the first, which is taken away here."""
    if hasattr(method.hp, "first_bonus"):
        method = replace(method, hp=replace(method.hp, first_bonus=0.0))
    batch = random_batch(method, seed, m, n)
    order = torch.rand(batch.scores.shape, generator=torch.Generator().manual_seed(seed)).argsort(dim=-1)
    before, after = method.loss(batch), method.loss(reordered(batch, order))
    close(after.losses, before.losses)
    close(after.chosen_rewards, before.chosen_rewards)
    close(after.rejected_rewards, before.rejected_rewards)


@each(RANKED)
@quick
@given(seed=seeds, m=sizes, n=sizes)
def test_absent_responses_have_no_influence(method: Method, seed: int, m: int, n: int) -> None:
    """Each ragged row alone, without its padding, has the same loss and gradient; padding has gradient 0."""
    batch = random_batch(method, seed, m, n)
    (padded_gradient,) = gradients(method, batch)
    assert not padded_gradient[~batch.mask].any()
    together = method.loss(batch).losses
    for row in range(m):
        width = int(batch.mask[row].sum())
        alone = RankedBatch(*(getattr(batch, f.name)[row : row + 1, :width] for f in fields(batch)))
        close(method.loss(alone).losses, together[row : row + 1])
        close(gradients(method, alone)[0] / m, padded_gradient[row : row + 1, :width])


@quick
@given(seeds, sizes, st.floats(-1e3, 1e3))
def test_equal_scores_give_zero_loss_and_gradient_and_leave_the_mean(seed: int, n: int, score: float) -> None:
    """In every form, also where the mean of the scores is off by rounding; the other rows are as without it."""
    for method in (m for m in RANKED if m.module is swepo):
        batch = random_batch(method, seed, 3, n)
        scores = batch.scores.clone()
        scores[1] = score
        for precision in (torch.float32, torch.float64):
            level = replace(batch, scores=scores.to(precision))
            output = method.loss(level)
            assert output.valid is not None
            assert output.valid.tolist() == [True, False, True]
            assert output.losses[1] == 0
            (gradient,) = gradients(method, level)
            assert not gradient[1].any()
            close(output.losses[[0, 2]], method.loss(batch).losses[[0, 2]], rtol=1e-5)


@pytest.mark.parametrize("p", [1, 2])
def test_a_score_at_the_mean_drops_out_despite_rounding(p: int) -> None:
    """1.1, 1.2, 1.3, 1.2 have the mean 1.2, not so in floating point: the two responses at 1.2 weigh nothing."""
    hp = replace(swepo.Hparams(beta=1), p=p)
    for dtype in (torch.float32, torch.float64):
        scores = torch.tensor([[1.1, 1.2, 1.3, 1.2]], dtype=dtype)
        batch = replace(ranked([[0, 900, LOG_3, 900]], [[0, 0, 0, 0]]), scores=scores)
        close(swepo.loss(batch, hp).losses, [math.log(4 / 3)], rtol=1e-5)


@each(RANKED)
def test_one_response_alone(method: Method) -> None:
    """swepo: no positive, not valid. infonca: a softmax of one. nca: drawn to the reference, -logσ(z) - logσ(-z)."""
    batch = ranked([[2.0]], [[7.0]])
    output = method.loss(batch)
    (gradient,) = gradients(method, batch)
    if method.module is nca:
        z = torch.tensor([2.0 * method.hp.beta], dtype=torch.float64)
        close(output.losses, -torch.nn.functional.logsigmoid(torch.cat([z, -z])).sum(dim=0, keepdim=True))
    else:
        close(output.losses, [0])
        close(gradient, [[0]])
    close(output.rejected_rewards, [0])
    assert output.valid is None or not output.valid.any()
