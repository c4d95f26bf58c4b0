"""Tiny models whose answers are known: a random one, and chains that say one token after another."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from prefrepro.data.template import render_prompt
from prefrepro.data.world import generate
from prefrepro.model.pretrain import build_model, build_tokenizer

MAX_LENGTH = 128


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def prompts() -> list[str]:
    """Twelve rendered prompts of several lengths."""
    rows = itertools.islice(generate.documents("dialogue", 0), 12)
    return [render_prompt(row["prompt"]) for row in rows]


@pytest.fixture(scope="session")
def tokenizer(prompts: list[str]) -> Any:
    return build_tokenizer(prompts, 350, MAX_LENGTH)


def config(model_type: str, hidden_size: int, **changes: Any) -> dict[str, Any]:
    values = {
        "model_type": model_type, "hidden_size": hidden_size, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "intermediate_size": 32, "max_position_embeddings": MAX_LENGTH,
        "tie_word_embeddings": False, "initializer_range": 0.3,
    }  # fmt: skip
    return values | changes


@pytest.fixture(scope="session")
def random_model(tokenizer: Any) -> Callable[[str], Any]:
    """A float32 model of a type, two layers; Mistral's window is shorter than the prompts."""

    def make(model_type: str) -> Any:
        window = {"sliding_window": 16} if model_type == "mistral" else {}
        return build_model(config(model_type, 16, num_hidden_layers=2, **window), tokenizer, seed=0)

    return make


@pytest.fixture(scope="session")
def chain() -> Callable[[Any, Mapping[str, str]], Any]:
    """A Llama with weights set by hand, whose next token depends on the last one alone, as `successors` say.

    Attention and MLP add nothing, a token's hidden state is its own axis, and the head looks up the successor.
    Tokens without a successor repeat themselves.
    """

    def make(tokenizer: Any, successors: Mapping[str, str]) -> Any:
        size = len(tokenizer) + len(tokenizer) % 2
        model = build_model(config("llama", size, head_dim=2), tokenizer, seed=0)

        def token(text: str) -> int:
            special = tokenizer.eos_token if text == "EOS" else text
            (number,) = tokenizer(special, add_special_tokens=False)["input_ids"]
            return number

        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    weight.zero_()
            model.model.embed_tokens.weight.copy_(torch.eye(size)[: len(tokenizer)])
            head = torch.eye(size)[: len(tokenizer)]
            for before, after in successors.items():
                head[:, token(before)] = 0
                head[token(after), token(before)] = 1
            model.lm_head.weight.copy_(head)
        return model

    return make
