"""Conversations in any notation that preference data have, as messages {role, content}.

{role, content} of OpenAI and TRL, {from, value} of ShareGPT, [[question, answer], …] of a `history`, content as parts,
and each of these as JSON in a text, as CSV holds them.
"""

from __future__ import annotations

import ast
import contextlib
import json
import warnings
from pathlib import Path
from typing import Any

import yaml

from prefrepro.data.rows import BadRow, Note, text
from prefrepro.data.template import Message

WORDS = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))
ROLES = {word: role for role, words in WORDS["roles"].items() for word in words}
KEYS = (("role", "content"), ("from", "value"))
UNREADABLE = (ValueError, SyntaxError, RecursionError, MemoryError)


def unpacked(value: Any) -> Any:
    """A list or object that stands as JSON, or as Python writes it, in a text; anything else as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    for read in (json.loads, ast.literal_eval):
        with warnings.catch_warnings(action="ignore"), contextlib.suppress(*UNREADABLE):
            return read(value.strip())
    return value


def is_messages(value: Any) -> bool:
    """Whether a value is a conversation: one message, a list of them, or {messages: …}; also in a text."""
    found = _listed(unpacked(value))
    return bool(found) and all(isinstance(one, dict) and _keys(one) for one in found)


def _listed(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return _listed(value["messages"]) if isinstance(value.get("messages"), list) else [value]
    return value if isinstance(value, list) else []


def _keys(message: dict[str, Any]) -> tuple[str, str] | None:
    return next((keys for keys in KEYS if keys[0] in message and keys[1] in message), None)


def messages_of(value: Any, name: str, note: Note) -> list[Message]:
    """A conversation as messages; a text that is none is one user message. Raises BadRow."""
    if isinstance(value, str) and not is_messages(value):
        return [{"role": "user", "content": text(value, name)}]
    if isinstance(value, str):
        note("messages_as_text")
        value = unpacked(value)
    if isinstance(value, dict) and value.get("tools"):
        raise BadRow(f'"{name}" brings tools; only text can be used')
    found = _listed(value)
    if not found:
        raise BadRow(f'"{name}" holds {value!r:.60}; expected text, a message or a list of messages')
    return [_message(one, name, note) for one in found]


def _message(value: Any, name: str, note: Note) -> Message:
    keys = _keys(value) if isinstance(value, dict) else None
    if keys is None:
        raise BadRow(f'"{name}" holds {value!r:.60}; expected messages with role and content, or from and value')
    role, content = (value[key] for key in keys)
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise BadRow(f'"{name}" holds a message of role {role!r:.40}; expected {", ".join(ROLES)}')
    if value.get("tool_calls"):
        raise BadRow(f'"{name}" holds a call of a tool; only text can be used')
    return {"role": ROLES[role.lower()], "content": content_of(content, name, note)}


def content_of(value: Any, name: str, note: Note) -> str:
    """A message's content; of parts the texts, one after another. Raises BadRow where a part is none."""
    if not isinstance(value, list):
        return text(value, name)
    texts = []
    for part in value:
        if isinstance(part, dict) and part.get("type", "text") != "text":
            raise BadRow(f'"{name}" holds a part of type {part["type"]!r:.40}; only text can be used')
        texts.append(text(part.get("text") if isinstance(part, dict) else part, name))
    note("content_in_parts")
    return "".join(texts)


def history_of(value: Any, note: Note) -> list[Message]:
    """Earlier turns: [[question, answer], …], or messages. Raises BadRow."""
    value = unpacked(value)
    if isinstance(value, list) and value and all(isinstance(turn, list | tuple) and len(turn) == 2 for turn in value):
        turns = [
            (
                {"role": role, "content": text(said, "history")}
                for role, said in zip(("user", "assistant"), turn, strict=True)
            )
            for turn in value
        ]
        return [message for turn in turns for message in turn]
    if not is_messages(value):
        raise BadRow(f'"history" holds {value!r:.60}; expected [[question, answer], …] or messages')
    return messages_of(value, "history", note)
