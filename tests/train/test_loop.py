"""The training loop: accumulation, contrast groups, every method, what stops it and what it logs."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from train_helpers import (
    OF_DATA,
    inputs_for,
    learner_of,
    make_inputs,
    make_policy,
    method_of,
    run_method,
    settings,
    weights,
)

from methods.contract import PairedBatch, UnpairedBatch
from prefrepro.errors import UserError
from prefrepro.model.batches import Inputs, step_rows
from prefrepro.model.optimizer import warmup_lr
from prefrepro.model.policy import Policy
from prefrepro.model.training import Training, total_steps
from prefrepro.specs.method import method_names
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import METRICS
from prefrepro.train.run import write_metrics


@pytest.mark.parametrize("name", method_names())
def test_every_method_trains(name: str, store: CheckpointStore) -> None:
    """Three steps with its defaults: losses are numbers, weights move, nothing is NaN."""
    needs = method_of(name).NEEDS
    policy, inputs = make_policy(output=method_of(name).NEEDS.output), inputs_for(needs)
    before = weights(policy)
    rollout = OF_DATA if needs.shape == "rollout" else None
    outcome = run_method(policy, name, store, inputs, max_steps=3, rollout=rollout)
    assert outcome.steps == len(outcome.metrics) == 3
    assert all(math.isfinite(entry["loss"]) and entry["grad_norm"] > 0 for entry in outcome.metrics)
    assert outcome.final_loss == outcome.metrics[-1]["loss"]
    assert set().union(*outcome.metrics) <= set(METRICS)
    after = weights(policy)
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
    assert any(not torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize(
    "name",
    ["dpo", "sft", "rpo_uniform", "rpo_paired", "rpo_z", "rpo_unpaired", "bradley_terry", "kto", "swepo", "infonca"],
)
def test_weights_do_not_depend_on_the_micro_batch(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Three steps in float64. A loss with `gather` keeps its groups of four whatever fits into memory.

    Metrics are summed in float32: a margin near zero keeps fewer digits.
    """
    found = []
    for micro_batch in (1, 4, 6, 64):
        policy = make_policy(output=method_of(name).NEEDS.output)
        store = CheckpointStore(tmp_path_factory.mktemp("store"))
        outcome = run_method(policy, name, store, max_steps=3, micro_batch=micro_batch)
        found.append((weights(policy), outcome.metrics))
    for other, metrics in found[1:]:
        torch.testing.assert_close(other, found[0][0], rtol=1e-7, atol=1e-9)
        for one, entry in zip(found[0][1], metrics, strict=True):
            same = {key: value for key, value in entry.items() if key != "tokens_per_second"}
            assert same == pytest.approx({key: one[key] for key in same}, rel=1e-6, abs=1e-7)


def by_hand(policy: Policy, name: str, inputs: Inputs, batch_size: int, size: int, **hparams: object) -> torch.Tensor:
    """Mean loss of the first step's groups of `size`, each put together here and given to the method's loss."""
    method = method_of(name)
    rows = step_rows(inputs.prompt_ids, method.NEEDS, batch_size, 7)(0)
    losses = []
    for start in range(0, batch_size, size):
        sides = [getattr(rows, side)[start : start + size] for side in ("chosen", "rejected")]
        sequences = [[getattr(inputs.pairs, side)[row] for row in group]
                     for side, group in zip(("chosen", "rejected"), sides, strict=True)]  # fmt: skip
        assert inputs.reference is not None
        assert inputs.vectors is not None
        values = {
            "policy_chosen_logps": policy(sequences[0]),
            "policy_rejected_logps": policy(sequences[1]),
            "ref_chosen_logps": inputs.reference[sides[0], 0].double(),
            "ref_rejected_logps": inputs.reference[sides[1], 1].double(),
            "chosen_lengths": torch.tensor([len(tokens.response_ids) for tokens in sequences[0]]),
            "rejected_lengths": torch.tensor([len(tokens.response_ids) for tokens in sequences[1]]),
        }
        vectors = [inputs.vectors[group].double() for group in sides]
        if method.NEEDS.shape == "paired":
            batch = PairedBatch(**values, embeddings=vectors[1])
        else:
            batch = UnpairedBatch(**values, chosen_embeddings=vectors[0], rejected_embeddings=vectors[1])
        losses.append(method.loss(batch, method.Hparams(**hparams)).losses)
    return torch.cat(losses).mean()


@pytest.mark.parametrize(
    ("name", "hparams"),
    [
        ("rpo_uniform", {"reading": "paper"}),
        ("rpo_diagonal", {"reading": "code"}),
        ("rpo_paired", {"tau": 0.3}),
        ("rpo_unpaired", {}),
        ("dpo", {"beta": 0.3}),
    ],
)
@pytest.mark.parametrize("size", [4, 8])
def test_a_batch_of_eight_is_the_mean_of_its_contrast_matrices(
    name: str, hparams: dict[str, object], size: int, store: CheckpointStore
) -> None:
    """Size 4: two 4 × 4 matrices, size 8: one of 8 × 8, loss and gradient; dpo knows no groups."""
    policy, inputs = make_policy(), make_inputs()
    expected = by_hand(policy, name, inputs, 8, size, **hparams)
    expected.backward()
    norm = torch.stack([p.grad.norm() for p in policy.model.parameters() if p.grad is not None]).norm()
    outcome = run_method(make_policy(), name, store, inputs, max_steps=1, contrast_size=size, **hparams)
    assert outcome.metrics[0]["loss"] == pytest.approx(float(expected.detach()), rel=1e-10)
    assert outcome.metrics[0]["grad_norm"] == pytest.approx(float(norm), rel=1e-8)


def test_the_size_of_the_contrast_matrix_is_part_of_the_loss() -> None:
    """Else the test above could not fail."""
    policy, inputs = make_policy(), make_inputs()
    with torch.no_grad():
        four, eight = (float(by_hand(policy, "rpo_paired", inputs, 8, size)) for size in (4, 8))
    assert abs(four - eight) > 1e-3


def test_a_method_learns_what_it_is_shown(store: CheckpointStore) -> None:
    """Eight pairs, thirty epochs of DPO against the first policy's own log-probs: every margin ends above 0."""
    policy, inputs = make_policy(), make_inputs(8)
    reference = torch.stack([policy.score_all(side, 8) for side in (inputs.pairs.chosen, inputs.pairs.rejected)], 1)
    inputs = dataclasses.replace(inputs, reference=reference)
    metrics = run_method(policy, "dpo", store, inputs, epochs=30.0, max_steps=None, lr=3e-3).metrics
    assert metrics[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert metrics[0]["rewards/margins"] == pytest.approx(0, abs=1e-4)
    assert metrics[-1]["rewards/accuracies"] == 1
    assert metrics[-1]["loss"] < 0.2


def test_a_loss_that_is_no_number_stops_before_the_weights_move(store: CheckpointStore) -> None:
    """One row's reference is infinite; it comes in the second step, whose prompts the message names."""
    inputs = make_inputs()
    assert inputs.reference is not None
    rows = step_rows(inputs.prompt_ids, method_of("dpo").NEEDS, 8, 7)(1)
    inputs.reference[rows.chosen[3], 0] = math.inf
    policy, after_one = make_policy(), make_policy()
    run_method(after_one, "dpo", CheckpointStore(store.folder.parent / "other"), inputs, max_steps=1)
    with pytest.raises(UserError, match=r"step 2: the loss is inf") as caught:
        run_method(policy, "dpo", store, inputs)
    assert inputs.pairs.prompt_ids[rows.chosen[3]][:12] in str(caught.value)
    assert str(store.folder) in str(caught.value)
    torch.testing.assert_close(weights(policy), weights(after_one), rtol=0, atol=0)


def test_the_released_diagonal_with_groups_of_one_stops(store: CheckpointStore) -> None:
    """methods/rpo_diagonal.py says that this loss is NaN while its gradient is not: the loss itself is looked at."""
    with pytest.raises(UserError, match=r"step 1: the loss is nan"):
        run_method(make_policy(), "rpo_diagonal", store, reading="code", contrast_size=1)


def test_warm_up_stands_in_metrics_csv(store: CheckpointStore) -> None:
    metrics = run_method(make_policy(), "dpo", store, epochs=2.0, max_steps=6, warmup_steps=3, lr=4e-3).metrics
    path = store.folder.parent / "metrics.csv"
    write_metrics(path, metrics)
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    assert header == ",".join(METRICS)
    column = METRICS.index("lr")
    assert [float(line.split(",")[column]) for line in lines] == pytest.approx([1e-3, 2e-3, 3e-3, 4e-3, 4e-3, 4e-3])
    assert [entry["lr"] for entry in metrics] == [warmup_lr(step, 4e-3, 3) for step in range(6)]
    assert lines[0].endswith(","), "a value that does not exist is empty"


def test_the_last_step_is_logged_and_evaluated_whatever_the_interval(store: CheckpointStore) -> None:
    inputs, values = make_inputs(), iter([0.25, 0.5, 0.75])
    from prefrepro.train.loop import train

    dpo, training = method_of("dpo"), Training(**settings(log_every=2, eval_every=3, epochs=3.0, max_steps=7))
    outcome = train(learner_of(make_policy(), dpo, training, inputs), store, evaluate=lambda: next(values))
    assert [entry["step"] for entry in outcome.metrics] == [2, 3, 4, 6, 7]
    assert [entry.get("eval/rewards/accuracies") for entry in outcome.metrics] == [None, 0.25, None, 0.5, 0.75]
    assert outcome.reward_accuracy == 0.75


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"max_steps": None, "epochs": 2.5}, 7),  # ⌊2.5 × 3⌋
        ({"max_steps": 5, "epochs": 2.5}, 5),
        ({"max_steps": None, "epochs": 0.1}, 1),
    ],
)
def test_number_of_steps(changes: dict[str, float], steps: int) -> None:
    """26 rows hold three batches of eight."""
    assert total_steps(make_inputs(26), method_of("dpo").NEEDS, Training(**settings(**changes))) == steps


@pytest.mark.parametrize("name", ["dpo", "sft", "rpo_unpaired"])
def test_too_little_data_for_one_batch(name: str, store: CheckpointStore) -> None:
    with pytest.raises(UserError, match=r"6 .* cannot fill one batch of 8.*Lower training\.batch_size"):
        run_method(make_policy(), name, store, make_inputs(6))


def test_too_few_prompts_for_a_batch_of_demonstrations(store: CheckpointStore) -> None:
    """Twelve rows of three prompts: the message counts what is drawn from, not the rows."""
    inputs = make_inputs(12)
    names = [str(number % 3) for number in range(12)]
    inputs = dataclasses.replace(inputs, pairs=dataclasses.replace(inputs.pairs, prompt_ids=names))
    with pytest.raises(UserError, match=r"3 .* cannot fill one batch of 8"):
        run_method(make_policy(), "sft", store, inputs)
