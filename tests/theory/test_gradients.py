"""Swepo's gradient formulas against autograd of the real losses, and formulas that are wrong on purpose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from methods import infonca, swepo
from prefrepro.studies.theory import formulas
from prefrepro.studies.theory.formulas import Array
from prefrepro.studies.theory.gradients import (
    WEIGHTS,
    Gradients,
    claims,
    gradient,
    infonca_gradients,
    infonca_hparams,
    swepo_gradients,
    swepo_hparams,
)

quick = settings(max_examples=30)
numbers = st.floats(-20, 20, allow_subnormal=False)


@st.composite
def prompts(draw: st.DrawFn) -> tuple[Array, Array]:
    """Scores and rewards of up to three prompts with up to seven responses; whole rewards, so that some tie."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(2, 7)))
    rewards = draw(arrays(np.float64, shape, elements=st.integers(0, 10).map(float)))
    assume(bool((np.ptp(rewards, axis=1) > 0).all()))
    return draw(arrays(np.float64, shape, elements=numbers)), rewards


def agreement(of_infonca: Gradients, of_swepo: Gradients) -> dict[str, str]:
    return {claim.claim: claim.agrees for claim in claims(of_infonca, of_swepo, 0)}


@quick
@given(prompts(), st.sampled_from([0.3, 1.0, 7.0]))
def test_infonca_gradient_is_model_minus_target(drawn: tuple[Array, Array], alpha: float) -> None:
    s, rewards = drawn
    measured = gradient(infonca.loss, infonca_hparams(alpha), rewards, s)
    np.testing.assert_allclose(measured, formulas.infonca_gradient(s, formulas.target(rewards, alpha)), atol=1e-12)
    np.testing.assert_allclose(measured.sum(axis=1), 0, atol=1e-12)


@quick
@given(prompts(), st.sampled_from(WEIGHTS))
def test_swepo_gradient_is_weighted_share_minus_positive_share(
    drawn: tuple[Array, Array], setting: tuple[str, str, float]
) -> None:
    s, rewards = drawn
    group, weight, strength = setting
    positive = formulas.positives(rewards, group)
    measured = gradient(swepo.loss, swepo_hparams(group, weight, strength), rewards, s)
    weights = formulas.deviation_weights(rewards, weight, strength)
    np.testing.assert_allclose(measured, formulas.swepo_gradient(s, weights, positive), atol=1e-10)
    assert (measured[positive] <= 1e-12).all() and (measured[~positive] >= -1e-12).all()


def test_the_formulas_of_the_text_agree() -> None:
    found = agreement(infonca_gradients(1), swepo_gradients(1))
    assert found["Lemma 1/5"] == found["Lemma 2/6"] == "yes"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s, p_target: p_target - formulas.softmax(s),
        lambda s, p_target: 1.001 * formulas.infonca_gradient(s, p_target),
        lambda s, p_target: formulas.softmax(s) - formulas.softmax(p_target),
    ],
)
def test_a_wrong_infonca_formula_is_caught(wrong: object) -> None:
    found = agreement(infonca_gradients(1, wrong), swepo_gradients(1))  # pyright: ignore[reportArgumentType]
    assert (found["Lemma 1/5"], found["Lemma 2/6"]) == ("no", "yes")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s, weights, positive: -formulas.swepo_gradient(s, weights, positive),
        lambda s, weights, positive: formulas.swepo_gradient(s, np.ones_like(weights), positive),
        # Eq. 6 read without the modulus: weights fall with a negative's distance
        lambda s, weights, positive: formulas.swepo_gradient(s, np.where(positive, weights, 1 / weights), positive),
    ],
)
def test_a_wrong_swepo_formula_is_caught(wrong: object) -> None:
    found = agreement(infonca_gradients(1), swepo_gradients(1, wrong))  # pyright: ignore[reportArgumentType]
    assert (found["Lemma 1/5"], found["Lemma 2/6"]) == ("yes", "no")
