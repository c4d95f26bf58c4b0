"""What a chat completion may hold, so that nothing after it meets a value of another kind.

openai's own `ChatCompletion` does not serve: it demands fields that many servers leave out, such as `id` and `index`,
so that a reply that was paid for would be refused, and takes `true` and -5 for a number of tokens.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat, ValidationError, model_validator

Count = Annotated[int, Field(ge=0, lt=2**63)]
SPOKEN = ("text", "output_text")
"""Parts of a message that are its text; others are thoughts, say."""
_NAMES = "think|thinking|thought|seed:think"
_HARMONY = r"(<\|start\|>assistant)?<\|channel\|>analysis|^analysis(?=[\s\S]*assistantfinal)"
OPEN = re.compile(rf"\s*(<({_NAMES})>|\[THINK\]|◁think▷|{_HARMONY})", re.IGNORECASE)
_FINAL = r"<\|channel\|>final<\|message\|>|assistantfinal"
CLOSE = re.compile(rf"(</({_NAMES})>|\[/THINK\]|◁/think▷|{_FINAL})\s*", re.IGNORECASE)
"""How servers mark what a model thought before it answered; gpt-oss's signs also without their special tokens."""


class _Function(BaseModel):
    name: str
    arguments: str


class _Call(BaseModel):
    type: str = "function"
    function: _Function | None = None

    @model_validator(mode="after")
    def _has_its_function(self) -> _Call:
        if self.type == "function" and self.function is None:
            raise ValueError("a function call without a function")
        return self


class _Part(BaseModel):
    type: str
    text: str | None = None


class _Message(BaseModel):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Token(BaseModel):
    token: str
    logprob: Annotated[FiniteFloat, Field(le=0.01)]
    """A rounding error above 0 is usual."""
    top_logprobs: list[_Token] | None = None


class _Logprobs(BaseModel):
    content: list[_Token] | None = None


class _Choice(BaseModel):
    message: _Message
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None


class Completion(BaseModel):
    """The parts of a chat completion that are read."""

    choices: Annotated[list[_Choice], Field(min_length=1)]
    model: str | None = None
    system_fingerprint: str | None = None
    usage: _Usage | None = None


def parse_completion(text: str) -> Completion:
    """A chat completion from JSON. Raises ValueError that names what is wrong."""
    try:
        body = json.loads(text)
        json.dumps(body, ensure_ascii=False).encode()
        return Completion.model_validate(body, strict=True)
    except RecursionError:
        raise ValueError("JSON that nests without end") from None
    except UnicodeEncodeError:
        raise ValueError("text with half of a surrogate pair") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the answer"
        raise ValueError(f"{place}: {first['msg']}; found {first['input']!r:.80}") from None


def answer_in(message: dict[str, Any]) -> str:
    """The text of a message that is the answer: its parts joined, without thoughts; else the words of a refusal."""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content if part["type"] in SPOKEN)
    return without_thoughts(content or message.get("refusal") or "")


def without_thoughts(text: str) -> str:
    """`text` less what a judge thought aloud before it answered; nothing of a thought that never ends.

    A block whose opening tag stands in the chat template, and so not in the reply, ends with its closing tag. Tags
    further on are words about tags.
    """
    first = re.search(f"{OPEN.pattern}|{CLOSE.pattern}", text, re.IGNORECASE)
    if first and CLOSE.fullmatch(first[0]):
        text = text[first.end() :]
    while OPEN.match(text):
        end = CLOSE.search(text)
        text = text[end.end() :] if end else ""
    return text


def is_model(asked: str, served: str) -> bool:
    """Whether a reply of model `served` answers for `asked`: itself, with or without an owner, or a dated snapshot.

    gpt-4 may be answered by openai/gpt-4 and by gpt-4-0613, not by gpt-4-mini.
    """
    asked, served = (name.lower().rstrip("/").rpartition("/")[2] for name in (asked, served))
    return re.fullmatch(re.escape(asked) + r"(-\d{4}|-\d{8}|-\d{4}-\d\d-\d\d)?", served) is not None
