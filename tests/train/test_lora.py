"""Adapters begin as nothing, are all that learns, and end in plain weights; neither packing nor resuming knows them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from train_helpers import compute_norms_in, make_inputs, make_policy, settings, short_training

from prefrepro.errors import UserError
from prefrepro.model import lora
from prefrepro.model.cpu_matmul import Linear
from prefrepro.model.examples import Tokens
from prefrepro.model.lora import Adapters
from prefrepro.model.policy import Layout, Policy
from prefrepro.model.training import Training
from prefrepro.specs.runtime import Engine
from prefrepro.train import run
from prefrepro.train.checkpoint import CheckpointStore
from prefrepro.train.engine import prepare
from prefrepro.train.run import check_adapters

LAYERS: dict[str, Any] = {"num_hidden_layers": 2}


def adapted(
    rank: int = 4, dtype: torch.dtype = torch.float32, layout: Layout = "shared", learnt: bool = True, **changes: Any
) -> tuple[Policy, Adapters]:
    """As `align` makes them: adapters first. `learnt`: B is not 0, as after a training."""
    given: dict[str, Any] = {"model_type": "llama", "output": "logp"} | changes
    model = make_policy(dtype=dtype, **LAYERS | given).model
    adapters = Adapters(model, rank, dtype, seed=3, output=given["output"])
    numbers = torch.Generator().manual_seed(11)
    for name, parameter in model.named_parameters():
        if learnt and "lora_B" in name:
            parameter.data = 0.05 * torch.randn(parameter.shape, generator=numbers).to(dtype)
    return Policy(model, 0, given["output"], layout), adapters


def sequences(n: int = 6) -> list[Tokens]:
    pairs = make_inputs(n).pairs
    return [*pairs.chosen, *pairs.rejected]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_new_adapters_say_exactly_what_the_model_says(dtype: torch.dtype) -> None:
    with torch.no_grad():
        found = adapted(dtype=dtype, learnt=False)[0](sequences())
        assert torch.equal(found, make_policy(dtype=dtype, **LAYERS)(sequences()))
        assert not torch.equal(found, adapted(dtype=dtype)[0](sequences())), "else no adapter would be read"


@pytest.mark.parametrize("is_tied", [True, False])
def test_every_linear_layer_but_the_output_head_learns_through_its_adapter_alone(is_tied: bool) -> None:
    policy, adapters = adapted(tie_word_embeddings=is_tied)
    policy(sequences()).sum().backward()
    found = {name for name, one in policy.model.named_parameters() if one.grad is not None and one.grad.any()}
    plain = make_policy(tie_word_embeddings=is_tied, **LAYERS).model
    linear = {name for name, one in plain.named_modules() if isinstance(one, torch.nn.Linear)} - {"lm_head"}
    assert len(linear) == 2 * 7
    assert found == {f"{name}.lora_{side}.default.weight" for name in linear for side in "AB"}
    assert len(adapters.trained()) == len(found)
    inner = [one for name, one in policy.model.named_modules() if name.endswith(("base_layer", "lora_A.default"))]
    assert {type(one) for one in inner} == {Linear}, "float32 products on a CPU go the same way in both"


def test_a_frozen_head_gets_no_gradient_and_changes_no_other() -> None:
    """Adapters on a model whose weights learn beside them, and on a frozen one."""
    gradients = []
    for is_frozen in (True, False):
        policy, adapters = adapted(dtype=torch.float64)
        learnt = adapters.trained()
        policy.model.requires_grad_(not is_frozen)
        for parameter in learnt:
            parameter.requires_grad_(True)
        policy(sequences()).sum().backward()
        assert (policy.model.get_output_embeddings().weight.grad is None) == is_frozen
        gradients.append([parameter.grad for parameter in learnt])
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen2", "phi3"])
def test_merged_weights_answer_as_the_adapters_did(model_type: str) -> None:
    policy, adapters = adapted(model_type=model_type)
    merged = adapters.merged(lambda: make_policy(model_type, torch.float32, **LAYERS).model)
    assert list(merged.state_dict()) == list(make_policy(model_type, **LAYERS).model.state_dict()), "a plain model"
    ids = torch.tensor([make_inputs(1).pairs.chosen[0].prompt_ids])
    with torch.no_grad():
        expected, found = policy.model(input_ids=ids).logits, merged(input_ids=ids).logits
        before = make_policy(model_type, torch.float32, **LAYERS).model(input_ids=ids).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (before - expected).abs().max() > 1e-2


def test_weights_are_merged_as_they_were_trained_over() -> None:
    """Frozen in bfloat16, adapters in float32: the merged weights are float32, and the sum of both."""
    model = make_policy(dtype=torch.bfloat16, **LAYERS).model
    adapters = Adapters(model, 2, torch.float32, seed=3)
    assert {one.dtype for one in adapters.trained()} == {torch.float32}
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(0.01)
    merged = adapters.merged(lambda: make_policy(dtype=torch.float32, **LAYERS).model)
    layer = model.model.layers[0].mlp.up_proj
    change = lora.ALPHA_PER_RANK * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    found = merged.model.layers[0].mlp.up_proj.weight
    torch.testing.assert_close(found, layer.base_layer.weight.float() + change, rtol=0, atol=1e-7)
    assert change.any() and found.dtype == torch.float32


@pytest.mark.parametrize("layout", ["shared", "packed"])
@pytest.mark.parametrize("model_type", ["llama", "mistral"])
def test_packed_rows_are_padded_ones(layout: Layout, model_type: str) -> None:
    """Log-probs, and the gradients of the adapters, in float64."""
    results = []
    for one in (layout, "padded"):
        policy, adapters = adapted(dtype=torch.float64, layout=one, model_type=model_type)
        compute_norms_in(torch.float64, policy.model)
        logps = policy(sequences())
        (logps * torch.linspace(-1, 1, len(logps))).sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in adapters.trained() if p.grad is not None])
        results.append((logps.detach(), gradient / gradient.norm()))
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-10)


def test_checkpointed_activations_give_the_same_gradients() -> None:
    gradients = []
    for engine in (Engine(), Engine(activation_checkpointing=True)):
        policy, adapters = adapted()
        prepare(policy.model.train(), engine)
        policy(sequences()).sum().backward()
        gradients.append([parameter.grad for parameter in adapters.trained()])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)


def test_a_classifier_learns_its_new_head_too_and_saves_it() -> None:
    policy, adapters = adapted(output="score")
    policy(sequences()).sum().backward()
    (head,) = [one for name, one in policy.model.named_parameters() if "score" in name and one.requires_grad]
    assert head.grad is not None and head.grad.any()
    head.data.add_(1)
    merged = adapters.merged(lambda: make_policy(dtype=torch.float32, output="score", **LAYERS).model)
    with torch.no_grad():
        found = Policy(merged, 0, "score")(sequences())
        torch.testing.assert_close(found, policy(sequences()), rtol=0, atol=1e-5)


def test_a_wider_head_reads_states_of_a_narrower_model() -> None:
    model = make_policy(dtype=torch.bfloat16, output="score", **LAYERS).model
    Adapters(model, 2, torch.float32, seed=3, output="score")
    assert Policy(model, 0, "score")(sequences()).dtype == torch.float32


def trained(store: CheckpointStore, stop_at: int | None) -> Policy:
    policy, _ = adapted(learnt=False)
    short_training(policy, store, stop_at)
    return policy


@pytest.mark.parametrize("stop_at", [1, 4, 5])
def test_an_interrupted_training_ends_as_an_unbroken_one(stop_at: int, store: CheckpointStore) -> None:
    expected = trained(CheckpointStore(store.folder.with_name("unbroken")), None).model.state_dict()
    with pytest.raises(KeyboardInterrupt):
        trained(store, stop_at)
    torch.testing.assert_close(trained(store, None).model.state_dict(), expected, rtol=0, atol=0)


def test_a_checkpoint_holds_what_is_trained_and_no_frozen_weight(store: CheckpointStore) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(store, 4)
    state = store.load()
    assert state is not None
    names = {name for name, one in adapted()[0].model.named_parameters() if one.requires_grad}
    assert set(state["model"]) == names
    assert len(state["optimizer"]["state"]) == len(names)


def test_one_seed_draws_one_adapter_and_another_another() -> None:
    def first(seed: int) -> torch.Tensor:
        model = copy.deepcopy(make_policy(dtype=torch.float32, **LAYERS).model)
        return Adapters(model, 4, torch.float32, seed).trained()[0].detach()

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))


def test_frozen_weights_may_be_narrower_without_being_divided_among_ranks() -> None:
    mixed = {"dtype": "float32", "compute_dtype": "bfloat16"}
    assert Training(**settings(**mixed)).is_mixed
    assert not Training(**settings(**mixed, lora_rank=2)).is_mixed


def test_what_cannot_be_trained_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_adapters(4, "none")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match=r"quantize is nf4, which wants a CUDA device.* Next: quantize: none"):
            check_adapters(4, "nf4")
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        with pytest.raises(UserError, match=r"lora_rank is 4, and torchrun started several .* Next: --processes 1"):
            check_adapters(4, "none")
    monkeypatch.setattr(run, "find_spec", lambda name: None)  # as where nothing of an extra is installed
    with pytest.raises(UserError, match=r"lora_rank is 4, which wants peft, .*Next: make setup, or pip install"):
        check_adapters(4, "none")
