"""Chat messages as the text that models and judges see.

Base models get the template of the released RPO code: plain role tags, no special tokens (config/config.yaml:95,99;
docs/protocol.md#data). Models tuned to a chat template of their own get that one. Judges always see role tags.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from prefrepro.errors import UserError

TAGS = {"user": "\n<|user|>\n", "assistant": "\n<|assistant|>\n", "system": "\n<|system|>\n"}
Message = dict[str, str]
"""{"role": "user" | "assistant" | "system", "content": …}"""


def render_history(messages: list[Message]) -> str:
    """The conversation so far, without the tag that opens the next answer (what the judge is shown)."""
    return "".join(TAGS[message["role"]] + message["content"] for message in messages)


def render_prompt(messages: list[Message]) -> str:
    """The conversation so far with the assistant's tag at its end (what a model continues)."""
    return render_history(messages) + TAGS["assistant"]


def render_for(tokenizer: Any, messages: list[Message]) -> str:
    """The conversation so far as the model of `tokenizer` continues it: its chat template, or role tags without one.

    A BOS that the template writes is left out where the tokenizer adds one itself, so that it never stands twice.
    Raises UserError where the template refuses the messages (a system message, say).
    """
    if not tokenizer.chat_template:
        return render_prompt(messages)
    import jinja2

    try:
        text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    except jinja2.TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise UserError(
            f"the chat template of {tokenizer.name_or_path} refuses a prompt of {roles} ({error}). Prompt: "
            f"{prompt_id(messages)}. "
            "Leave such prompts out of the data, or set template: role_tags in the model's file."
        ) from error
    return text.removeprefix(tokenizer.bos_token) if adds_bos(tokenizer) else text


def adds_bos(tokenizer: Any) -> bool:
    """Whether the tokenizer itself puts a BOS before a text. A template may begin with the same token as a tag."""
    return tokenizer.bos_token_id is not None and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]


def prompt_id(messages: list[Message]) -> str:
    """sha256 of the canonical JSON of the messages: the same prompt has the same id everywhere."""
    canonical = json.dumps([[m["role"], m["content"]] for m in messages], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
