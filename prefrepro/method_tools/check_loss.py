"""What a method's loss does with random batches: one rule of the contract, one function, all problems listed.

"No gradient to the reference" means here what a loss can get wrong: it reads what NEEDS declares and nothing else,
leaves the batch as it was, and hands out rewards without gradient.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from methods.contract import LossOutput, Needs, PairedBatch, RankedBatch, UnpairedBatch
from prefrepro.method_tools.random_batches import (
    LEAVES,
    AnyBatch,
    at_reference,
    batches_for,
    changed,
    converted,
    doubled,
    extreme,
    picked,
    redrawn,
    tensors,
)
from prefrepro.specs.files import read_mapping

WRITTEN = read_mapping(Path(__file__).with_name("rules.yaml"))
RULES: dict[str, str] = WRITTEN["rules"]
FIRST = "runs"
"""The first rule that a loss is held against"""
EXTREME = 1e3
SIGNS = {
    "policy_chosen_logps": -1, "policy_rejected_logps": 1, "policy_logps": -1,
    "ref_chosen_logps": 1, "ref_rejected_logps": -1, "ref_logps": 1,
}  # fmt: skip
"""Log-probs -> the sign of the gradient that losses have there; of ranked responses, the best one's"""
RTOL, ATOL = 1e-5, 1e-6
"""Tolerances of float32 against float64; the second covers losses near 0."""
SAME = 1e-7
"""Tolerance of float64 against itself in another order"""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    rule: str
    found: str
    expected: str
    where: str
    next_step: str


@dataclass(frozen=True, slots=True)
class _Trial:
    """One call of a loss."""

    label: str
    hp: Any
    batch: Any
    output: Any
    gradients: dict[str, Tensor]
    """Gradients of the summed losses; empty where these carry none"""
    is_intact: bool
    """Whether the batch is what it was before the call"""


class LossCheck:
    """Holds one method's loss against every rule; `problems` collects what is wrong."""

    def __init__(
        self,
        loss: Callable[..., Any],
        needs: Needs,
        hparams: Any,
        choices: dict[str, list[Any]],
        where: str,
        reward: str = "logp",
    ) -> None:
        self.loss, self.needs, self.hparams, self.where, self.reward = loss, needs, hparams, where, reward
        self.choices = choices
        """Other values that a Literal hyper-parameter may have; each is tried on an ordinary batch."""
        self.problems: list[Problem] = []

    def run(self) -> bool:
        """Try everything. False where the loss fails on an ordinary batch, so that nothing else was tried."""
        batches = batches_for(self.needs)
        ordinary = next(iter(batches))
        first = self._try(ordinary, self.hparams, batches[ordinary])
        if first is None or not self._has_output(first):
            return False
        self._every_batch(first)
        self._ordinary_batch(first)
        self._gradient_reaches(first)
        self._inputs(first)
        self._direction(ordinary, batches[ordinary])
        self._reward(first)
        for label, batch in list(batches.items())[1:]:
            if (trial := self._try(label, self.hparams, batch)) and self._has_output(trial):
                self._every_batch(trial)
        for name, values in self.choices.items():
            for value in values:
                label = f"{ordinary}, {name}={value}"
                trial = self._try(label, replace(self.hparams, **{name: value}), batches[ordinary])
                if trial and self._has_output(trial):
                    self._every_batch(trial)
                    self._ordinary_batch(trial)
        self._extremes(ordinary, batches[ordinary])
        return True

    def _wrong(self, problem: str, label: str, **named: Any) -> None:
        """A problem of rules.yaml, its {names} filled in."""
        rule, *texts = (text.format(**named) for text in WRITTEN["problems"][problem])
        found, expected, next_step = texts
        self.problems.append(Problem(rule, found, expected, f"{self.where}, with {label}", next_step))

    def _call(self, label: str, hp: Any, batch: AnyBatch) -> Any:
        """What the loss returns; what it raises is a problem, and None."""
        try:
            return self.loss(batch, hp)
        except Exception as error:  # noqa: BLE001 - whatever a method raises is what is reported
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.name == "loss"]
            place = f" in its line {lines[-1]}" if lines else ""
            self._wrong("raised", label, what=f"{type(error).__name__}{place}: {error}")
            return None

    def _try(self, label: str, hp: Any, batch: AnyBatch) -> _Trial | None:
        """Call the loss once and take gradients."""
        names = LEAVES[self.needs.shape]
        leaves = {name: getattr(batch, name).clone().requires_grad_() for name in names}
        # The loss gets no leaves but what is made of them, as from a model: an in-place change is then seen here.
        given = changed(batch, lambda name, value: leaves[name] * 1 if name in leaves else value)
        output = self._call(label, hp, given)
        if output is None:
            return None
        gradients = {}
        losses: Any = getattr(output, "losses", None)
        if isinstance(losses, Tensor) and losses.requires_grad:
            try:
                found = torch.autograd.grad(losses.sum(), tuple(leaves.values()), allow_unused=True)
            except RuntimeError as error:
                self._wrong("backward", label, error=error)
                return None
            gradients = {
                name: torch.zeros_like(leaves[name]) if gradient is None else gradient
                for name, gradient in zip(names, found, strict=True)
            }
        before, after = tensors(batch), tensors(given)
        is_intact = all(
            torch.allclose(after[name].detach().double(), value.double(), rtol=0, atol=0, equal_nan=True)
            and after[name].requires_grad == (name in leaves)
            for name, value in before.items()
        )
        return _Trial(label, hp, batch, output, gradients, is_intact)

    def _has_output(self, trial: _Trial) -> bool:
        """Are types and shapes right? If not, no other rule can be held against this output."""
        n_problems, out, batch = len(self.problems), trial.output, trial.batch
        if not isinstance(out, LossOutput):
            self._wrong("type", trial.label, type=type(out).__name__)
            return False
        m, n = _sizes(batch)
        sizes = [m, m + n, *([1] if m == 0 else [])] if isinstance(batch, UnpairedBatch) else [m]
        allowed = {
            "losses": sizes,
            "chosen_rewards": [m],
            "rejected_rewards": [n, *([0] if self.needs.shape == "rollout" else [])],
        }
        for name, lengths in allowed.items():
            value = getattr(out, name)
            if not isinstance(value, Tensor):
                self._wrong("no_tensor", trial.label, name=name, type=type(value).__name__)
            elif value.ndim != 1 or len(value) not in lengths:
                sizes = " or ".join(f"({length},)" for length in dict.fromkeys(lengths))
                problem = "losses_shape" if name == "losses" else "rewards_shape"
                self._wrong(problem, trial.label, name=name, shape=tuple(value.shape), sizes=sizes)
            elif name != "losses" and value.requires_grad:
                self._wrong("attached", trial.label, name=name)
        valid = out.valid
        if valid is not None and (valid.dtype != torch.bool or valid.shape != out.losses.shape):
            self._wrong("valid", trial.label, dtype=valid.dtype, shape=tuple(valid.shape))
        return len(self.problems) == n_problems

    def _every_batch(self, trial: _Trial) -> None:
        out = trial.output
        parts = {"losses": out.losses, "chosen_rewards": out.chosen_rewards, "rejected_rewards": out.rejected_rewards}
        for name, value in (parts | {f"the gradient of {k}": v for k, v in trial.gradients.items()}).items():
            self._finite(name, value, trial, "not_finite")
        if not trial.gradients:
            self._wrong("no_gradient", trial.label)
        if out.valid is not None and not out.valid.all():
            left_out = ~out.valid
            if out.losses[left_out].any() or any(
                gradient[left_out].any() for gradient in trial.gradients.values() if len(gradient) == len(left_out)
            ):
                self._wrong("left_out", trial.label)
        self._same_again(trial)
        self._float32(trial)

    def _finite(self, name: str, value: Tensor, trial: _Trial, problem: str) -> None:
        if places := (~value.isfinite()).nonzero().tolist()[:4]:
            first = value[tuple(places[0])].item()
            self._wrong(problem, trial.label, name=name, value=first, places=", ".join(map(str, places)))

    def _same_again(self, trial: _Trial) -> None:
        if not trial.is_intact:
            self._wrong("in_place", trial.label)
            return
        again = self._call(trial.label, trial.hp, changed(trial.batch, lambda _, value: value))
        for gap, what in self._alike(trial, again):
            self._wrong("second_call", trial.label, what=what, gap=gap)

    def _float32(self, trial: _Trial) -> None:
        single = self._call(f"{trial.label}, float32", trial.hp, converted(trial.batch, torch.float32))
        if single is None:
            return
        if single.losses.dtype != torch.float32:
            self._wrong("dtype", trial.label, dtype=single.losses.dtype)
            return
        for name in ("losses", "chosen_rewards", "rejected_rewards"):
            exact, rounded = getattr(trial.output, name).detach(), getattr(single, name).detach().double()
            if not torch.allclose(rounded, exact, rtol=RTOL, atol=ATOL, equal_nan=True):
                error = ((rounded - exact).abs() / exact.abs().clamp(min=ATOL)).max()
                self._wrong("rounded", trial.label, name=name, error=float(error))

    def _ordinary_batch(self, trial: _Trial) -> None:
        """Permuted, and in part."""
        m, n = _sizes(trial.batch)
        generator = torch.Generator().manual_seed(2)
        rows, columns = torch.randperm(m, generator=generator), torch.randperm(n, generator=generator)
        self._part(trial, rows, columns, "permuted")
        if not self.needs.gather:
            self._part(trial, torch.arange(0, m, 2), torch.arange(n)[1:2], "in part")

    def _part(self, trial: _Trial, rows: Tensor, columns: Tensor, how: str) -> None:
        """Losses and rewards of some rows must be those that these rows had in the whole batch."""
        output = self._call(f"{trial.label}, {how}", trial.hp, picked(trial.batch, rows, columns))
        for gap, what in self._alike(trial, output, (rows, columns)):
            self._wrong(how, trial.label, what=what, gap=gap)

    def _alike(
        self, trial: _Trial, other: LossOutput | None, part: tuple[Tensor, Tensor] | None = None
    ) -> Iterator[tuple[float, str]]:
        """(difference, what) where the other output is not `part` of the trial's, rows and columns; None: all."""
        if other is None:  # it raised, which is a problem already
            return
        whole, (m, n) = trial.output, _sizes(trial.batch)
        rows, columns = part or (torch.arange(m), torch.arange(n))
        both = torch.cat([rows, m + columns])
        rejected = columns if isinstance(trial.batch, UnpairedBatch) else rows
        index = {"losses": rows if len(whole.losses) == m else both, "chosen_rewards": rows}
        if len(whole.losses) not in (m, m + n):
            index["losses"] = torch.arange(len(whole.losses))  # one zero in all, where a side is empty
        index["rejected_rewards"] = rejected if len(whole.rejected_rewards) else columns[:0]
        for name, wanted in index.items():
            before, after = getattr(whole, name).detach()[wanted], getattr(other, name).detach()
            if before.shape != after.shape:
                yield float("inf"), name
            elif not torch.allclose(before, after, rtol=SAME, atol=SAME, equal_nan=True):
                yield float((before - after).abs().max()), name

    def _gradient_reaches(self, trial: _Trial) -> None:
        for name, gradient in trial.gradients.items():
            if gradient.numel() and not gradient.any():
                self._wrong("unreached", trial.label, name=name)

    def _inputs(self, trial: _Trial) -> None:
        """What is declared moves losses or rewards, and a reference that is not declared does not."""
        parts = {"ref_": ("reference", bool(self.needs.reference)), "embeddings": ("embeddings", True)}
        parts |= {"policy_mismatched": ("mismatched", True), "reference_rewards": ("reference_rewards", True)}
        for part, (field, is_wanted) in parts.items():
            if not any(part in name for name in tensors(trial.batch)):
                continue
            output = self._call(f"another {field}", trial.hp, redrawn(trial.batch, part))
            is_used = any(self._alike(trial, output))
            if is_used and not is_wanted:
                self._wrong("undeclared", trial.label)
            elif is_wanted and not is_used:
                self._wrong("unused", trial.label, field=field)

    def _direction(self, label: str, batch: AnyBatch) -> None:
        """Where each side pulls a policy that is still its reference; then, whose length goes with whose log-probs."""
        if self.needs.shape == "rollout":
            return
        begun = at_reference(batch) if self.needs.reference else batch
        leaves = {name: value.requires_grad_() for name, value in tensors(begun).items() if name in SIGNS}
        output = self._call(label, self.hparams, replace(begun, **leaves))
        if output is None or not output.losses.requires_grad:  # which is a problem already
            return
        found = torch.autograd.grad(output.losses.sum(), tuple(leaves.values()), allow_unused=True)
        pulls = {name: pull for name, pull in zip(leaves, found, strict=True) if pull is not None}
        against = {
            name: SIGNS[name] * float((pull[:, 0] if pull.ndim == 2 else pull).sum()) < -ATOL  # the best is first
            for name, pull in pulls.items()
        }
        for name in (name for name, is_against in against.items() if is_against):
            if name.startswith("policy_"):
                self._wrong("wrong way", label, name=name, move="rise" if SIGNS[name] < 0 else "fall")
            elif self.needs.reference and not against.get(name.replace("ref_", "policy_")):
                self._wrong("reference", label, name=name)
        if isinstance(batch, PairedBatch):
            batches = (batch, doubled(batch, "chosen"), doubled(batch, "rejected"))
            outputs = [self._call(label, self.hparams, one) for one in batches]
            if all(outputs):
                once, own, other = (one.losses for one in outputs)
                if torch.equal(other, once) and not torch.equal(own, once):
                    self._wrong("lengths", label)

    def _reward(self, trial: _Trial) -> None:
        """Does REWARD name what orders the rewards? Asked where one of the two readings does and the other does not."""
        if self.needs.reference or self.needs.output == "score":
            return
        batch, out = trial.batch, trial.output
        if isinstance(batch, PairedBatch | UnpairedBatch):
            sides = [
                (out.chosen_rewards, batch.policy_chosen_logps, batch.chosen_lengths),
                (out.rejected_rewards, batch.policy_rejected_logps, batch.rejected_lengths),
            ]
        elif isinstance(batch, RankedBatch):
            best = batch.scores.masked_fill(~batch.mask, float("-inf")).argmax(dim=-1, keepdim=True)
            sides = [(out.chosen_rewards, *(of.gather(-1, best)[:, 0] for of in (batch.policy_logps, batch.lengths)))]
        else:
            return
        fits = {"logp": True, "logp_per_token": True}
        for rewards, logps, lengths in sides:
            for name, values in (("logp", logps), ("logp_per_token", logps / lengths)):
                fits[name] &= torch.equal(rewards.argsort(), values.argsort()) and len(rewards.unique()) == len(rewards)
        (fitting, *more) = [name for name, does_fit in fits.items() if does_fit] or [self.reward]
        if not more and fitting != self.reward:
            self._wrong("reward", trial.label, fits=fitting, declared=self.reward)

    def _extremes(self, label: str, batch: AnyBatch) -> None:
        settings = [self.hparams]
        if any(field.name == "beta" for field in fields(self.hparams)) and self.hparams.beta != 1:
            settings.append(replace(self.hparams, beta=1.0))
        for hp in settings:
            for signs in ((1, -1), (-1, 1), (1, 1)):
                pulled = extreme(converted(batch, torch.float32), EXTREME, signs)
                at = f", β = {hp.beta:g}" if hasattr(hp, "beta") else ""
                trial = self._try(f"log-ratios of ±{EXTREME:g} in {label}{at}", hp, pulled)
                if trial is None or not isinstance(getattr(trial.output, "losses", None), Tensor):
                    return
                n_problems = len(self.problems)
                self._finite("losses", trial.output.losses, trial, "extreme")
                for name, gradient in trial.gradients.items():
                    self._finite(f"the gradient of {name}", gradient, trial, "extreme")
                if len(self.problems) > n_problems:
                    return


def _sizes(batch: Any) -> tuple[int, int]:
    """(rows, rows of the rejected side)"""
    if isinstance(batch, UnpairedBatch):
        return len(batch.policy_chosen_logps), len(batch.policy_rejected_logps)
    rows = len(batch.policy_chosen_logps if isinstance(batch, PairedBatch) else batch.policy_logps)
    return rows, rows
