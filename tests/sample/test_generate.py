"""Sampling: what ends a response, in which order they come, what they do not depend on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from prefrepro.data.template import TAGS, render_prompt
from prefrepro.data.truncate import Limits
from prefrepro.model.decode import cut_at_role_tag
from prefrepro.model.examples import encode_pairs
from prefrepro.model.load import save_model
from prefrepro.sample.answers import Asked, generate
from prefrepro.sample.engines import Continuous
from prefrepro.sample.generate import run
from prefrepro.sample.padded import Padded

ANSWERS = {"a": "b", "b": "EOS", "m": "n", "n": "<|user|>", "x": "y", "y": "x", "z": "EOS"}
"""What the chain says: after a: «b» and EOS; after m: «n» and a role tag; after x: y x y x … without end."""
Chain = Callable[[Any, Mapping[str, str]], Any]
RandomModel = Callable[[str], Any]


def settings(**changes: Any) -> dict[str, Any]:
    values = {
        "temperature": 0.0, "top_p": 1.0, "max_length": 64, "max_prompt_length": 56, "truncation_mode": "keep_end",
        "cut_prompts": "always", "max_new_tokens": 8, "batch_size": 4,
        "dtype": "float32", "threads": 1, "engine": "transformers", "seed_per": "draw",
    }  # fmt: skip
    return values | changes


def ask(model: Any, tokenizer: Any, prompts: list[str], sampling: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """Answers of the default engine."""
    return generate(Padded(model, tokenizer, sampling["batch_size"]), tokenizer(prompts)["input_ids"], sampling, seed)


def test_what_ends_a_response(chain: Chain, tokenizer: Any) -> None:
    """EOS and a role tag end it and are not part of it; else the length does. One batch, so none ends another."""
    model = chain(tokenizer, ANSWERS)
    assert ask(model, tokenizer, ["1a", "22m", "333x", "z"], settings(), 0) == [
        {"response": "b", "tokens": 1, "finish": "eos"},
        {"response": "n", "tokens": 1, "finish": "role_tag"},
        {"response": "yxyxyxyx", "tokens": 8, "finish": "length"},
        {"response": "", "tokens": 0, "finish": "eos"},
    ]


def test_eos_alone_ends_a_response_where_the_release_is_followed(chain: Chain, tokenizer: Any) -> None:
    """trainers.py:199-206 has no stop strings: a model that goes on as the user is judged by that too."""
    model = chain(tokenizer, ANSWERS | {"<|user|>": "b"})
    for engine in (Padded(model, tokenizer, 2), Continuous(model, tokenizer, 2)):
        ids = tokenizer(["22m", "333x"])["input_ids"]
        first, second = generate(engine, ids, settings(stop_at="eos"), 0)
        assert (first["tokens"], first["finish"]) == (3, "eos") and first["response"].endswith("b")
        assert second["finish"] == "length"


@pytest.mark.parametrize("tag", [tag.strip() for tag in TAGS.values()])
def test_every_role_tag_ends_a_response(tag: str, chain: Chain, tokenizer: Any) -> None:
    model = chain(tokenizer, {"m": "n", "n": tag, tag: "x", "x": "EOS"})
    assert ask(model, tokenizer, ["m"], settings(), 0) == [{"response": "n", "tokens": 1, "finish": "role_tag"}]


def test_a_role_tag_of_several_tokens_is_cut_off_too(chain: Chain) -> None:
    """As hub tokenizers have it: no token of its own, so the model goes on, and the text is cut."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        special_tokens=["<s>", "</s>"], initial_alphabet=core.pre_tokenizer.alphabet(), show_progress=False
    )
    core.train_from_iterator(["<|user|>"] * 4, trainer)
    tok = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    assert len(tok("<|user|>", add_special_tokens=False)["input_ids"]) == 3
    model = chain(tok, {"m": "n", "n": "<|", "<|": "user", "user": "|>", "|>": "z", "z": "EOS"})
    (answer,) = ask(model, tok, ["m"], settings(), 0)
    assert (answer["response"], answer["finish"]) == ("n", "role_tag")


def test_cut_at_role_tag() -> None:
    assert cut_at_role_tag("Yes.\n<|user|>\nMore?\n<|assistant|>\nNo.") == ("Yes.\n", True)
    assert cut_at_role_tag("Yes. <user>") == ("Yes. <user>", False)
    assert cut_at_role_tag("<|assistant|>") == ("", True)
    assert cut_at_role_tag("") == ("", False)


@pytest.mark.parametrize("model_type", ["llama", "mistral"])
def test_greedy_answers_depend_on_neither_batch_nor_order(
    model_type: str, random_model: RandomModel, tokenizer: Any, prompts: list[str]
) -> None:
    """Padding on the left, masked, moves no argmax of these models; the answers come in the prompts' order."""
    model = random_model(model_type)
    alone = [ask(model, tokenizer, [prompt], settings(), 0)[0] for prompt in prompts]
    assert len({answer["response"] for answer in alone}) > 6, "the models tell prompts apart"
    for batch_size in (3, 5, 100):
        assert ask(model, tokenizer, prompts, settings(batch_size=batch_size), 0) == alone
    turned = ask(model, tokenizer, prompts[::-1], settings(batch_size=5), 1)
    assert turned[::-1] == alone


def test_a_checkpoints_own_generation_settings_are_not_followed(
    random_model: RandomModel, tokenizer: Any, prompts: list[str]
) -> None:
    """Qwen's instruct models bring a repetition penalty, which changes most greedy answers."""
    model = random_model("llama")
    expected = [ask(model, tokenizer, prompts, settings(**more), 0) for more in ({}, {"temperature": 1.0})]
    for name, value in {"repetition_penalty": 5.0, "no_repeat_ngram_size": 1, "min_new_tokens": 5, "top_k": 1}.items():
        setattr(model.generation_config, name, value)
    assert [ask(model, tokenizer, prompts, settings(**more), 0) for more in ({}, {"temperature": 1.0})] == expected
    assert model.generation_config.repetition_penalty == 5.0, "and are saved with the model as they were"


def test_no_response_holds_a_role_tag(random_model: RandomModel, tokenizer: Any, prompts: list[str]) -> None:
    hot = settings(temperature=3.0, max_new_tokens=40, max_length=100)
    answers = ask(random_model("llama"), tokenizer, prompts * 8, hot, 0)
    assert {answer["finish"] for answer in answers} == {"eos", "role_tag", "length"}, "all three ends are tried"
    tags = [tag.strip() for tag in TAGS.values()]
    special = [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token]
    for answer in answers:
        assert not any(mark in answer["response"] for mark in tags + special)
        assert answer["response"] == answer["response"].strip()
        assert (answer["tokens"] == 40) == (answer["finish"] == "length")


def test_sampling_is_seeded(random_model: RandomModel, tokenizer: Any, prompts: list[str]) -> None:
    warm, model = settings(temperature=0.7), random_model("llama")
    one = ask(model, tokenizer, prompts, warm, 3)
    assert ask(model, tokenizer, prompts, warm, 3) == one
    assert ask(model, tokenizer, prompts, warm, 4) != one
    assert ask(model, tokenizer, prompts, settings(), 3) != one


def test_top_p_keeps_to_the_likely(random_model: RandomModel, tokenizer: Any, prompts: list[str]) -> None:
    """With next to no mass allowed, sampling is greedy whatever the temperature."""
    model = random_model("llama")
    narrow = ask(model, tokenizer, prompts, settings(temperature=2.0, top_p=1e-6), 0)
    assert narrow == ask(model, tokenizer, prompts, settings(), 0)


def test_without_a_limit_of_its_own_a_response_has_what_the_prompt_leaves(chain: Chain, tokenizer: Any) -> None:
    """max_new_tokens null, as in the papers."""
    model, prompts = chain(tokenizer, ANSWERS), ["1 " * 8 + "-x", "x"]
    limits = settings(max_new_tokens=None, max_length=32, batch_size=1)
    apart = ask(model, tokenizer, prompts, limits, 0)
    assert [answer["tokens"] for answer in apart] == [32 - len(tokenizer(one)["input_ids"]) for one in prompts]
    assert {answer["finish"] for answer in apart} == {"length"}
    together = ask(model, tokenizer, prompts, limits | {"batch_size": 2}, 0)
    assert together == apart, "a batch's longest prompt takes nobody's room but its own"


def test_a_sample_set_on_disk(chain: Chain, tokenizer: Any, tmp_path: Path) -> None:
    """Rows of prompts.jsonl in their order, each with its answer, and a manifest that counts the ends."""
    starts = ["z", "a", "m", "x", "a"]
    rows = []
    for number, text in enumerate(starts):
        prompt = [{"role": "user", "content": f"{number} {text}"}]
        rows.append({"prompt_id": f"id{number}", "prompt": prompt, "baseline": f"base {number}"})
    (tmp_path / "data").mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data/prompts.jsonl").write_text(lines, encoding="utf-8")
    successors = ANSWERS | {"\n": "a"}  # every rendered prompt ends with a line break
    save_model(chain(tokenizer, successors), tokenizer, tmp_path / "run/model")
    spec = {"sampling": settings(batch_size=2), "seed": 1}
    inputs = {"data": tmp_path / "data", "run": tmp_path / "run"}
    for out in ("one", "two"):
        run(spec, inputs, tmp_path / out)
    samples = [json.loads(line) for line in (tmp_path / "one/samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [{key: row[key] for key in ("prompt_id", "prompt", "baseline")} for row in samples] == rows
    assert {(row["response"], row["tokens"], row["finish"]) for row in samples} == {("ab", 2, "eos")}
    assert all(render_prompt(row["prompt"]).endswith("\n") for row in rows)
    manifest = json.loads((tmp_path / "one/manifest.json").read_text(encoding="utf-8"))
    assert (manifest["n"], manifest["finish"]) == (5, {"eos": 5, "role_tag": 0, "length": 0})
    assert manifest["mean_tokens"] == 2
    assert (tmp_path / "one/samples.jsonl").read_bytes() == (tmp_path / "two/samples.jsonl").read_bytes()


@pytest.fixture
def answer_all(random_model: RandomModel, tokenizer: Any, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """`answer_all(rows, **sampling)`: the lines of samples.jsonl of a random model."""
    save_model(random_model("llama"), tokenizer, tmp_path / "run/model")

    def answer(rows: list[dict[str, Any]], **sampling: Any) -> list[dict[str, Any]]:
        (tmp_path / "data").mkdir(exist_ok=True)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "data/prompts.jsonl").write_text(lines, encoding="utf-8")
        inputs = {"data": tmp_path / "data", "run": tmp_path / "run"}
        run({"sampling": settings(**sampling), "seed": 1}, inputs, tmp_path / "out")
        return [json.loads(line) for line in (tmp_path / "out/samples.jsonl").read_text(encoding="utf-8").splitlines()]

    return answer


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"prompt_id": f"id{number}", "prompt": [{"role": "user", "content": f"{number} x"}], **more}


LONG = "1 2 3 4 5 6 7 8 9 0 " * 4
SHORT = {"max_length": 40, "max_prompt_length": 24}


def long_row(**more: Any) -> dict[str, Any]:
    return {"prompt_id": "long", "prompt": [{"role": "user", "content": LONG}], **more}


@pytest.mark.parametrize("mode", ["keep_end", "keep_start"])
@pytest.mark.parametrize("cut_prompts", ["always", "with_response"])
def test_a_prompt_is_cut_as_training_cuts_it(mode: Any, cut_prompts: Any, answer_all: Any, tokenizer: Any) -> None:
    """The same ids as the training's for the pair (prompt, baseline); the judge is shown what was asked."""
    limits = Limits(40, 24, mode, cut_prompts)
    row = long_row(baseline="9 9 9")
    pair = [{**row, "chosen": row["baseline"], "rejected": row["baseline"]}]
    ids = encode_pairs(pair, tokenizer, limits).chosen[0].prompt_ids
    assert len(ids) == 24
    asked = Asked(tokenizer, row["prompt"], row, limits)
    assert asked.ids == ids
    (answer,) = answer_all([row], **SHORT, truncation_mode=mode, cut_prompts=cut_prompts)
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert answer["history"] == text.removesuffix(TAGS["assistant"]) and answer["prompts_cut"] == 1
    assert text.endswith(TAGS["assistant"]) == (mode == "keep_end")
    assert answer["prompt"] == row["prompt"] and answer["baseline"] == row["baseline"]


def test_what_the_sides_of_the_switch_disagree_on(tokenizer: Any) -> None:
    """A prompt of more than 24 tokens that fits into 120 with its response is cut under «always» alone."""
    messages, row = long_row()["prompt"], {"baseline": "9"}
    whole = tokenizer(render_prompt(messages))["input_ids"]
    assert 24 < len(whole) < 110
    assert Asked(tokenizer, messages, row, Limits(120, 24, "keep_end", "with_response")).ids == whole
    assert len(Asked(tokenizer, messages, row, Limits(120, 24, "keep_end", "always")).ids) == 24
    nobody_knows = Asked(tokenizer, messages, {}, Limits(120, 24, "keep_end", "with_response"))
    assert len(nobody_knows.ids) == 24, "without a known response a long prompt would leave no room"


def test_a_baseline_has_no_more_room_than_an_answer(tokenizer: Any) -> None:
    """RPO trainers.py:312-316: what an answer is held against is cut to max_length with its prompt."""
    row = {"baseline": "9 8 7 6 5 4 3 2 1 " * 4}
    asked = Asked(tokenizer, long_row()["prompt"], row, Limits(40, 24, "keep_end", "always"))
    assert row["baseline"].startswith(asked.cut["baseline"])
    assert len(tokenizer(asked.cut["baseline"], add_special_tokens=False)["input_ids"]) == 16


def test_cut_prompts_are_counted_in_the_manifest(answer_all: Any, tmp_path: Path) -> None:
    answer_all([long_row(baseline="9"), row(1, baseline="9")], **SHORT)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text(encoding="utf-8"))
    assert (manifest["prompts_cut"], manifest["turns"]) == (1, 2)


def test_draws_are_rows_and_the_first_is_what_one_draw_gives(answer_all: Any) -> None:
    """Greedy and three at T = 0.8: each prompt has four rows; sampled draws differ from each other."""
    rows = [row(number) for number in range(6)]
    samples = answer_all(rows, generations=[[0.0, 1], [0.8, 3]])
    assert [(one["draw"], one["temperature"]) for one in samples] == [(0, 0.0)] * 6 + [
        (draw, 0.8) for draw in (1, 2, 3) for _ in range(6)
    ]
    greedy = answer_all(rows)
    assert [one["response"] for one in samples[:6]] == [one["response"] for one in greedy]
    assert len({tuple(one["response"] for one in samples if one["draw"] == draw) for draw in range(4)}) == 4


def test_later_turns_see_the_answers_before_them(answer_all: Any) -> None:
    """The last response is that of the conversation as it then stands; rows without turns are asked once."""
    two_turns = row(0, turns=["0 x", "And then?"])
    first, plain = answer_all([two_turns, row(1)])
    assert len(first["responses"]) == 2 and first["responses"][1] == first["response"]
    assert "responses" not in plain
    history = [*two_turns["prompt"], {"role": "assistant", "content": first["responses"][0]}]
    (alone,) = answer_all([{"prompt_id": "a", "prompt": [*history, {"role": "user", "content": "And then?"}]}])
    assert alone["response"] == first["response"]


def test_a_rows_own_temperature_goes_first(answer_all: Any) -> None:
    rows = [row(0, temperature=0.0), row(1, temperature=0.9), row(2)]
    samples = answer_all(rows, temperature=0.5)
    assert [one["temperature"] for one in samples] == [0.0, 0.9, 0.5]
    assert samples[0]["response"] == answer_all([row(0)])[0]["response"]
