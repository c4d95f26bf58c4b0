"""Proximal Policy Optimisation: advantages, targets and losses by hand, and what its two files differ in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from method_helpers import Method, close, gradients, of_shape, quick, random_batch, seeds, sizes

from methods import ppo, ppo_offline
from methods.contract import RolloutBatch

HALF = {"gamma": 0.5, "lam": 1.0, "kl_coef": 0.0}
RELEASED, REPAIRED = ppo_offline.Hparams(), ppo_offline.Hparams(is_repaired=True)


def rollout(values: list[float], rewards: list[float], mask: list[bool] | None = None) -> RolloutBatch:
    """One response; all policies give every token log-prob 0."""
    given_values, given_rewards = (torch.tensor([row], dtype=torch.float64) for row in (values, rewards))
    zeros = torch.zeros_like(given_values)
    keep = torch.tensor([mask or [True] * len(values)])
    return RolloutBatch(zeros, zeros, zeros, given_values, given_values, given_rewards, keep)


def test_discounted_sums_by_hand() -> None:
    """1, 2, 4 at ½: 1 + ½·2 + ¼·4 = 3, 2 + ½·4 = 4, 4. At 0 nothing of what follows counts."""
    amounts = torch.tensor([[1.0, 2, 4]], dtype=torch.float64)
    close(ppo.discounted_sums(amounts, 0.5), [[3, 4, 4]])
    close(ppo.discounted_sums(amounts, 0.0), [[1, 2, 4]])


def test_gae_by_hand() -> None:
    """γ = ½, values 1, 2, reward 4 at the end: δ = ½·2 - 1 = 0 and 4 - 2 = 2. λ = 1: 0 + ½·2 = 1 and 2; λ = 0: δ."""
    values, rewards = torch.tensor([[1.0, 2]]), torch.tensor([[0.0, 4]])
    close(ppo.gae(values, rewards, 0.5, 1.0).double(), [[1, 2]])
    close(ppo.gae(values, rewards, 0.5, 0.0).double(), [[0, 2]])


def test_targets_differ() -> None:
    """As above. ppo: advantage + value, 2 and 4. Released: later rewards only, 4 and 0. Repaired: all, 2 and 4."""
    batch = rollout([1, 2], [0, 4])
    close(ppo.advantages_and_targets(batch, ppo.Hparams(**HALF))[1], [[2, 4]])
    close(ppo_offline.advantages_and_targets(batch, replace(RELEASED, **HALF))[1], [[4, 0]])
    close(ppo_offline.advantages_and_targets(batch, replace(REPAIRED, **HALF))[1], [[2, 4]])


def test_the_kl_to_the_reference_is_part_of_the_reward_on_policy() -> None:
    """λ = 1, γ = 1, no values: the first token's target is the reward 1 less 0.5 · (log-ratios 2 + 0)."""
    batch = replace(rollout([0, 0], [0, 1]), old_logps=torch.tensor([[2.0, 0]], dtype=torch.float64))
    _, targets = ppo.advantages_and_targets(batch, ppo.Hparams(gamma=1.0, lam=1.0, kl_coef=0.5))
    close(targets, [[0, 1]])
    _, untouched = ppo_offline.advantages_and_targets(batch, replace(REPAIRED, gamma=1.0, lam=1.0, kl_coef=0.5))
    close(untouched, [[1, 1]])


@pytest.mark.parametrize(
    ("module", "hp", "up", "down"),
    [(ppo, ppo.Hparams(), 1.5, 0.5), (ppo_offline, REPAIRED, 1.5, 0.5), (ppo_offline, RELEASED, 2.0, 0.5)],
)
def test_the_clip_by_hand(module: Any, hp: Any, up: float, down: float) -> None:
    """c = ½, ratios e and 1/e. A good token is not paid for more than `up`, a bad one not for less than `down`."""
    batch = replace(rollout([0, 0], [0, 0]), policy_logps=torch.tensor([[1.0, -1]], dtype=torch.float64))
    advantages = torch.tensor([[1.0, -1]], dtype=torch.float64)
    losses, is_clipped = module.policy_losses(batch, advantages, hp)
    close(losses, [[-up, down]])
    assert is_clipped.tolist() == [[True, True]]
    assert not module.policy_losses(batch, -advantages, hp)[1].any()


def test_a_value_is_clipped_around_its_old_one_on_policy() -> None:
    """Old value 0, target 2, new value 1, clipped to 0.2: half of 1.8² is more than half of 1²."""
    batch = replace(rollout([0], [0]), values=torch.tensor([[1.0]], dtype=torch.float64))
    target = torch.tensor([[2.0]], dtype=torch.float64)
    close(ppo.value_losses(batch, target, ppo.Hparams()), [[0.5 * 1.8**2]])
    close(ppo_offline.value_losses(batch, target, RELEASED), [[0.5]])


def test_the_kl_term_pulls_likelihood_up_as_released_and_down_after_its_repair() -> None:
    """No reward, no values: what is left is ±0.1 · mean of (reference - policy), of gradient ∓0.1/2 a token."""
    for hp, sign in ((RELEASED, -1), (REPAIRED, 1)):
        method = Method("ppo_offline", ppo_offline, hp)
        close(gradients(method, rollout([0, 0], [0, 0]))[0], [[sign * 0.05, sign * 0.05]])


@quick
@given(seeds, sizes, sizes)
def test_the_mean_of_the_losses_is_the_mean_over_tokens(seed: int, m: int, n: int) -> None:
    for method in of_shape("rollout"):
        batch = random_batch(method, seed, m, n)
        module: Any = method.module
        tokens = module.token_losses(batch, *module.advantages_and_targets(batch, method.hp), method.hp)
        close(method.loss(batch).losses.mean(), tokens[batch.mask].mean())


@quick
@given(seeds, sizes, sizes)
def test_tokens_outside_the_response_have_no_influence(seed: int, m: int, n: int) -> None:
    for method in of_shape("rollout"):
        batch = random_batch(method, seed, m, n)
        names = ("policy_logps", "old_logps", "ref_logps", "values", "old_values", "rewards")
        other = replace(batch, **{name: getattr(batch, name).masked_fill(~batch.mask, 50.0) for name in names})
        close(method.loss(other).losses, method.loss(batch).losses)
        for before, after in zip(gradients(method, batch), gradients(method, other), strict=True):
            close(after, before)
            assert not before[~batch.mask].any()


def test_no_response_token_at_all_is_a_zero() -> None:
    """A rank whose responses were all cut away takes part in backward, with nothing to add."""
    for method in of_shape("rollout"):
        batch = rollout([1, 2], [0, 1], mask=[False, False])
        close(method.loss(batch).losses, [0])
        assert all(not gradient.any() for gradient in gradients(method, batch))
