"""Chat templates: a tokenizer says by itself how prompts are rendered, and BOS never stands twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from train_helpers import LIMITS, make_policy, tokenizer

from prefrepro.data.hub import Hub, checkpoint_of
from prefrepro.data.template import render_for, render_prompt
from prefrepro.errors import UserError
from prefrepro.model.examples import encode_groups, encode_pairs
from prefrepro.model.load import load_tokenizer, save_model
from prefrepro.model.pretrain import BOS, EOS, build_tokenizer

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
        from tokenizers import processors

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


def plain(folder: Path) -> Path:
    save_model(make_policy(dtype=torch.float32).model, with_template(None), folder / "plain")
    return folder / "plain"
