"""What the local judge can be told to do wrong, for tests: fail at times, or know less than others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

KINDS = ("rate_limit", "server_error", "truncated", "no_choices", "timeout", "nonsense", "reset")
DEFAULT_KINDS = KINDS[:4]


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
    shutdown_date: str | None = None
    """What GET /v1/models says about the model's end."""

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
