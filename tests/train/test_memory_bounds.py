"""What a step holds at once, where it waits for the device, and the dtype of what stays frozen beside the policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from train_helpers import (
    LIMITS,
    OF_DATA,
    inputs_for,
    learner_of,
    make_inputs,
    make_policy,
    method_of,
    run_method,
    settings,
    tokenizer,
    weights,
)
from transformers import AutoModelForCausalLM

from methods.contract import Needs
from prefrepro.errors import UserError
from prefrepro.model.examples import Tokens
from prefrepro.model.learner import fitting
from prefrepro.model.load import load_model
from prefrepro.model.optimizer import OPTIMIZERS, build_optimizer
from prefrepro.model.policy import Policy
from prefrepro.model.respond import responder
from prefrepro.model.training import RolloutSettings, Training
from prefrepro.specs.method import method_names, read_method
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import train
from prefrepro.train.ranks import joined

GATHERED = ("rpo_paired", "rpo_unpaired", "kto", "swepo", "ppo_offline")
"""Their losses want the log-probs of more sequences than a micro-batch holds."""
OF_POLICY = RolloutSettings(responses="policy", ppo_epochs=1, minibatches=1, max_head_grad_norm=0.1, max_new_tokens=12)


def read_sizes(policy: Policy) -> list[tuple[int, int]]:
    """Filled with the sequences and tokens of each reading that keeps activations for a backward pass."""
    sizes: list[tuple[int, int]] = []

    def through(read: Any, sequences: Sequence[Tokens]) -> Any:
        if torch.is_grad_enabled():
            sizes.append((len(sequences), sum(len(s.prompt_ids) + len(s.response_ids) for s in sequences)))
        return read(sequences)

    policy.through = through
    return sizes


@pytest.mark.parametrize("name", GATHERED)
def test_a_group_larger_than_the_micro_batch_is_read_in_parts(name: str, tmp_path: Path) -> None:
    """At no time more than micro_batch sequences with gradient, or a prompt's own; the weights are those of the whole
    group at once."""
    found: list[Any] = []
    rollout: dict[str, Any] = {"rollout": OF_DATA} if name == "ppo_offline" else {}
    for size in (3, 64):
        policy = make_policy()
        sizes = read_sizes(policy)
        run_method(policy, name, CheckpointStore(tmp_path / str(size)), micro_batch=size, contrast_size=8, **rollout)
        assert max(n for n, _ in sizes) <= max(size, 4 if name == "swepo" else 2)
        found.append(weights(policy))
    torch.testing.assert_close(found[0], found[1], rtol=1e-7, atol=1e-6 if rollout else 1e-8)


@pytest.mark.parametrize("name", ["dpo", "rpo_paired"])
def test_micro_batches_may_be_counted_in_tokens(name: str, tmp_path: Path) -> None:
    found = []
    for tokens in (200, None):
        policy = make_policy()
        sizes = read_sizes(policy)
        store = CheckpointStore(tmp_path / str(tokens))
        run_method(policy, name, store, micro_batch_tokens=tokens, micro_batch=64, contrast_size=8)
        assert tokens is None or (max(total for _, total in sizes) <= tokens and len(sizes) > 10)
        found.append(weights(policy))
    torch.testing.assert_close(found[0], found[1], rtol=1e-7, atol=1e-8)


def test_a_sequence_longer_than_the_bound_is_read_alone() -> None:
    sequences = [Tokens([1] * n, [2]) for n in (3, 50, 3, 3)]
    training = Training(**settings(micro_batch_tokens=8))
    assert fitting(sequences, training, 1) == [[0], [1], [2, 3]]
    assert fitting(sequences, training, 8) == [[0, 1, 2, 3]]


class Syncs(TorchDispatchMode):
    """Counts where a number is asked of a tensor, for which a GPU would be waited."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["dpo", "rpo_paired", "kto"])
def test_a_step_waits_once_for_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method = method_of(name)
    inputs = inputs_for(method.NEEDS)
    learner = learner_of(make_policy(), method, Training(**settings(micro_batch=2)), inputs)
    learner.start(1, None)
    syncs, to_list = Syncs(), torch.Tensor.tolist

    def counted(tensor: torch.Tensor) -> Any:
        syncs.count += not is_index(tensor)
        return to_list(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", counted)
    with syncs:
        learner.step(0)
    assert syncs.count == 1


def is_index(tensor: torch.Tensor) -> bool:
    """Of the packing, which is made on the CPU."""
    return not tensor.is_floating_point()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimiser_makes_no_copy_of_the_parameters(name: str) -> None:
    """torch's foreach step holds another of each at the same time: 25 GiB at 7B."""
    made = build_optimizer([torch.nn.Parameter(torch.zeros(3))], {"optimizer": name, "lr": 1.0})
    assert made.defaults["foreach"] is False


def test_an_optimiser_without_memory_is_told_as_such(store: CheckpointStore) -> None:
    learner: Any = learner_of(make_policy(), method_of("dpo"), Training(**settings()))

    def step(closure: Any = None) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 25.00 GiB")

    start = learner.start

    def started(*arguments: Any) -> None:
        start(*arguments)
        learner.optimizer.step = step

    learner.start = started
    with pytest.raises(UserError, match="step 1: there is not enough memory"):
        train(learner, store)


def test_gradients_are_gone_while_responses_are_sampled(store: CheckpointStore) -> None:
    """They are as large as the weights, and sampling wants a cache."""
    policy, held = make_policy(dtype=torch.float32), []
    respond = responder(policy.model, tokenizer(), lambda s: torch.arange(len(s)).float(), LIMITS.max_length, 12, 8)

    def watched(prompts: Any, seed: int) -> Any:
        held.append(any(parameter.grad is not None for parameter in policy.model.parameters()))
        return respond(prompts, seed)

    training = Training(**settings(max_steps=3, rollout=OF_POLICY))
    train(learner_of(policy, method_of("ppo"), training, make_inputs(), respond=watched), store)
    assert held == [False, False, False]


def with_reference() -> list[str]:
    found = []
    for name in method_names():
        needs = Needs(**read_method(name).needs)
        if needs.reference and needs.output == "logp":
            found.append(name)
    return found


@pytest.mark.parametrize("is_divided", [False, True])
@pytest.mark.parametrize("name", with_reference())
def test_the_first_log_ratio_is_zero_where_less_is_computed_than_held(
    name: str, is_divided: bool, store: CheckpointStore
) -> None:
    """Float32 weights, computed in bfloat16: the reference, of the same weights, is computed in bfloat16 too.

    No prompt is shared: where it is by other responses than in the reference's batches, bfloat16 rounds otherwise.
    """
    method = method_of(name)
    policy = make_policy(dtype=torch.float32, layout="packed", num_hidden_layers=2)
    half = make_policy(dtype=torch.float32, layout="packed", num_hidden_layers=2)
    for parameter in half.model.parameters():  # as from_pretrained does: rotations stay in float32
        parameter.data = parameter.data.bfloat16()
    inputs = inputs_for(method.NEEDS)
    if inputs.groups is not None:
        found = half.score_all(inputs.groups.flat, 4).view(-1, inputs.groups.width)
        inputs = dataclasses.replace(inputs, reference=found)
    else:
        others = inputs.mismatched and half.score_pairs(inputs.mismatched, 8)
        inputs = dataclasses.replace(inputs, reference=half.score_pairs(inputs.pairs, 8), mismatched_reference=others)
    rollout = OF_DATA if method.NEEDS.shape == "rollout" else None
    training = Training(**settings(compute_dtype="bfloat16", max_steps=1, rollout=rollout))
    ratios: list[float] = []

    def loss(batch: Any, hp: Any) -> Any:
        ratios.append(largest_log_ratio(batch))
        return method.loss(batch, hp)

    learner = learner_of(policy, method, training, inputs, loss=loss)
    with joined(is_divided) as ranks:
        train(learner, store, ranks=ranks)
    assert ratios and max(ratios) == 0


def largest_log_ratio(batch: Any) -> float:
    names = [f"{side}_logps" for side in ("chosen", "rejected", "mismatched") if hasattr(batch, f"policy_{side}_logps")]
    pairs = [(getattr(batch, f"policy_{n}"), getattr(batch, f"ref_{n}")) for n in names or ["logps"]]
    return max(float((p - r).detach().abs().max()) for p, r in pairs if p is not None and p.numel())


def test_checkpoints_may_be_counted_in_minutes(store: CheckpointStore) -> None:
    """Of a large model each is tens of GB, however long its steps take."""
    for minutes, steps in ((1e-9, [1, 2]), (60.0, [])):
        saved: list[int] = []
        keep = CheckpointStore(store.folder.with_name(str(minutes)))
        save = keep.save
        keep.save = lambda step, state: (saved.append(step), save(step, state))[1]  # noqa: B023
        run_method(make_policy(), "dpo", keep, checkpoint_minutes=minutes, checkpoint_every=1, max_steps=4)
        assert saved == steps


def test_a_model_is_loaded_straight_to_its_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by way of the host, where each rank of a 13B model would hold 48 GiB."""
    make_policy().model.save_pretrained(tmp_path)
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda path, **how: asked.append(how))
    load_model(tmp_path, "float32", place=torch.device("cuda", 1))
    assert asked[0]["device_map"] == {"": torch.device("cuda", 1)}
