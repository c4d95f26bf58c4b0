"""Servers that behave as judges of today do, each in its own way; what they say is always the same verdict."""

from __future__ import annotations

import itertools
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

THOUGHT = "<think>The first might be [[2]] or Response 2, and B>A is possible.</think>\n\n"
THINKS_FOR = 700
"""Tokens of thought before an answer."""


class Refusal(Exception):
    """An error object, and the status that it comes with."""

    def __init__(self, status: int, **told: Any) -> None:
        super().__init__(told)
        self.status, self.told = status, told


class Odd:
    """A judge of model `serves` without GET /models. Subclasses refuse or bend."""

    serves = "odd-1"

    def check(self, request: dict[str, Any]) -> None:
        """Raises Refusal."""

    def bend(self, request: dict[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
        return choice

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self.check(request)
        choice = self.bend(request, _said(request))
        usage = {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55}
        return {"model": self.serves, "choices": [{"index": 0, **choice}], "usage": usage}


class Deployment(Odd):
    """Bills under the name of the deployment; no log-probs."""

    serves = "my-deployment-eu"

    def check(self, request: dict[str, Any]) -> None:
        if request.get("logprobs"):
            raise Refusal(400, message="Unsupported parameter: 'logprobs'", code="unsupported_parameter")


class Newer(Deployment):
    """As gpt-5 and later: max_completion_tokens, temperature 1 alone, no seed, no top_p."""

    serves = "odd-1-2026-08-07"

    def check(self, request: dict[str, Any]) -> None:
        super().check(request)
        for name in ("max_tokens", "seed", "top_p"):
            if name in request:
                raise Refusal(400, message=f"Unsupported parameter: '{name}'", param=name, code="unsupported_parameter")
        if request.get("temperature", 1) != 1:
            raise Refusal(400, message="Only the default (1) value is supported.", code="unsupported_value")


class Thinker(Odd):
    """Thinks aloud, and its thoughts count against the limit."""

    def bend(self, request: dict[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
        content = choice["message"].get("content")
        if request.get("max_tokens", 0) < THINKS_FOR:
            return {"message": {"role": "assistant", "content": "<think>The first might be"}, "finish_reason": "length"}
        if content is None:
            return choice
        return choice | {"message": {"role": "assistant", "content": THOUGHT + content}}


class Template(Odd):
    """A strict chat template: no system message, users and assistants take turns."""

    def check(self, request: dict[str, Any]) -> None:
        roles = [message["role"] for message in request["messages"]]
        if "system" in roles:
            raise Refusal(400, message="System role not supported")
        if any(one == other for one, other in itertools.pairwise(roles)):
            raise Refusal(400, message="Conversation roles must alternate user/assistant/user/assistant/...")


class Gateway(Odd):
    """Errors with status 200, content in parts, no temperature at all, tools but no choice of them."""

    serves = "vendor/odd-1"

    def check(self, request: dict[str, Any]) -> None:
        for name in ("temperature", "tool_choice"):
            if name in request:
                raise Refusal(200, message=f"Unsupported parameter: '{name}'", code="unsupported_parameter")

    def bend(self, request: dict[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
        if (content := choice["message"].get("content")) is None:
            return choice
        parts = [{"type": "thinking", "thinking": "[[2]]"}, {"type": "text", "text": content}]
        return choice | {"message": {"role": "assistant", "content": parts}}


class OneOfTwo(Odd):
    """As Anthropic's: temperature or top_p, not both."""

    def check(self, request: dict[str, Any]) -> None:
        if "temperature" in request and "top_p" in request:
            raise Refusal(400, message="`temperature` and `top_p` cannot both be specified for this model.")


class Router(Odd):
    """As OpenRouter: 404 where no provider knows a field."""

    def check(self, request: dict[str, Any]) -> None:
        if "tool_choice" in request:
            raise Refusal(404, code=404, message="No endpoints found that support the provided 'tool_choice' value.")


class Silent(Newer):
    """As OpenAI's that think: an error in place of an empty answer; effort none answers at once."""

    def bend(self, request: dict[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
        if request["max_completion_tokens"] < THINKS_FOR and request.get("reasoning_effort") != "none":
            told = "Could not finish the message because max_tokens or model output limit was reached."
            raise Refusal(400, message=f"{told} Please try again with higher max_tokens.")
        return choice


JUDGES = {
    "deployment": Deployment,
    "newer": Newer,
    "thinker": Thinker,
    "template": Template,
    "gateway": Gateway,
    "one of two": OneOfTwo,
    "router": Router,
    "silent": Silent,
}


def _said(request: dict[str, Any]) -> dict[str, Any]:
    """The first answer is better, or an 8, in the form that is asked for."""
    text = "\n".join(str(message["content"]) for message in request["messages"])
    for tool in request.get("tools") or ():
        function = tool["function"]
        arguments: Any = {"best": "m"}
        if "ordered_models" in json.dumps(function["parameters"]):
            arguments = {"ordered_models": [{"model": "m", "rank": 1}, {"model": "M", "rank": 2}]}
        call = {"name": function["name"], "arguments": json.dumps(arguments)}
        calls = [{"id": "call_0", "type": "function", "function": call}]
        return {"message": {"role": "assistant", "content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}
    rates, plays = re.search(r"\[\[\s*(?:rating|5|number)", text, re.IGNORECASE), "[[A" in text
    said = "My verdict is [[A>B]]" if plays else "Rating: [[8]]" if rates else "Response 1"
    said = "m" if "Answer m: four." in text else said
    return {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}


def server_of(judge: Odd) -> ThreadingHTTPServer:
    """A server on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(404, {"detail": "Not Found"})

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                self._send(200, judge.answer(request))
            except Refusal as refusal:
                self._send(refusal.status, {"error": refusal.told})

        def _send(self, status: int, answer: dict[str, Any]) -> None:
            payload = json.dumps(answer).encode()
            self.send_response_only(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)
