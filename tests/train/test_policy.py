"""What a policy says of a response does not depend on padding, neighbours or how logits are made."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from train_helpers import make_inputs, make_policy, model_config, tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification

from bench.full_logps import sequence_logps
from methods.contract import Needs
from prefrepro.model.batches import Rows, sequences_of
from prefrepro.model.examples import Tokens
from prefrepro.model.policy import SIDE_BY_SIDE, Policy

MODELS = [
    pytest.param("llama", {}, id="llama"),
    pytest.param("llama", {"tie_word_embeddings": False, "num_hidden_layers": 2}, id="llama-untied"),
    pytest.param("mistral", {"sliding_window": None}, id="mistral"),
    pytest.param("mistral", {"sliding_window": 6, "num_hidden_layers": 2}, id="mistral-window"),
]


def naive(policy: Policy, sequences: list[Tokens]) -> Tensor:
    """Full logits of each sequence alone: no padding, no neighbours, no selection of positions."""
    values = []
    for tokens in sequences:
        ids = torch.tensor([tokens.prompt_ids + tokens.response_ids])
        labels = ids.clone()
        labels[:, : len(tokens.prompt_ids)] = -100
        values.append(sequence_logps(policy.model(input_ids=ids).logits, labels)[0])
    return torch.cat(values)


@pytest.mark.parametrize(("model_type", "changes"), MODELS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_log_probs_equal_the_naive_ones(model_type: str, changes: dict, dtype: torch.dtype) -> None:
    rtol = 1e-10 if dtype == torch.float64 else 1e-5
    policy, pairs = make_policy(model_type, dtype, **changes), make_inputs(6).pairs
    sequences = [*pairs.chosen, *pairs.rejected]
    assert len({len(s.prompt_ids) + len(s.response_ids) for s in sequences}) > 3, "padding is tried"
    with torch.no_grad():
        torch.testing.assert_close(policy(sequences), naive(policy, sequences), rtol=rtol, atol=rtol)


def test_a_sliding_window_shorter_than_the_text_matters() -> None:
    """Else the test above would say nothing of it."""
    sequences = make_inputs(3).pairs.chosen
    changes: dict[str, Any] = {"num_hidden_layers": 2}
    with torch.no_grad():
        near = make_policy("mistral", sliding_window=6, **changes)(sequences)
        far = make_policy("mistral", sliding_window=None, **changes)(sequences)
    assert (near - far).abs().min() > 1e-3


@pytest.mark.parametrize(("model_type", "changes"), MODELS)
def test_values_do_not_depend_on_what_is_batched_together(model_type: str, changes: dict) -> None:
    policy, inputs = make_policy(model_type, torch.float32, **changes), make_inputs(3 * SIDE_BY_SIDE // 2 + 1)
    rows, needs = list(range(len(inputs.pairs.chosen))), Needs(shape="paired")
    chosen, rejected = inputs.pairs.chosen, inputs.pairs.rejected
    with torch.no_grad():
        alone = [torch.cat([policy([tokens]) for tokens in side]) for side in (chosen, rejected)]
        together = policy(sequences_of(Rows(rows, rows), inputs, needs))
        few = policy(sequences_of(Rows(rows[3:5], rows[4:5]), inputs, needs))
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(few, torch.cat([alone[0][3:5], alone[1][4:5]]), rtol=1e-5, atol=1e-5)
    for batch_size in (1, 5, 100):
        scored = policy.score_all(chosen, batch_size)
        torch.testing.assert_close(scored, alone[0], rtol=1e-5, atol=1e-5)


def test_a_score_is_read_at_the_last_token_whatever_the_padding() -> None:
    """Also of a hub checkpoint whose config names no pad token, as Llama 2's and Mistral's do not."""
    tok = tokenizer()
    config = AutoConfig.for_model(**model_config(), vocab_size=len(tok), num_labels=1, pad_token_id=None)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config)
    policy, sequences = Policy(model, tok.pad_token_id, "score"), make_inputs(5).pairs.chosen
    with torch.no_grad():
        alone = torch.cat([policy([tokens]) for tokens in sequences])
        torch.testing.assert_close(policy(sequences), alone)
    assert alone.std() > 0
    assert policy.score_all(sequences, 5).shape == (5,)


def test_scoring_leaves_the_mode_of_the_model_alone() -> None:
    policy = make_policy(dtype=torch.float32)
    policy.model.train()
    values = policy.score_all(make_inputs(3).pairs.chosen, 2)
    assert policy.model.training
    assert not values.requires_grad
    assert policy.score_all([], 2).shape == (0,)
