"""Engines: what another one must not change, which is every greedy answer, and what each is asked with."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from prefrepro.errors import UserError
from prefrepro.model.decode import answer_of, stop_ids
from prefrepro.model.load import save_model
from prefrepro.sample.answers import generate
from prefrepro.sample.engines import VLLM, Continuous, vllm_sampling
from prefrepro.sample.padded import Padded, Request

ANSWERS = {"a": "b", "b": "EOS", "m": "n", "n": "<|user|>", "x": "y", "y": "x", "z": "EOS"}
"""As in test_generate.py: «b» and EOS, «n» and a role tag, y x y x … without end, nothing."""
Chain = Callable[[Any, Mapping[str, str]], Any]
RandomModel = Callable[[str], Any]
LIMITS = {"temperature": 0.0, "top_p": 1.0, "max_length": 64, "max_new_tokens": 8}


def both(model: Any, tokenizer: Any, prompts: list[str], batch_size: int, **changes: Any) -> list[Any]:
    """Answers of the default engine, and of continuous batching."""
    engines = (Padded(model, tokenizer, batch_size), Continuous(model, tokenizer, batch_size))
    return [generate(engine, tokenizer(prompts)["input_ids"], LIMITS | changes, 0) for engine in engines]


@pytest.mark.parametrize("model_type", ["llama", "mistral"])
def test_continuous_batching_gives_the_default_engines_greedy_answers(
    model_type: str, random_model: RandomModel, tokenizer: Any, prompts: list[str]
) -> None:
    """With fewer places than prompts, so that answers take the places of others; Mistral's window is short."""
    padded, continuous = both(random_model(model_type), tokenizer, prompts, 5)
    assert continuous == padded
    assert len({answer["response"] for answer in padded}) > 6, "the models tell prompts apart"


def test_continuous_batching_ends_a_response_by_the_same_rules(chain: Chain, tokenizer: Any) -> None:
    prompts = ["1a", "22m", "333x", "z"]
    padded, continuous = both(chain(tokenizer, ANSWERS), tokenizer, prompts, 4)
    assert [answer["finish"] for answer in continuous] == ["eos", "role_tag", "length", "eos"]
    assert continuous == padded


def test_continuous_batching_leaves_each_prompt_its_own_room(chain: Chain, tokenizer: Any) -> None:
    """max_length bounds prompt and response together."""
    model, prompts = chain(tokenizer, ANSWERS), ["1 " * 8 + "-x", "x"]
    padded, continuous = both(model, tokenizer, prompts, 2, max_new_tokens=None, max_length=32)
    assert [answer["tokens"] for answer in continuous] == [32 - len(tokenizer(one)["input_ids"]) for one in prompts]
    assert continuous == padded


def test_continuous_batching_is_seeded(random_model: RandomModel, tokenizer: Any, prompts: list[str]) -> None:
    engine = Continuous(random_model("llama"), tokenizer, 4)
    warm = LIMITS | {"temperature": 0.9}
    one = generate(engine, tokenizer(prompts)["input_ids"], warm, 3)
    assert generate(engine, tokenizer(prompts)["input_ids"], warm, 3) == one
    assert generate(engine, tokenizer(prompts)["input_ids"], warm, 4) != one
    narrow = generate(engine, tokenizer(prompts)["input_ids"], LIMITS | {"temperature": 2.0, "top_p": 1e-6}, 0)
    assert narrow == generate(engine, tokenizer(prompts)["input_ids"], LIMITS, 0), "next to no mass allowed is greedy"


@pytest.mark.parametrize(("dtype", "flash"), [(torch.float32, False), (torch.bfloat16, True)])
def test_flash_attention_is_for_half_precision_alone(
    dtype: torch.dtype, flash: bool, chain: Chain, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is installed transformers would switch it on for float32 too, which its kernels refuse."""
    model, asked = chain(tokenizer, ANSWERS).to(dtype), list[Any]()
    start = model.init_continuous_batching

    def recorded(**how: Any) -> Any:
        asked.append(how["continuous_batching_config"].auto_switch_to_flash)
        return start(**how)

    monkeypatch.setattr(model, "init_continuous_batching", recorded)
    engine = Continuous(model, tokenizer, 2)
    assert generate(engine, tokenizer(["1a"])["input_ids"], LIMITS, 0)[0]["response"] == "b"
    assert asked == [flash]


def test_the_default_engine_is_as_it_was_after_continuous_batching(
    random_model: RandomModel, tokenizer: Any, prompts: list[str]
) -> None:
    """Continuous batching changes the model's attention while it runs, and must give it back."""
    model = random_model("llama")
    before = generate(Padded(model, tokenizer, 4), tokenizer(prompts)["input_ids"], LIMITS, 0)
    generate(Continuous(model, tokenizer, 4), tokenizer(prompts)["input_ids"], LIMITS, 0)
    assert generate(Padded(model, tokenizer, 4), tokenizer(prompts)["input_ids"], LIMITS, 0) == before


def test_a_failure_of_continuous_batching_is_no_empty_answer(
    random_model: RandomModel, tokenizer: Any, prompts: list[str]
) -> None:
    """transformers logs what its thread met and hands back fewer answers, or answers cut short."""
    model = random_model("llama")
    del model.model.layers[1].mlp.down_proj
    with pytest.raises(RuntimeError, match="continuous batching"):
        generate(Continuous(model, tokenizer, 4), tokenizer(prompts)["input_ids"], LIMITS, 0)


def test_what_vllm_is_asked() -> None:
    """Room as the default engine leaves it, the same ends, greedy without top-p, a seed for each answer."""
    request = Request(temperature=0.7, top_p=0.9, room=8, max_length=12, seed=5)
    short, long = vllm_sampling([[1, 2], [1] * 9], request, [0, 7])
    assert (short["max_tokens"], long["max_tokens"]) == (8, 3)
    assert (short["temperature"], short["top_p"], short["stop_token_ids"]) == (0.7, 0.9, [0, 7])
    assert short["seed"] != long["seed"]
    assert vllm_sampling([[1, 2]], request, [0, 7]) == [short], "of a neighbour it knows nothing"
    (greedy,) = vllm_sampling([[1]], Request(0.0, 0.9, 8, 12, 5), [0])
    assert (greedy["temperature"], greedy["top_p"]) == (0.0, 1.0)


def test_tokens_of_another_engine_end_by_the_same_rules(tokenizer: Any) -> None:
    """As vLLM gives them: the token that stopped is the last, or there is none and the room is used up."""

    def told(text: str, *last: int) -> tuple[str, int, str]:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        answer = answer_of(tokenizer, [*ids, *last], stop_ids(tokenizer))
        return answer.text, answer.tokens - len(ids), answer.finish

    eos, *tags = stop_ids(tokenizer)
    assert eos == tokenizer.eos_token_id and tags
    assert told("yes", eos) == ("yes", 0, "eos")
    assert told("yes", tags[0]) == ("yes", 0, "role_tag")
    assert told("yes") == ("yes", 0, "length")


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_a_user_is_told_what_to_install(tokenizer: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"prefrepro\[vllm\].*or set engine: transformers"):
        VLLM(tmp_path, tokenizer, "float32", 64)


@pytest.mark.gpu
def test_vllm_gives_the_default_engines_greedy_answers(chain: Chain, tokenizer: Any, tmp_path: Path) -> None:
    """On a chain, whose next token no rounding can move. Not run yet by anybody."""
    pytest.importorskip("vllm")
    model = chain(tokenizer, ANSWERS)
    save_model(model, tokenizer, tmp_path)
    prompts = ["1a", "22m", "333x", "z"]
    engine = VLLM(tmp_path, tokenizer, "float32", LIMITS["max_length"])
    expected = generate(Padded(model, tokenizer, 4), tokenizer(prompts)["input_ids"], LIMITS, 0)
    assert generate(engine, tokenizer(prompts)["input_ids"], LIMITS, 0) == expected
