"""What the judge of the tests can be told to do wrong: fail at times, or offer less than others."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from prefrepro.judge.server import nonsense

STATUS = {"rate_limit": 429, "rate_limit_bare": 429, "clock_skew": 429, "server_error": 500, "unavailable": 503}
"""Kinds that are refused with a status; `bare` names no time to wait, `clock_skew` a date by a clock gone wrong."""
SPOILED = ("truncated", "no_choices", "nonsense", "refusal", "wrong_schema", "wrong_model", "drip")
"""Kinds that are answered, in a way that is of no use."""
KINDS = (
    "rate_limit", "server_error", "truncated", "no_choices", "timeout", "nonsense", "reset", "rate_limit_bare",
    "clock_skew", "unavailable", "refusal", "wrong_schema", "wrong_model", "drip",
)  # fmt: skip
DEFAULT_KINDS = KINDS[:4]
RETRY_AFTER = "0.02"
SKEW_S = 86_400.0
"""How far `clock_skew` is ahead of everybody."""
REFUSAL = "I'm sorry, but I can't help with that."


def headers_of(kind: str) -> dict[str, str]:
    """What a refusal of this kind says of the time, beside its status."""
    if kind == "clock_skew":
        now = formatdate(time.time() + SKEW_S, usegmt=True)
        return {"Date": now, "Retry-After": now}
    return {} if kind in ("rate_limit_bare", "unavailable") else {"Retry-After": RETRY_AFTER}


def spoiled(kind: str | None, answer: dict[str, Any]) -> dict[str, Any]:
    """A whole chat completion, or what a fault of this kind makes of its content."""
    if kind == "no_choices":
        return {**answer, "choices": []}
    if kind == "wrong_schema":
        return {**answer, "choices": [{**choice, "message": choice["message"]["role"]} for choice in answer["choices"]]}
    if kind == "nonsense":
        return {**answer, "choices": [{**choice, **nonsense(choice)} for choice in answer["choices"]]}
    if kind == "wrong_model":
        return {**answer, "model": "somebody-else"}
    if kind == "refusal":
        message = {"role": "assistant", "content": None, "refusal": REFUSAL}
        return {**answer, "choices": [{"index": 0, "logprobs": None, "message": message, "finish_reason": "stop"}]}
    return answer


class Faults:
    """Makes a share of the requests fail: the n-th try of a request always alike, whatever the threads do."""

    def __init__(self, rate: float, seed: int, kinds: Sequence[str] = DEFAULT_KINDS) -> None:
        self._rate, self._seed, self._kinds = rate, seed, tuple(kinds)
        self._tries: dict[bytes, int] = {}

    def draw(self, body: bytes) -> str | None:
        """None, or one of `kinds`."""
        digest = hashlib.sha256(body).digest()
        self._tries[digest] = self._tries.get(digest, 0) + 1
        dice = hashlib.sha256(b"%d %d " % (self._seed, self._tries[digest]) + digest).digest()
        if int.from_bytes(dice[:4], "big") / 2**32 >= self._rate:
            return None
        return self._kinds[dice[4] % len(self._kinds)]


@dataclass(frozen=True, slots=True)
class Limits:
    """What this judge does not offer, refused in the words of the OpenAI API."""

    no_logprobs: bool = False
    no_tools: bool = False
    completion_tokens_only: bool = False
    """As gpt-5 and later: max_completion_tokens in place of max_tokens, and no temperature but 1."""

    def refusal(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """The error object of a 400, or None where all that is asked for is offered."""
        if self.no_logprobs and request.get("logprobs"):
            return _unsupported("logprobs")
        if self.no_tools and ("tools" in request or "tool_choice" in request):
            return _unsupported("tools" if "tools" in request else "tool_choice")
        if self.completion_tokens_only and "max_tokens" in request:
            return _unsupported("max_tokens", " Use 'max_completion_tokens' instead.")
        if self.completion_tokens_only and request.get("temperature", 1) != 1:
            message = (
                f"Unsupported value: 'temperature' does not support {request['temperature']} with this model. "
                "Only the default (1) value is supported."
            )
            return _error(message, "temperature", "unsupported_value")
        return None


def _unsupported(parameter: str, hint: str = "") -> dict[str, Any]:
    message = f"Unsupported parameter: '{parameter}' is not supported with this model.{hint}"
    return _error(message, parameter, "unsupported_parameter")


def _error(message: str, parameter: str, code: str) -> dict[str, Any]:
    return {"message": message, "type": "invalid_request_error", "param": parameter, "code": code}
