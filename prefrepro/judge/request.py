"""The chat-completions body that a judge's settings ask for. Knows nothing of what is asked or of HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefrepro.specs.judge import JudgeConfig


def chat_request(config: JudgeConfig, messages: Sequence[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """`messages` with the config's model, temperature, limit of tokens, seed and effort.

    `changes` replace or add fields, None leaves one out; `max_tokens` goes by the name that the judge knows.
    """
    settings = {
        "temperature": config.temperature,
        "max_tokens": config.max_tokens,
        "seed": config.seed,
        "reasoning_effort": config.reasoning_effort,
        **changes,
    }
    settings[config.token_limit_field] = settings.pop("max_tokens")
    given = {name: value for name, value in settings.items() if value is not None}
    return {"model": config.model, "messages": list(messages), **given}
