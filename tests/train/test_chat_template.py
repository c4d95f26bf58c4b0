"""Chat templates: a tokenizer says by itself how prompts are rendered, and BOS never stands twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import processors
from train_helpers import LIMITS, make_policy, tokenizer

from prefrepro.data.hub import Checkpoint, Hub, checkpoint_of
from prefrepro.data.template import render_for, render_prompt
from prefrepro.errors import UserError
from prefrepro.model.decode import answer_of, stop_ids
from prefrepro.model.examples import encode_groups, encode_pairs
from prefrepro.model.load import load_tokenizer, save_model
from prefrepro.model.pretrain import BOS, EOS, build_tokenizer
from prefrepro.model.tokenizer import end_of_turn, refuses_system, tokenizer_of
from prefrepro.specs.sources import check_named

MISTRAL = (  # in the way of Mistral-7B-Instruct-v0.1's own: BOS written out, alternating roles demanded
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
)
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ASK = [{"role": "user", "content": "Why?"}]
TURNS = [*ASK, {"role": "assistant", "content": "So."}, {"role": "user", "content": "And?"}]


def with_template(template: str | None, *, adds_bos: bool = True) -> Any:
    made = build_tokenizer(["Why? So. And? [INST] [/INST] user assistant\n" * 9], 300, LIMITS.max_length)
    made.chat_template = template
    if not adds_bos:
        made.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    return made


def test_role_tags_where_there_is_no_chat_template() -> None:
    assert render_for(tokenizer(), TURNS) == render_prompt(TURNS)


@pytest.mark.parametrize("adds_bos", [True, False])
@pytest.mark.parametrize("messages", [ASK, TURNS])
def test_one_bos_whoever_adds_it(adds_bos: bool, messages: list[dict[str, str]]) -> None:
    made = with_template(MISTRAL, adds_bos=adds_bos)
    ids = made(render_for(made, messages))["input_ids"]
    assert ids[0] == made.bos_token_id
    assert ids.count(made.bos_token_id) == 1
    assert ids == made(made.apply_chat_template(messages, tokenize=False), add_special_tokens=False)["input_ids"]
    assert ids.count(made.eos_token_id) == len(messages) // 2  # each earlier answer is closed, as a token


def test_a_template_without_bos_stays_as_it_is() -> None:
    made = with_template(CHATML)
    assert render_for(made, ASK) == "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"


def test_training_and_sampling_see_the_same_prompt() -> None:
    made = with_template(MISTRAL)
    pairs = encode_pairs([{"prompt_id": "a", "prompt": ASK, "chosen": "So.", "rejected": "No."}], made, LIMITS)
    groups = encode_groups(
        [{"prompt_id": "a", "prompt": ASK, "completions": ["So.", "No."], "scores": [1.0, 2.0]}], made, LIMITS
    )
    expected = made(render_for(made, ASK))["input_ids"]
    assert pairs.chosen[0].prompt_ids == expected
    assert groups.responses[0][0].prompt_ids == expected
    assert made.decode(pairs.chosen[0].prompt_ids) == f"{BOS}[INST] Why? [/INST]"
    assert pairs.chosen[0].response_ids[-1] == made.eos_token_id
    assert made.decode(pairs.chosen[0].response_ids) == f"So.{EOS}"


def test_messages_that_a_template_refuses_are_one_message() -> None:
    with pytest.raises(UserError, match=r"refuses a prompt of assistant, user \(roles must alternate"):
        render_for(with_template(MISTRAL), [TURNS[1], TURNS[2]])


def test_the_models_file_chooses_and_the_saved_model_remembers(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    save_model(make_policy(dtype=torch.float32).model, with_template(MISTRAL), hub)
    pinned = {"repo": str(hub), "revision": None}

    def tokenizer_of(inputs: dict[str, Path], model: Hub) -> Any:
        found = checkpoint_of(inputs, "init", model)
        return load_tokenizer(found.folder, found.template)

    assert tokenizer_of({}, str(hub)).chat_template is None
    assert tokenizer_of({}, pinned).chat_template is None
    chat = tokenizer_of({}, pinned | {"template": "chat"})
    assert chat.chat_template == MISTRAL
    assert checkpoint_of({}, "init", pinned) == (hub, "role_tags", None)

    for name, made in (("chat", chat), ("tags", tokenizer_of({}, pinned))):
        made.save_pretrained(tmp_path / name / "model")
        run = {"init": tmp_path / name}
        assert tokenizer_of(run, "").chat_template == made.chat_template
        assert load_tokenizer(tmp_path / name / "model").chat_template == made.chat_template
    with pytest.raises(UserError, match="has no chat template, which template: chat wants"):
        tokenizer_of({}, {"repo": str(plain(tmp_path)), "template": "chat"})


GEMMA = (  # in the way of Gemma's own: BOS written out, no system message, turns that another token than EOS ends
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' "
    "+ m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
END = "<end_of_turn>"


def with_turn_tokens(template: str = GEMMA, *, adds_eos: bool = False) -> Any:
    """A tokenizer with tokens of its own for turns, saved as its makers would: EOS is not the one that ends a turn."""
    made = with_template(template)
    made.add_special_tokens({"additional_special_tokens": ["<start_of_turn>", END]})
    if adds_eos:
        made.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A {EOS}", special_tokens=[(BOS, made.bos_token_id), (EOS, made.eos_token_id)]
        )
    return made


def loaded(folder: Path, made: Any, **tokens: Any) -> Any:
    """What a job reads of a tokenizer that was saved, with `tokens` of the model's file."""
    made.save_pretrained(folder)
    template = "chat" if made.chat_template else "role_tags"
    return tokenizer_of(Checkpoint(folder, template, None), {"repo": str(folder), "tokens": tokens})


def test_an_end_of_turn_that_is_not_eos_is_refused_with_the_line_that_mends_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"turn with <end_of_turn>, and eos_token is </s>.* tokens: \{eos_token: "):
        loaded(tmp_path, with_turn_tokens())
    meant = loaded(tmp_path, with_turn_tokens(), eos_token=END)
    row = {"prompt_id": "a", "prompt": TURNS, "chosen": "So.", "rejected": "No."}
    pair = encode_pairs([row], meant, LIMITS).chosen[0]
    assert meant.decode(pair.response_ids) == f"So.{END}"
    begin = f"{BOS}<start_of_turn>user\nWhy?{END}\n<start_of_turn>model\nSo.{END}"
    assert meant.decode(pair.prompt_ids).startswith(begin)
    assert pair.prompt_ids.count(meant.bos_token_id) == 1
    assert stop_ids(meant)[0] == meant.convert_tokens_to_ids(END)
    answer = answer_of(meant, [*pair.response_ids, *pair.prompt_ids], stop_ids(meant))
    assert (answer.text, answer.finish) == ("So.", "eos")  # and no turn that the model invents after it
    meant.save_pretrained(tmp_path / "run" / "model")
    assert tokenizer_of(checkpoint_of({"run": tmp_path / "run"}, "run", "")).eos_token == END


def test_a_tokenizer_that_closes_prompts_is_refused_with_the_line_that_mends_it(tmp_path: Path) -> None:
    tokens = {"eos_token": END, "add_bos_token": True, "add_eos_token": False}
    with pytest.raises(UserError) as caught:
        loaded(tmp_path, with_turn_tokens(adds_eos=True))
    assert 'tokens: {eos_token: "<end_of_turn>", add_bos_token: true, add_eos_token: false}' in str(caught.value)
    meant = loaded(tmp_path, with_turn_tokens(adds_eos=True), **tokens)
    ids = meant(render_for(meant, ASK))["input_ids"]
    assert meant.decode(ids) == f"{BOS}<start_of_turn>user\nWhy?{END}\n<start_of_turn>model\n"
    tags = with_turn_tokens(adds_eos=True)
    tags.chat_template = None
    with pytest.raises(UserError, match=r"adds </s> to every prompt.*: \{add_bos_token: true, add_eos_token: false\}"):
        loaded(tmp_path / "tags", tags)
    meant = loaded(tmp_path / "tags", tags, add_bos_token=True, add_eos_token=False)
    assert meant.decode(meant(render_for(meant, ASK))["input_ids"]) == f"{BOS}{render_prompt(ASK)}"


@pytest.mark.parametrize(
    ("template", "end", "system"),
    [
        (MISTRAL, EOS, "roles must alternate user/assistant"),
        (CHATML, None, None),
        (GEMMA, END, "System role not supported"),
        (None, None, None),
    ],
)
def test_what_a_template_says_of_itself(template: str | None, end: str | None, system: str | None) -> None:
    made = with_turn_tokens(template) if template else with_template(None)  # CHATML: its end is plain text to this one
    assert end_of_turn(made) == end
    assert refuses_system(made) == system


def test_the_models_file_takes_tokens_that_go_together() -> None:
    model = {"kind": "hub", "repo": "me/gemma", "template": "chat"}
    check_named("models", "x", model | {"tokens": {"eos_token": END}})
    check_named("models", "x", model | {"tokens": {"add_bos_token": True, "add_eos_token": False}})
    with pytest.raises(UserError, match=r'"add_bos_token" is missing'):
        check_named("models", "x", model | {"tokens": {"add_eos_token": False}})
    with pytest.raises(UserError, match=r"eos_tokn"):
        check_named("models", "x", model | {"tokens": {"eos_tokn": END}})


def plain(folder: Path) -> Path:
    save_model(make_policy(dtype=torch.float32).model, with_template(None), folder / "plain")
    return folder / "plain"
