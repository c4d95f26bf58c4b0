"""Rollouts: token log-probs, what a step draws, both sources of responses, and what a run of PPO does with them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from test_resume import assert_same
from train_helpers import (
    LIMITS,
    OF_DATA,
    learner_of,
    make_inputs,
    make_policy,
    method_of,
    run_method,
    settings,
    tokenizer,
    weights,
)

from methods.contract import LossOutput, RolloutBatch
from prefrepro.data.template import TAGS
from prefrepro.errors import UserError
from prefrepro.model.batches import Inputs, Responses, make_batch, step_rows
from prefrepro.model.decode import ROLE_TAGS
from prefrepro.model.examples import Tokens
from prefrepro.model.policy import Policy
from prefrepro.model.respond import Respond, responder
from prefrepro.model.rollout import Rollouts, rows_of_rollouts
from prefrepro.model.training import RolloutSettings, Training
from prefrepro.model.value_head import ValueHead
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.loop import Outcome, train

OF_POLICY = RolloutSettings(responses="policy", ppo_epochs=2, minibatches=2, max_head_grad_norm=0.1, max_new_tokens=12)
PPO = method_of("ppo")
SINGLE_BYTES = range(3, 259)
"""Token ids; specials come before, pieces and role tags after."""


def share_of_pieces(sequences: Sequence[Tokens]) -> torch.Tensor:
    """A toy reward: the share of tokens, of a response as a judge reads it, that are longer than a byte; 0 to 1."""
    pieces = [sum(token > max(SINGLE_BYTES) for token in s.response_ids) for s in sequences]
    return torch.tensor([count / len(s.response_ids) for count, s in zip(pieces, sequences, strict=True)])


def respond_by(policy: Policy) -> Respond:
    return responder(policy.model, tokenizer(), share_of_pieces, LIMITS.max_length, 12, 8)


def drawn_from(rollouts: Rollouts, inputs: Inputs, settings: RolloutSettings, step: int = 0) -> Responses:
    rows = step_rows(inputs.prompt_ids, rows_of_rollouts(PPO.NEEDS, settings), 8, 7)(step)
    found = rollouts.draw(inputs, rows, step)[0].responses
    assert found is not None
    return found


def run_ppo(
    policy: Policy, store: CheckpointStore, rollout: RolloutSettings, stop_at: int | None = None, **changes: Any
) -> Outcome:
    """Six steps, a checkpoint every second one; raises KeyboardInterrupt after `stop_at`."""

    def on_log(metrics: list[dict[str, float]]) -> None:
        if metrics[-1]["step"] == stop_at:
            raise KeyboardInterrupt

    method = PPO if rollout.responses == "policy" else method_of("ppo_offline")
    hp = method.Hparams(**{key: changes.pop(key) for key in list(changes) if key in ("kl_coef",)})
    values = {"max_steps": 6, "epochs": 9.0, "checkpoint_every": 2, "rollout": rollout} | changes
    respond = respond_by(policy)
    learner = learner_of(policy, method, Training(**settings(**values)), make_inputs(), hp, respond)
    return train(learner, store, on_log=on_log)


def test_token_log_probs_sum_to_the_sequence() -> None:
    policy, sequences = make_policy(), make_inputs().pairs.chosen[:5]
    with torch.no_grad():
        width = max(len(s.prompt_ids) + len(s.response_ids) for s in sequences)
        tokens, hidden = policy.tokens(sequences, width)
        torch.testing.assert_close(tokens.sum(dim=1), policy(sequences))
    assert tokens.shape == hidden.shape[:2]
    for row, sequence in zip(tokens, sequences, strict=True):
        start = len(sequence.prompt_ids) - 1
        places = row.nonzero().flatten().tolist()
        assert places == list(range(start, start + len(sequence.response_ids))), "position t stands for token t + 1"


def test_the_value_head_leaves_the_model_alone() -> None:
    """Float32 whatever the model's dtype, no gradient to the hidden states, weights from its seed alone."""
    hidden = torch.randn(2, 3, 16, dtype=torch.bfloat16, requires_grad=True)
    torch.manual_seed(1)
    head, before = ValueHead(16, seed=3), torch.get_rng_state()
    values = head(hidden)
    assert (values.shape, values.dtype) == ((2, 3), torch.float32)
    values.sum().backward()
    assert hidden.grad is None
    torch.manual_seed(2)
    other = ValueHead(16, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(head.parameters(), other.parameters(), strict=True))
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), before), "and nobody else's random numbers move"


def test_responses_of_the_data_carry_their_label_at_their_last_token() -> None:
    """Mixed rows in the order drawn; the initial policy stands for the old one, also after the policy has moved."""
    inputs, policy = make_inputs(), make_policy()
    rollouts = Rollouts(policy, OF_DATA, 7, None)
    first = drawn_from(rollouts, inputs, OF_DATA)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(1.1)
    drawn = drawn_from(rollouts, inputs, OF_DATA)
    numbers = step_rows(inputs.prompt_ids, PPO.NEEDS, 8, 7)(0).responses
    assert numbers is not None
    sides = (inputs.pairs.chosen, inputs.pairs.rejected)
    assert drawn.sequences == [sides[number % 2][number // 2] for number in numbers]
    for row, (sequence, number) in enumerate(zip(drawn.sequences, numbers, strict=True)):
        last = len(sequence.prompt_ids) + len(sequence.response_ids) - 2
        assert drawn.rewards[row].nonzero().flatten().tolist() == [last]
        assert drawn.rewards[row, last] == (-1 if number % 2 else 1)
        assert int(drawn.mask[row].sum()) == len(sequence.response_ids)
    assert {float(value) for value in drawn.rewards.sum(dim=1)} == {-1, 1}
    assert drawn.old_logps is drawn.ref_logps
    assert torch.equal(drawn.ref_logps, first.ref_logps)
    assert not torch.equal(drawn.old_values, first.old_values)


def test_responses_of_the_policy() -> None:
    """One per unique prompt, ended by EOS, a role tag or its room, the same for the same seed and step."""
    inputs, policy = make_inputs(), make_policy(dtype=torch.float32)
    rollouts = Rollouts(policy, OF_POLICY, 7, respond_by(policy))
    drawn, again, later = (drawn_from(rollouts, inputs, OF_POLICY, step) for step in (0, 0, 1))
    rows = step_rows(inputs.prompt_ids, rows_of_rollouts(PPO.NEEDS, OF_POLICY), 8, 7)(0).chosen
    assert [s.prompt_ids for s in drawn.sequences] == [inputs.pairs.chosen[row].prompt_ids for row in rows]
    tags = [tokenizer()(tag, add_special_tokens=False)["input_ids"][0] for tag in ROLE_TAGS]
    for sequence in drawn.sequences:
        *inner, last = sequence.response_ids
        assert not set(inner) & {*tags, tokenizer().eos_token_id}
        assert last in {*tags, tokenizer().eos_token_id} or len(sequence.response_ids) == 12
    assert drawn.sequences == again.sequences != later.sequences
    assert torch.equal(drawn.rewards, again.rewards)
    assert policy.model.training


def test_what_is_scored_is_the_text_that_a_judge_reads() -> None:
    """Without the tag that ended it, and closed by EOS."""
    policy, seen = make_policy(dtype=torch.float32), []

    def score(sequences: Sequence[Tokens]) -> torch.Tensor:
        seen.extend(sequences)
        return torch.arange(len(sequences)).float()

    prompts = [tokens.prompt_ids for tokens in make_inputs().pairs.chosen[:20]]
    responses, rewards = responder(policy.model, tokenizer(), score, 96, 40, 8)(prompts, 5)
    assert rewards.tolist() == list(range(20))
    ends = {sequence.response_ids[-1] for sequence in responses}
    assert ends & {tokenizer()(tag, add_special_tokens=False)["input_ids"][0] for tag in ROLE_TAGS}, "tags are tried"
    for response, scored in zip(responses, seen, strict=True):
        assert response.prompt_ids == scored.prompt_ids
        assert scored.response_ids[-1] == tokenizer().eos_token_id
        text = tokenizer().decode(scored.response_ids[:-1])
        assert text in tokenizer().decode(response.response_ids, skip_special_tokens=True)
        assert not any(tag.strip() in text for tag in TAGS.values())


def test_the_ratio_is_one_before_the_first_update() -> None:
    inputs, policy = make_inputs(), make_policy()
    rollouts = Rollouts(policy, OF_POLICY, 7, respond_by(policy))
    rows = step_rows(inputs.prompt_ids, rows_of_rollouts(PPO.NEEDS, OF_POLICY), 8, 7)(0)
    drawn, updates, read = rollouts.draw(inputs, rows, 0)
    assert drawn.responses is not None
    assert [sorted(updates[i].chosen + updates[i + 1].chosen) for i in (0, 2)] == [list(range(8))] * 2
    assert updates[0] != updates[2], "shuffled anew in each pass"
    for update in updates:
        values = read([drawn.responses.sequences[row] for row in update.chosen])
        batch = make_batch(update, values, drawn, PPO.NEEDS)
        assert isinstance(batch, RolloutBatch)
        torch.testing.assert_close(batch.policy_logps, batch.old_logps, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(batch.values, batch.old_values, rtol=1e-5, atol=1e-5)
        assert batch.policy_logps.requires_grad and batch.values.requires_grad
        assert not (batch.old_logps.requires_grad or batch.ref_logps.requires_grad or batch.rewards.requires_grad)


def test_the_loop_holds_the_old_policy_fixed_while_it_updates(store: CheckpointStore) -> None:
    """Four updates in one step: ratios are 1 in the first and no more in the last; the next step starts anew."""
    ratios: list[float] = []

    def loss(batch: RolloutBatch, hp: Any) -> LossOutput:
        ratios.append(float((batch.policy_logps - batch.old_logps).abs().max().detach()))
        return PPO.loss(batch, hp)

    policy = make_policy()
    training = Training(**settings(max_steps=2, rollout=dataclasses.replace(OF_POLICY, minibatches=1, ppo_epochs=4)))
    respond = respond_by(policy)
    needs = dataclasses.replace(PPO.NEEDS, gather=False)
    learner = learner_of(policy, PPO, training, make_inputs(), respond=respond, loss=loss, needs=needs)
    train(learner, store)
    assert len(ratios) == 8
    assert max(ratios[0], ratios[4]) < 1e-9
    assert min(ratios[1:4] + ratios[5:]) > 1e-6


def unbroken(folder: Path, rollout: RolloutSettings) -> tuple[Policy, Outcome]:
    policy = make_policy(dtype=torch.float32)
    return policy, run_ppo(policy, CheckpointStore(folder / "unbroken"), rollout)


@pytest.mark.parametrize("rollout", [OF_DATA, OF_POLICY], ids=lambda settings: settings.responses)
def test_both_readings_train_and_resume_bit_for_bit(
    rollout: RolloutSettings, store: CheckpointStore, tmp_path: Path
) -> None:
    """Killed between two checkpoints; whatever random numbers the process has drawn since."""
    before = weights(make_policy(dtype=torch.float32))
    with pytest.raises(KeyboardInterrupt):
        run_ppo(make_policy(dtype=torch.float32), store, rollout, stop_at=5)
    state = store.load()
    assert state is not None
    assert state["step"] == 4
    assert set(state["value_head"]) == set(ValueHead(16, 0).state_dict())
    torch.manual_seed(12345)
    policy = make_policy(dtype=torch.float32)
    outcome = run_ppo(policy, store, rollout)
    assert_same((policy, outcome), unbroken(tmp_path, rollout))
    assert outcome.steps == 6
    assert all(math.isfinite(value) for entry in outcome.metrics for value in entry.values())
    assert any(not torch.equal(tensor, before[name]) for name, tensor in weights(policy).items())
    assert set(weights(policy)) == set(before), "the value head is no part of the model that is saved"


def test_the_value_head_is_clipped_apart_from_the_policy(store: CheckpointStore, tmp_path: Path) -> None:
    """A head that may not move at all leaves the first update of the policy as it is."""
    found = []
    for number, norm in enumerate((0.1, 0.0)):
        policy = make_policy()
        rollout = dataclasses.replace(OF_DATA, max_head_grad_norm=norm)
        run_ppo(policy, CheckpointStore(tmp_path / str(number)), rollout, max_steps=1)
        found.append(weights(policy))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_on_policy_ppo_raises_a_toy_reward_and_the_kl_holds_it_back(tmp_path: Path) -> None:
    """From 0.2 to near 1 without a KL in the reward; with one, the policy stays nearer to where it started."""
    rollout, ends = dataclasses.replace(OF_POLICY, ppo_epochs=2, minibatches=1), {}
    for kl_coef, steps in ((0.0, 60), (0.1, 30)):
        metrics = run_ppo(
            make_policy(dtype=torch.float32), CheckpointStore(tmp_path / str(kl_coef)), rollout, kl_coef=kl_coef,
            max_steps=steps, epochs=100.0, batch_size=24, contrast_size=24, micro_batch=24, lr=5e-3,
        ).metrics  # fmt: skip
        rewards = [entry["rewards/chosen"] for entry in metrics]
        ends[kl_coef] = sum(rewards[:5]) / 5, sum(rewards[-5:]) / 5, metrics[29]["objective/kl"]
    first, last, kl = ends[0.0]
    assert last > first + 0.4
    assert ends[0.1][2] < kl / 2


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_reward_that_is_no_number_stops_before_the_weights_move(bad: float, store: CheckpointStore) -> None:
    policy, before = make_policy(), weights(make_policy())

    def respond(prompts: Sequence[list[int]], seed: int) -> tuple[list[Tokens], torch.Tensor]:
        responses, rewards = respond_by(policy)(prompts, seed)
        rewards[2] = bad
        return responses, rewards

    training = Training(**settings(rollout=OF_POLICY))
    with pytest.raises(UserError, match="step 1: the loss is nan"):
        train(learner_of(policy, PPO, training, make_inputs(), respond=respond), store)
    torch.testing.assert_close(weights(policy), before, rtol=0, atol=0)


def test_what_a_rollout_method_wants(store: CheckpointStore) -> None:
    with pytest.raises(UserError, match=r"wants training\.rollout"):
        run_method(make_policy(), "ppo", store)
    with pytest.raises(UserError, match="the run has no reward model"):
        run_method(make_policy(), "ppo", store, rollout=OF_POLICY)
