"""What a chat completion may hold, so that nothing after it meets a value of another kind. Knows nothing of HTTP."""

from __future__ import annotations

import json
from typing import Any

from prefrepro.specs.rules import is_number, is_whole


def parse_completion(text: str) -> dict[str, Any]:
    """A chat completion from JSON. Raises ValueError that names what is wrong."""
    try:
        body = json.loads(text)
        json.dumps(body, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("JSON that nests without end") from None
    except UnicodeEncodeError:
        raise ValueError("text with half of a surrogate pair") from None
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list) or not choices:
        raise ValueError("no choices in the answer")
    message = choices[0].get("message") if isinstance(choices[0], dict) else None
    if not isinstance(message, dict) or not all(_is_text(message.get(key)) for key in ("content", "refusal")):
        raise ValueError("choices[0].message is not a chat message")
    if not _are_calls(message.get("tool_calls")):
        raise ValueError("choices[0].message.tool_calls is not a list of function calls")
    if not _are_logprobs(choices[0].get("logprobs")):
        raise ValueError("choices[0].logprobs is not a list of tokens with numbers")
    if not _is_text(choices[0].get("finish_reason")):
        raise ValueError("choices[0].finish_reason is not text")
    if not all(_is_text(body.get(key)) for key in ("model", "system_fingerprint")):
        raise ValueError("model or system_fingerprint is not text")
    usage = {} if body.get("usage") is None else body["usage"]
    if not isinstance(usage, dict) or not all(
        usage.get(key) is None or is_whole(usage[key], 0) for key in ("prompt_tokens", "completion_tokens")
    ):
        raise ValueError("usage is not a count of tokens")
    return body


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _are_calls(calls: Any) -> bool:
    if calls is None:
        return True
    return isinstance(calls, list) and all(isinstance(call, dict) and _is_call(call) for call in calls)


def _is_call(call: dict[str, Any]) -> bool:
    """A call of another kind than a function's is nothing that we asked for, and of any form."""
    if call.get("type", "function") != "function":
        return isinstance(call["type"], str)
    function = call.get("function")
    return isinstance(function, dict) and all(isinstance(function.get(key), str) for key in ("name", "arguments"))


def _are_logprobs(logprobs: Any) -> bool:
    if logprobs is None:
        return True
    content = logprobs.get("content") if isinstance(logprobs, dict) else ()
    if content is None:
        return True
    if not isinstance(content, list):
        return False
    return all(
        _is_token(token)
        and isinstance(token.get("top_logprobs") or [], list)
        and all(map(_is_token, token.get("top_logprobs") or []))
        for token in content
    )


def _is_token(token: Any) -> bool:
    return isinstance(token, dict) and isinstance(token.get("token"), str) and _is_logprob(token.get("logprob"))


def _is_logprob(value: Any) -> bool:
    """A rounding error above 0 is usual."""
    return is_number(value) and value <= 0.01
