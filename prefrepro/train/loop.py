"""The one training loop: steps, logs, checkpoints. What a step does is the learner's to know (model/learner.py)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from tqdm import tqdm

from prefrepro.model.learner import Learner
from prefrepro.specs.runtime import Engine, Metrics
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.engine import prepare
from prefrepro.train.failures import Failures
from prefrepro.train.preempt import leave, preempted
from prefrepro.train.ranks import Ranks, is_first
from prefrepro.train.sharded import Sharded
from prefrepro.train.state import State

METRICS: tuple[str, ...] = (
    "step", "loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies",
    "logps/chosen", "logps/rejected", "objective/kl", "lr", "grad_norm", "tokens_per_second",
    "eval/rewards/accuracies",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished training reports."""

    steps: int
    tokens: int
    final_loss: float
    reward_accuracy: float | None
    metrics: Metrics
    train_s: float
    """Wall seconds in steps, over all attempts of this run."""
    skipped: list[int]
    """Steps, from 1, in which an update was left out because it gave no number."""


def train(
    learner: Learner,
    store: CheckpointStore,
    *,
    evaluate: Callable[[], float | None] = lambda: None,
    on_log: Callable[[Metrics], None] = lambda metrics: None,
    on_snapshot: Callable[[int], None] = lambda step: None,
    ranks: Ranks | None = None,
    engine: Engine = Engine(),  # noqa: B008 -- frozen
) -> Outcome:
    """Train the learner's policy in place, from the store's last checkpoint if it has one.

    `ranks`: divide it among them; each calls this with the same arguments, and each gets the same outcome.
    Raises UserError where a loss or gradient is no number (and `on_nan` is stop) or memory runs out, naming step,
    prompts and the last good checkpoint.
    """
    training, policy, steps = learner.training, learner.policy, learner.steps
    prepare(policy.model, engine)
    share = Sharded(policy, ranks, training.compute_dtype).share if ranks else None
    if ranks and ranks.size > 1:
        for frozen in learner.frozen:
            Sharded(frozen, ranks, None)
    learner.start(ranks.size if ranks else 1, share)
    state = State(store, learner.modules, learner.optimizer, ranks)
    step, tokens, train_s, metrics = 0, 0, 0.0, []
    if (saved := state.load()) is not None:
        step, tokens, train_s, metrics = saved["step"], saved["tokens"], saved["train_s"], saved["metrics"]
    snapshots = {steps * number // (engine.snapshots + 1) for number in range(1, engine.snapshots + 1)}
    failures = Failures(training, store, saved["skipped"] if saved is not None else ())

    policy.model.train()
    bar = tqdm(total=steps, initial=step, unit="step", disable=None if is_first() else True, mininterval=1.0)
    started, last_loss = time.perf_counter() - train_s, metrics[-1].get("loss", math.nan) if metrics else math.nan
    window_start, window_tokens = time.perf_counter(), 0
    last_saved = time.monotonic()

    def is_due(step: int) -> bool:
        if training.checkpoint_minutes is None:
            return step % training.checkpoint_every == 0
        is_time = time.monotonic() - last_saved >= 60 * training.checkpoint_minutes
        return ranks.any(is_time) if ranks else is_time

    while step < steps:
        prompts = learner.prompts(step)
        with failures.memory(step + 1, prompts):
            done = learner.step(step)
        step += 1
        for loss, norms in done.failed:
            failures.no_number(step, prompts, loss, norms)
        last_loss = done.means.get("loss", last_loss)
        tokens, window_tokens = tokens + done.tokens, window_tokens + done.tokens
        bar.update()
        every = training.eval_every
        is_measured = every is not None and (step == steps or (every > 0 and step % every == 0))
        with failures.memory(step, prompts):
            evaluated = evaluate() if is_measured else None
        if (done.means and (step % training.log_every == 0 or step == steps)) or evaluated is not None:
            now = time.perf_counter()
            entry = {"step": step, **done.means}
            entry["tokens_per_second"] = window_tokens / max(now - window_start, 1e-9)
            if evaluated is not None:
                entry["eval/rewards/accuracies"] = evaluated
            metrics.append(entry)
            window_start, window_tokens = now, 0
            bar.set_postfix(loss=f"{last_loss:.3f}")
            on_log(metrics)
        if step in snapshots:
            on_snapshot(step)
        is_asked_to_go = ranks.any(preempted()) if ranks else preempted()
        if step < steps and (is_asked_to_go or is_due(step)):
            spent = time.perf_counter() - started
            plain = {"tokens": tokens, "train_s": spent, "metrics": metrics, "skipped": failures.skipped}
            state.save(step, plain)
            last_saved = time.monotonic()
            if is_asked_to_go:
                leave(step, steps)
    bar.close()
    learner.finish()
    failures.check_end(last_loss)
    accuracy = next((m["eval/rewards/accuracies"] for m in reversed(metrics) if "eval/rewards/accuracies" in m), None)
    return Outcome(steps, tokens, last_loss, accuracy, metrics, time.perf_counter() - started, failures.skipped)
