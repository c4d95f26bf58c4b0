"""A released reward model as a judge: a tiny Qwen3ForSequenceClassification, saved here, behind the real server."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from judge_helpers import make_items
from shared import SHARED
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM, Qwen3ForSequenceClassification

from prefrepro.data.template import render_history
from prefrepro.errors import UserError
from prefrepro.files import sha256_file
from prefrepro.judge.classifier import BATCH, Classifier, located, messages_of
from prefrepro.judge.client import chat_request
from prefrepro.judge.connect import judge_client
from prefrepro.judge.pairwise import judge_items
from prefrepro.plan.build import make_plan
from prefrepro.plan.judges import of_judges
from prefrepro.plan.resources import ScaleResources
from prefrepro.specs.judge import judge_config

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
)
"""The form of Qwen3's: every message between marks, nothing before the first."""
MESSAGES = [
    {"role": "user", "content": "What is\ntwo?"},
    {"role": "assistant", "content": "One and one."},
    {"role": "user", "content": "And three?"},
]


def sizes(**changes: Any) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=512, initializer_range=0.5, **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, one logit, a byte-level tokenizer with Qwen3's form of a chat template."""
    out = tmp_path_factory.mktemp("reward") / "model"
    torch.manual_seed(0)
    Qwen3ForSequenceClassification(sizes(num_labels=1)).save_pretrained(out)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = {token: number for number, token in enumerate([*alphabet, "<|endoftext|>", "<|im_start|>", "<|im_end|>"])}
    raw = Tokenizer(models.BPE(vocab=tokens, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    marks = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "additional_special_tokens": ["<|im_start|>"]}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, **marks)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(out)
    return out


def by_hand(folder: Path, messages: list[dict[str, str]]) -> float:
    """As the model card of Skywork-Reward-V2 has it, one conversation at a time, without padding."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    model = Qwen3ForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return float(model(**tokenizer(text, return_tensors="pt")).logits[0][0])


def test_the_score_is_the_model_cards(folder: Path) -> None:
    score = Classifier(folder)(render_history(MESSAGES), "Three ones.")
    assert score == pytest.approx(by_hand(folder, [*MESSAGES, {"role": "assistant", "content": "Three ones."}]), 1e-5)


def test_a_history_is_read_back() -> None:
    assert messages_of(render_history(MESSAGES)) == MESSAGES
    assert messages_of("no tag") == [{"role": "user", "content": "no tag"}]


def test_answers_that_come_together_are_scored_together_and_alike(folder: Path) -> None:
    """Lengths differ, so all but the longest are padded; no score depends on its company."""
    scorer, texts = Classifier(folder), ["x" * (1 + 7 * n) for n in range(40)]
    alone = [scorer("\n<|user|>\nSay it.", text) for text in texts]
    assert scorer.batches == [1] * 40
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda text: scorer("\n<|user|>\nSay it.", text), texts))
    assert together == pytest.approx(alone, abs=1e-4)
    assert 1 < max(scorer.batches[40:]) <= BATCH and sum(scorer.batches[40:]) == 40


def test_too_long_a_text_is_refused_and_the_next_is_scored(folder: Path) -> None:
    scorer = Classifier(folder)
    with pytest.raises(ValueError, match="tokens, the reward model reads 512"):
        scorer("\n<|user|>\nSay it.", "x" * 600)
    assert isinstance(scorer("\n<|user|>\nSay it.", "x"), float)


def test_it_judges_through_server_and_client(folder: Path, tmp_path: Path) -> None:
    """Pairwise in both orders: position means nothing to it, and the better score wins."""
    config = judge_config(
        {"name": "tiny", "kind": "local", "scorer": "classifier", "weights": str(folder), "model": "tiny"}, "tiny"
    )
    items = [
        one if n % 2 else one | {"response": one["baseline"], "baseline": one["response"]}
        for n, one in enumerate(make_items(12))
    ]
    with judge_client(config, tmp_path / "cache.sqlite") as client:
        frame = judge_items(items, client, protocol="robust", template="dialogue", progress=False)
        assert client.identity == f"local:classifier:{sha256_file(folder / 'model.safetensors')}"
    scorer = Classifier(folder)
    wins = [scorer(one["history"], one["response"]) > scorer(one["history"], one["baseline"]) for one in items]
    assert list(frame["verdict"]) == [word for won in wins for word in ["win" if won else "loss"] * 2]
    assert 0 < sum(wins) < 12, "the weights are such that both happen"


def test_other_weights_are_another_judge(folder: Path, tmp_path: Path) -> None:
    """Replies of one model are never taken for another's."""
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    torch.manual_seed(1)
    Qwen3ForSequenceClassification(sizes(num_labels=1)).save_pretrained(other)
    assert located(str(folder), None)[1] != located(str(other), None)[1]


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (lambda: Qwen3ForCausalLM(sizes()), "score.weight missing"),
        (lambda: Qwen3ForSequenceClassification(sizes(num_labels=3)), "found 3 labels"),
    ],
)
def test_what_is_no_reward_model_is_refused(folder: Path, tmp_path: Path, model: Any, told: str) -> None:
    shutil.copytree(folder, tmp_path / "model")
    model().save_pretrained(tmp_path / "model")
    config = judge_config(
        {"name": "x", "kind": "local", "scorer": "classifier", "weights": str(tmp_path / "model"), "model": "x"}, "x"
    )
    with judge_client(config, tmp_path / "cache.sqlite") as client, pytest.raises(UserError, match=told):
        client.ask(chat_request(config, [{"role": "user", "content": "Hello"}]))


def test_the_settings_say_what_is_missing() -> None:
    with pytest.raises(UserError, match="weights: belongs to scorer classifier, which wants it"):
        judge_config({"name": "x", "kind": "local", "scorer": "classifier", "model": "x"}, "x")
    with pytest.raises(UserError, match="weights: belongs to scorer classifier"):
        judge_config({"name": "x", "kind": "local", "scorer": "longer", "weights": "y", "model": "x"}, "x")


def test_it_stands_in_for_an_api_at_scale_pocket_but_rates_nothing() -> None:
    """Pairwise, AlpacaEval and Arena-Hard are judged by it; MT-Bench's ratings want a scale that it has not."""
    plan = make_plan({"scale": "pocket", "judge": "skywork-reward"})
    assert not plan.broken
    judged = [node for node in plan.nodes.values() if node.kind == "verdict"]
    assert {node.spec["evaluation"] for node in judged} == {"pairwise", "alpaca_eval", "arena_hard", "mt_bench"}
    assert {ScaleResources(plan).of(node).gpus for node in judged} == {1}, "on the scale's card"
    assert not of_judges(plan, [node for node in judged if node.spec["evaluation"] != "mt_bench"])
    with pytest.raises(UserError, match="no scale of 1 to 10, but MT-Bench wants ratings"):
        of_judges(plan, judged)


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="scale laptop reads the files of shared/data")
def test_it_stands_in_for_the_trained_reward_model_at_scale_laptop() -> None:
    plan = make_plan({"scale": "laptop", "judge": "skywork-reward", "data": str(SHARED / "data")})
    assert {node.spec["judge"]["scorer"] for node in plan.nodes.values() if node.kind == "verdict"} == {"classifier"}
    assert not [node for node in plan.nodes.values() if node.kind == "reward_model"], "none needs to be trained"
