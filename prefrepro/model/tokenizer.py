"""A checkpoint's tokenizer as its makers meant it, or a refusal with the lines of the model's file that mend it.

What `tokens` of that file changes stands in the spec of every node that starts from the checkpoint, and so in its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefrepro.data.hub import Checkpoint, Hub
from prefrepro.data.template import adds_bos
from prefrepro.errors import UserError
from prefrepro.model.load import load_tokenizer

WORD = "prefrepro"
"""An answer that no template writes by itself."""


def tokenizer_of(found: Checkpoint, hub: Hub = "") -> Any:
    """The tokenizer of a checkpoint, rendering by its template; `hub`: what the model's file says, `tokens` among it.

    Raises UserError where an answer would not end as the chat template ends a turn, or a prompt would end in EOS.
    """
    given = hub.get("tokens", {}) if isinstance(hub, Mapping) else {}
    tokenizer = load_tokenizer(found.folder, found.template, **given)
    tokens, problems = dict[str, Any](), list[str]()
    end = end_of_turn(tokenizer)
    if end not in (None, tokenizer.eos_token):
        tokens["eos_token"] = end
        problems.append(
            f"the chat template ends a turn with {end}, and eos_token is {tokenizer.eos_token}: answers would run on "
            "past their end, and training would teach another one"
        )
    if tokenizer(WORD)["input_ids"][-1] == tokenizer.eos_token_id:
        tokens |= {"add_bos_token": adds_bos(tokenizer), "add_eos_token": False}
        problems.append(f"it adds {tokenizer.eos_token} to every prompt, so that a response would begin after its end")
    if problems:
        line = ", ".join(f"{key}: {_yaml(value)}" for key, value in tokens.items())
        raise UserError(
            f"{found.folder}, its tokenizer: {'; '.join(problems)}. Next: write tokens: {{{line}}} in the model's file "
            "in config/models. What was trained without it trained on the wrong end"
        )
    return tokenizer


def end_of_turn(tokenizer: Any) -> str | None:
    """The special token that the chat template puts after an answer; None without a template or such a token."""
    if not tokenizer.chat_template:
        return None
    import jinja2

    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": WORD}]
    try:
        after = tokenizer.apply_chat_template(messages, tokenize=False).rpartition(WORD)[2]
    except jinja2.TemplateError:  # it wants other messages: what they are is said where they are rendered
        return None
    first = next(iter(tokenizer(after.lstrip(), add_special_tokens=False)["input_ids"]), None)
    special = tokenizer.added_tokens_decoder
    return str(special[first]) if first in special and special[first].special else None


def refuses_system(tokenizer: Any) -> str | None:
    """What the chat template says against a system message; None where it takes one."""
    if not tokenizer.chat_template:
        return None
    import jinja2

    try:
        tokenizer.apply_chat_template([{"role": "system", "content": "."}, {"role": "user", "content": "?"}])
    except jinja2.TemplateError as error:
        return str(error)
    return None


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'
