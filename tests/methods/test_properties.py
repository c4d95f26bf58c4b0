"""What must hold of every loss: identities between methods, symmetries, gradients, extremes, precision."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from method_helpers import (
    DPO,
    LOG_2,
    METHODS,
    Method,
    close,
    converted,
    each,
    gradients,
    leaf_names,
    of_shape,
    quick,
    random_batch,
    seeds,
    sizes,
)
from torch import Tensor

from methods import (
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
)
from methods.contract import PairedBatch

MATRICES = (rpo_paired, rpo_unpaired, rpo_integrated, rpo_uniform, rpo_diagonal, rpo_ot)
LOGISTIC = [m for m in METHODS if m.module in (bradley_terry, dpo, dpo_own_weight, cdpo, *MATRICES)]
"""Those whose loss is a mean of -logsigmoid of multiples of margins."""


@quick
@given(seeds, sizes)
def test_rpo_diagonal_with_alpha_1_is_dpo(seed: int, b: int) -> None:
    """code: row by row. paper: M - 1 others weigh 0 and add log 2 each: M · loss = DPO + (M - 1) log 2."""
    batch = random_batch(DPO, seed, b, b)
    expected = DPO.loss(batch).losses
    code = Method("code", rpo_diagonal, rpo_diagonal.Hparams(alpha=1.0, reading="code"))
    close(code.loss(batch).losses, expected)
    paper = Method("paper", rpo_diagonal, rpo_diagonal.Hparams(alpha=1.0, reading="paper"))
    close(b * paper.loss(batch).losses, expected + (b - 1) * LOG_2)
    for ours, theirs in zip(gradients(paper, batch), gradients(DPO, batch), strict=True):
        close(b * ours, theirs)


@quick
@given(seeds, sizes)
def test_rpo_paired_at_tau_0_has_the_gradient_of_dpo(seed: int, b: int) -> None:
    """Distinct prompts: every weight but a pair's own goes to 0, and the mean over j leaves 1/N."""
    batch = replace(random_batch(DPO, seed, b, b), embeddings=torch.eye(b, 6, dtype=torch.float64) + 0.3)
    cold = Method("cold", rpo_paired, rpo_paired.Hparams(tau=1e-3))
    for ours, theirs in zip(gradients(cold, batch), gradients(DPO, batch), strict=True):
        close(b * ours, theirs)


@quick
@given(seeds, sizes)
def test_one_pair_is_dpo(seed: int, b: int) -> None:
    """A matrix of one pair has the one weight 1 (rpo_diagonal keeps α, tested against the golden vectors)."""
    batch = random_batch(DPO, seed, 1, 1)
    for method in METHODS:
        if method.module in (rpo_paired, rpo_uniform):
            close(method.loss(batch).losses, DPO.loss(batch).losses)


@quick
@given(seeds, sizes, st.floats(0.1, 2.0))
def test_the_control_is_dpo_at_the_mean_own_weight_of_rpo_paired(seed: int, b: int, tau: float) -> None:
    """τ → 0 with distinct prompts: DPO at β; like prompts: DPO at β/B; between, the diagonal of RPO's own weights."""
    batch = random_batch(DPO, seed, b, b)

    def dpo_at(beta: float) -> Tensor:
        return dpo.loss(batch, dpo.Hparams(beta=beta)).losses

    distinct = replace(batch, embeddings=torch.eye(b, 6, dtype=torch.float64) + 0.3)
    close(dpo_own_weight.loss(distinct, dpo_own_weight.Hparams(tau=1e-3)).losses, dpo_at(0.1))
    alike = replace(batch, embeddings=torch.ones(b, 6, dtype=torch.float64))
    close(dpo_own_weight.loss(alike, dpo_own_weight.Hparams(tau=tau)).losses, dpo_at(0.1 / b))
    assert batch.embeddings is not None
    weights = rpo_paired.contrast_weights(batch.embeddings, rpo_paired.Hparams(tau=tau))
    found = dpo_own_weight.loss(batch, dpo_own_weight.Hparams(tau=tau))
    close(found.losses, dpo_at(0.1 * float(weights.diagonal().mean())))


def moved(batch: Any, rows: Tensor, columns: Tensor) -> Any:
    """The batch with its rows, and the rejected ones where they are apart, in another order."""
    values = {f.name: getattr(batch, f.name) for f in fields(batch)}
    apart = "rejected" if not isinstance(batch, PairedBatch) else " "
    kept = {k: v for k, v in values.items() if v is not None and "mismatched" not in k}
    return replace(batch, **{k: v[columns if apart in k else rows] for k, v in kept.items()})


@each(METHODS)
@quick
@given(seed=seeds, m=sizes, n=sizes)
def test_permuting_the_batch_permutes_the_losses(method: Method, seed: int, m: int, n: int) -> None:
    batch = random_batch(method, seed, m, n)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(m, generator=generator)
    columns = torch.randperm(n, generator=generator) if method in of_shape("unpaired") else rows
    before, after = method.loss(batch), method.loss(moved(batch, rows, columns))
    losses = rows if len(before.losses) == m else torch.cat([rows, m + columns])
    close(after.losses, before.losses[losses])
    close(after.chosen_rewards, before.chosen_rewards[rows])
    if len(before.rejected_rewards):
        close(after.rejected_rewards, before.rejected_rewards[columns])


@each(LOGISTIC)
@quick
@given(seed=seeds, m=sizes, n=sizes, ratio=st.floats(-50, 50))
def test_zero_margins_give_log_2(method: Method, seed: int, m: int, n: int, ratio: float) -> None:
    batch = random_batch(method, seed, m, n)
    level = torch.full_like(batch.ref_chosen_logps, ratio), torch.full_like(batch.ref_rejected_logps, ratio)
    zeros = torch.zeros_like(level[0]), torch.zeros_like(level[1])
    names = ("policy_chosen_logps", "policy_rejected_logps", "ref_chosen_logps", "ref_rejected_logps")
    flat = replace(batch, **dict(zip(names, (*level, *zeros), strict=True)))
    close(method.loss(flat).losses, [LOG_2] * m)


@each([m for m in LOGISTIC if m in of_shape("paired") and m.module is not cdpo])
@quick
@given(seed=seeds, b=sizes)
def test_swapping_sides_mirrors(method: Method, seed: int, b: int) -> None:
    """-logσ(-z) = -logσ(z) + z, and weights whose rows *and* columns sum to 1 turn the mean of w·z into that
    of the rewards, over N where they stand inside. With like prompts those of rpo_paired and of its control are 1/N.
    """
    batch = random_batch(method, seed, b, b)
    batch = replace(batch, embeddings=torch.ones(b, 6, dtype=torch.float64))
    swapped = replace(
        batch,
        policy_chosen_logps=batch.policy_rejected_logps,
        policy_rejected_logps=batch.policy_chosen_logps,
        ref_chosen_logps=batch.ref_rejected_logps,
        ref_rejected_logps=batch.ref_chosen_logps,
    )
    before, after = method.loss(batch), method.loss(swapped)
    inside = method.module in (rpo_paired, dpo_own_weight) or getattr(method.hp, "reading", None) == "paper"
    shift = (before.chosen_rewards - before.rejected_rewards).mean() / (b if inside else 1)
    close(after.losses.mean(), before.losses.mean() + shift)
    close(after.chosen_rewards, before.rejected_rewards)


@quick
@given(seeds, sizes, st.floats(0, 0.5))
def test_cdpo_is_dpo_on_both_labels(seed: int, b: int, smoothing: float) -> None:
    """-(1-ε) logσ(z) - ε logσ(-z) = -logσ(z) + ε z."""
    batch = random_batch(DPO, seed, b, b)
    smooth = cdpo.loss(batch, cdpo.Hparams(label_smoothing=smoothing))
    expected = DPO.loss(batch).losses + smoothing * (smooth.chosen_rewards - smooth.rejected_rewards)
    close(smooth.losses, expected)


@quick
@given(seeds, sizes)
def test_ipo_is_least_at_its_margin(seed: int, b: int) -> None:
    """1/(2β), where it is 0 and flat."""
    batch = random_batch(DPO, seed, b, b)
    at = replace(
        batch, policy_chosen_logps=batch.ref_chosen_logps + 2.5, policy_rejected_logps=batch.ref_rejected_logps
    )
    sharp = Method("ipo", ipo, ipo.Hparams(beta=0.2))
    close(sharp.loss(at).losses, [0.0] * b)
    assert all(not gradient.any() for gradient in gradients(sharp, at))


@quick
@given(seeds, sizes, sizes)
def test_kto_without_divergence_is_kto_zero(seed: int, m: int, n: int) -> None:
    """Where policy and reference agree on the mismatched responses the reference point is 0."""
    method = Method("kto", kto, kto.Hparams())
    batch = random_batch(method, seed, m, n)
    batch = replace(batch, policy_mismatched_logps=batch.ref_mismatched_logps)
    close(method.loss(batch).losses, kto_zero.loss(batch, kto_zero.Hparams()).losses)


@quick
@given(seeds, sizes, sizes)
def test_rpo_integrated_is_rpo_unpaired_on_other_embeddings(seed: int, m: int, n: int) -> None:
    batch = random_batch(Method("rpo_unpaired", rpo_unpaired, None), seed, m, n)
    ours = rpo_integrated.loss(batch, rpo_integrated.Hparams(tau=0.6))
    close(ours.losses, rpo_unpaired.loss(batch, rpo_unpaired.Hparams(tau=0.6)).losses)


@each(METHODS)
def test_gradients_match_finite_differences(method: Method) -> None:
    batch = random_batch(method, 5, 3, 2, scale=3)
    names = leaf_names(batch)

    def losses(*leaves: Tensor) -> Tensor:
        return method.loss(replace(batch, **dict(zip(names, leaves, strict=True)))).losses

    leaves = [getattr(batch, name).nan_to_num(0).requires_grad_() for name in names]
    assert torch.autograd.gradcheck(losses, leaves)


def apart(batch: Any, size: float, signs: tuple[int, int]) -> Any:
    """The batch with policy log-probs that are `size` away from zero, up, down and not, sides by their sign."""
    names = [name for name in leaf_names(batch) if name.startswith("policy")]
    changes = {}
    for name, sign in zip(names, signs, strict=False):
        like = getattr(batch, name)
        pattern = torch.tensor([size, -size, 0.0], dtype=like.dtype).repeat(like.numel())[: like.numel()]
        changes[name] = sign * pattern.reshape(like.shape)
    if "policy_mismatched_logps" in {f.name for f in fields(batch)}:
        changes["policy_mismatched_logps"] = torch.full_like(batch.policy_mismatched_logps, size * signs[0])
    return replace(batch, **changes)


@each(METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_extreme_log_ratios_stay_finite(method: Method, dtype: torch.dtype) -> None:
    """Log-ratios of ±1e3 and ±1e6 at β up to 1: logsigmoid is linear there, log(sigmoid) would be -inf."""
    hp = replace(method.hp, beta=1.0) if hasattr(method.hp, "beta") else method.hp
    extreme = replace(method, hp=hp)
    for size in (1e3, 1e6):
        for signs in ((1, -1), (-1, 1), (1, 1)):
            batch = apart(converted(random_batch(method, 7, 3, 3), dtype), size, signs)
            assert extreme.loss(batch).losses.isfinite().all()
            assert all(grad.isfinite().all() for grad in gradients(extreme, batch))


@each(METHODS)
@quick
@given(seed=seeds, m=sizes, n=sizes)
def test_float32_is_float64_to_1e_5(method: Method, seed: int, m: int, n: int) -> None:
    """On the same numbers, exact in float32; 1e-6 absolute covers losses that all but vanish."""
    batch = random_batch(method, seed, m, n)
    single = method.loss(converted(batch, torch.float32))
    assert single.losses.dtype == torch.float32
    double = method.loss(batch)
    close(single.losses.double(), double.losses, rtol=1e-5, atol=1e-6)
    close(single.chosen_rewards.double(), double.chosen_rewards, rtol=1e-5, atol=1e-6)


@each(METHODS)
def test_output_is_one_loss_per_row_and_detached_rewards(method: Method) -> None:
    """Or one per response, chosen first, where each side has losses of its own."""
    batch = random_batch(method, 3, 3, 2)
    leaves = {name: getattr(batch, name).clone().requires_grad_() for name in leaf_names(batch)}
    output = method.loss(replace(batch, **leaves))
    assert output.losses.shape in ((3,), (5,))
    assert output.losses.requires_grad
    assert output.valid is None or output.valid.shape == output.losses.shape
    shapes = {"unpaired": ((3,), (2,)), "rollout": ((3,), (0,))}.get(method.module.NEEDS.shape, ((3,), (3,)))
    assert (output.chosen_rewards.shape, output.rejected_rewards.shape) == shapes
    assert not output.chosen_rewards.requires_grad
    assert not output.rejected_rewards.requires_grad


@each([m for m in METHODS if m.module in (rpo_unpaired, rpo_integrated, rpo_ot)])
@pytest.mark.parametrize(("m", "n"), [(0, 3), (3, 0), (0, 0)])
def test_a_contrast_with_an_empty_side_is_a_zero_that_can_be_differentiated(method: Method, m: int, n: int) -> None:
    """A rank whose micro-batch has one side only must still take part in backward, with nothing to add."""
    batch = random_batch(method, 1, m, n)
    output = method.loss(batch)
    close(output.losses.mean(), 0)
    assert output.chosen_rewards.shape == (m,)
    assert output.rejected_rewards.shape == (n,)
    chosen, rejected = gradients(method, batch)
    close(chosen, [0.0] * m)
    close(rejected, [0.0] * n)


@each([m for m in of_shape("unpaired") if m.module.NEEDS.rows == "mixed" or m.module is kto_simple])
@pytest.mark.parametrize(("m", "n"), [(0, 3), (3, 0)])
def test_an_empty_side_leaves_the_losses_of_the_other(method: Method, m: int, n: int) -> None:
    """Where they are drawn together at random, a batch may hold only chosen or only rejected responses."""
    batch = random_batch(method, 1, m, n)
    output = method.loss(batch)
    assert output.losses.shape == (3,)
    assert output.losses.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients(method, batch))


@each(of_shape("paired", "unpaired"))
def test_embeddings_take_the_dtype_of_the_logps(method: Method) -> None:
    """A bfloat16 embedder under float32 log-probs, and float32 embeddings under float64 ones."""
    batch = random_batch(method, 2, 2, 2)
    names = [f.name for f in fields(batch) if "embeddings" in f.name]
    narrow = replace(batch, **{name: getattr(batch, name).bfloat16() for name in names})
    rounded = replace(batch, **{name: getattr(narrow, name).double() for name in names})
    close(method.loss(narrow).losses, method.loss(rounded).losses)
