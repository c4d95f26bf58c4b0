"""Response log-probs: the economical form equals the plain one; the optimiser's names and its warm-up."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import get_scheduler

from bench.full_logps import IGNORED, sequence_logps
from prefrepro.model import logps
from prefrepro.model.logps import summed, token_logps
from prefrepro.model.optimizer import build_optimizer, warmup_lr


def inputs(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden (4, 9, 6), head (11, 6), bias (11,), labels; one row is all prompt, one all response."""
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(4, 9, 6, generator=generator, dtype=torch.float64)
    head = torch.randn(11, 6, generator=generator, dtype=torch.float64)
    bias = torch.randn(11, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 11, (4, 9), generator=generator)
    labels[0, :4] = labels[1, :] = labels[2, 6:] = IGNORED
    return hidden.to(dtype), head.to(dtype), bias.to(dtype), labels


def response_logps(
    hidden: torch.Tensor,
    head: torch.Tensor,
    labels: torch.Tensor,
    bias: torch.Tensor | None = None,
    chunk: int | None = None,
) -> torch.Tensor:
    """Sums of the labelled tokens of each row, logits made for these alone."""
    rows, places = (labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
    found = token_logps(hidden[rows, places], head, labels[rows, places + 1], bias, chunk)
    return summed(found, rows, len(labels))


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "made-again"])
def test_gradients_are_those_of_finite_differences(monkeypatch: pytest.MonkeyPatch, is_kept: bool) -> None:
    monkeypatch.setattr("prefrepro.model.logps.KEPT_NUMBERS", 10**9 if is_kept else 0)
    hidden, head, bias, _ = inputs(torch.float64)
    leaves = [tensor.requires_grad_() for tensor in (hidden[0], head, bias)]
    targets = torch.arange(9)
    assert torch.autograd.gradcheck(lambda h, w, b: token_logps(h, w, targets, b, 4), leaves)


def test_sequence_logps_by_hand() -> None:
    """Two tokens to choose from. Position 0 is never predicted; position 1 has logits (log 3, 0) before it,
    so token 0 has log(3/4); position 2 is masked. Sum log(3/4), one token.
    """
    logits = torch.tensor([[[math.log(3), 0.0], [5.0, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    total, token_level, n_tokens = sequence_logps(logits, torch.tensor([[1, 0, IGNORED]]))
    torch.testing.assert_close(token_level, torch.tensor([[math.log(3 / 4), 0]], dtype=torch.float64))
    torch.testing.assert_close(total, token_level.sum(dim=1))
    assert n_tokens.tolist() == [1]


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "made-again"])
def test_token_logps_equal_sequence_logps(
    monkeypatch: pytest.MonkeyPatch, chunk: int, biased: bool, is_kept: bool
) -> None:
    """Values, and gradients of an uneven sum of the rows, in float64."""
    monkeypatch.setattr("prefrepro.model.logps.KEPT_NUMBERS", 10**9 if is_kept else 0)
    hidden, head, bias, labels = inputs(torch.float64)
    leaves = [tensor.requires_grad_() for tensor in ((hidden, head, bias) if biased else (hidden, head))]
    offset = bias if biased else None
    full = sequence_logps(torch.nn.functional.linear(hidden, head, offset), labels)[0]
    ours = response_logps(hidden, head, labels, offset, chunk=chunk)
    torch.testing.assert_close(ours, full)
    uneven = torch.tensor([1.0, 2.0, -3.0, 0.5], dtype=torch.float64)
    expected = torch.autograd.grad((full * uneven).sum(), leaves)
    found = torch.autograd.grad((ours * uneven).sum(), leaves)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_bfloat16_hidden_states_are_summed_in_float32() -> None:
    hidden, head, bias, labels = inputs(torch.bfloat16)
    ours = response_logps(hidden, head, labels, bias)
    logits = torch.nn.functional.linear(hidden, head, bias)
    assert ours.dtype == sequence_logps(logits, labels)[0].dtype == torch.float32
    torch.testing.assert_close(ours, sequence_logps(logits, labels)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize("chunk", [48, 1024])
def test_bfloat16_in_small_pieces(chunk: int, is_kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log-probs and gradients beside float64's; a target that is all but certain, and one of no normal probability."""
    monkeypatch.setattr(logps, "NARROW_ROWS", 16)
    monkeypatch.setattr(logps, "KEPT_NUMBERS", 2**26 if is_kept else 0)
    numbers = torch.Generator().manual_seed(3)
    hidden, head = (torch.randn(n, 8, generator=numbers).bfloat16() for n in (100, 30))
    hidden[0] *= 16
    targets = torch.randint(0, 30, (100,), generator=numbers)
    targets[0], hidden[1], targets[1] = (hidden[0] @ head.T).argmin(), hidden[0], (hidden[0] @ head.T).argmax()
    uneven = torch.randn(100, generator=numbers)

    def found(dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
        leaves = [hidden.to(dtype).requires_grad_(), head.to(dtype).requires_grad_()]
        out = logps.token_logps(leaves[0], leaves[1], targets, chunk=chunk)
        return out, *torch.autograd.grad((out * uneven).sum(), leaves)

    right, ours = found(torch.float64), found(torch.bfloat16)
    assert ours[0].dtype == torch.float32 and right[0][0] < -88
    for one, other in zip(ours, right, strict=True):
        assert (one.double() - other).norm() / other.norm() < 0.01
    with torch.no_grad():
        torch.testing.assert_close(logps.token_logps(hidden, head, targets), ours[0], rtol=0, atol=0)


def test_batch_without_any_response_token() -> None:
    """Sums of nothing are zeros, and backward still runs."""
    hidden, head, _, labels = inputs(torch.float64)
    logps = response_logps(hidden.requires_grad_(), head, torch.full_like(labels, IGNORED))
    assert logps.tolist() == [0, 0, 0, 0]
    logps.sum().backward()
    assert hidden.grad is not None
    assert not hidden.grad.any()


def test_warmup_reaches_lr_and_stays() -> None:
    """Three warm-up steps to lr 1: 1/4, 2/4, 3/4, then 1; none: 1 from the start."""
    assert [warmup_lr(step, 1.0, 3) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert warmup_lr(0, 1.0, 0) == 1


@pytest.mark.parametrize(
    ("schedule", "after"),
    [
        ("constant", [1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25]),
        ("cosine", [1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2]),
    ],
)
def test_a_schedule_ends_with_the_run(schedule: str, after: list[float]) -> None:
    """Six steps, two of them warm-up: the four others are 0, 1/4, 1/2 and 3/4 of the way; cos(π/4) = √½."""
    rates = [warmup_lr(step, 2.0, 2, schedule, 6) for step in range(6)]
    assert rates == pytest.approx([2 / 3, 4 / 3, *(2 * rate for rate in after)])


def test_after_the_warm_up_the_schedules_are_those_of_transformers() -> None:
    for schedule in ("linear", "cosine"):
        optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=5e-6)
        theirs = get_scheduler(schedule, optimizer, num_warmup_steps=4, num_training_steps=40)
        for step in range(40):
            if step >= 4:
                assert warmup_lr(step, 5e-6, 4, schedule, 40) == pytest.approx(optimizer.param_groups[0]["lr"])
            optimizer.step()
            theirs.step()


def test_optimizers_by_name() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    rmsprop = build_optimizer([weight], {"optimizer": "rmsprop", "lr": 5e-7})
    assert isinstance(rmsprop, torch.optim.RMSprop)
    assert rmsprop.defaults == torch.optim.RMSprop([weight], lr=5e-7, foreach=False).defaults
    assert isinstance(build_optimizer([weight], {"optimizer": "adamw", "lr": 5e-7}), torch.optim.AdamW)
