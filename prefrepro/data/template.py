"""Chat messages as the text that models and judges see.

The template of the released RPO code: plain role tags, no special tokens (config/config.yaml:95,99; PROTOCOL.md §1.1).
"""

from __future__ import annotations

import hashlib
import json

TAGS = {"user": "\n<|user|>\n", "assistant": "\n<|assistant|>\n", "system": "\n<|system|>\n"}
Message = dict[str, str]
"""{"role": "user" | "assistant" | "system", "content": …}"""


def render_history(messages: list[Message]) -> str:
    """The conversation so far, without the tag that opens the next answer (what the judge is shown)."""
    return "".join(TAGS[message["role"]] + message["content"] for message in messages)


def render_prompt(messages: list[Message]) -> str:
    """The conversation so far with the assistant's tag at its end (what a model continues)."""
    return render_history(messages) + TAGS["assistant"]


def prompt_id(messages: list[Message]) -> str:
    """sha256 of the canonical JSON of the messages: the same prompt has the same id everywhere."""
    canonical = json.dumps([[m["role"], m["content"]] for m in messages], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
