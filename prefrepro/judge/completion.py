"""What a chat completion may hold, so that nothing after it meets a value of another kind.

openai's own `ChatCompletion` does not serve: it demands fields that many servers leave out, such as `id` and `index`,
so that a reply that was paid for would be refused, and takes `true` and -5 for a number of tokens.
"""

from __future__ import annotations

import json
import re
from typing import Annotated

from pydantic import BaseModel, Field, FiniteFloat, ValidationError, model_validator

Count = Annotated[int, Field(ge=0, lt=2**63)]


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


class _Message(BaseModel):
    content: str | None = None
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


THOUGHT = re.compile(r"\A\s*<think(?:ing)?>.*?</think(?:ing)?>\s*", re.DOTALL)
TAGS = re.compile(r"<(/?)think(?:ing)?>")


def without_thoughts(text: str) -> str:
    """`text` less what a judge thought aloud before it answered; nothing of a thought that never ends.

    A block whose opening tag stands in the chat template, and so not in the reply, ends with its closing tag.
    """
    tags = list(TAGS.finditer(text))
    if tags and tags[0][1]:
        return text[tags[0].end() :].lstrip()
    if not tags or text[: tags[0].start()].strip():
        return text
    return THOUGHT.sub("", text, count=1) if any(tag[1] for tag in tags) else ""


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
