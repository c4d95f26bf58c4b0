"""What alpaca_eval takes for its OpenAI client: each request goes to our JudgeClient.

So cache, budget, retries and provenance are ours, and a reply that the package could not read is asked for again.
"""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

from openai.types.chat import ChatCompletion
from pydantic import ValidationError
from tqdm import tqdm

from prefrepro.judge.alpaca.shield import unshield
from prefrepro.judge.cache import canonical
from prefrepro.judge.client import JudgeClient, Reply, chat_request
from prefrepro.judge.completion import answer_in
from prefrepro.specs.judge import JudgeConfig

TOKENS = ("m", "M")
"""The names under which a weighted judge is shown the two answers."""


class PackageClient:
    """`client.chat.completions.create(**request)`, all that the package asks of a client.

    The package makes one for every request, so it holds nothing of its own.
    """

    def __init__(self, route: Route) -> None:
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=lambda **request: route.ask(request)))


class Route:
    """Thread-safe. `annotator` is the package's SingleAnnotator, whose parser says what can be read."""

    def __init__(self, client: JudgeClient, annotator: Any, bar: tqdm[Any] | None = None) -> None:
        self._client = client
        self._annotator = annotator
        self._weighs = annotator.completion_key == "completions_all"
        self._bar = bar
        self._answers: dict[str, tuple[list[Reply], dict[str, Any]]] = {}

    def ask(self, request: dict[str, Any]) -> ChatCompletion:
        """The first readable reply, or an empty one where none came in 1 + `reasks` tries; the same each time.

        Raises UserError where the judge cannot be reached or the budget is used up.
        """
        request = sent(request, self._client.config)
        key = canonical(request)
        if key not in self._answers:
            self._answers[key] = self._ask(request)
            if self._bar is not None:
                self._bar.update()
        return _completion(self._answers[key][1])

    def replies(self, request: dict[str, Any]) -> list[Reply]:
        """What was answered to `request`, the last one being the one that counts; [] where it was not asked."""
        replies, _ = self._answers.get(canonical(sent(request, self._client.config)), ([], {}))
        return replies

    def _ask(self, request: dict[str, Any]) -> tuple[list[Reply], dict[str, Any]]:
        """All replies, and the body of the last one if the package can read it, else an empty one."""
        replies: list[Reply] = []
        while len(replies) <= self._client.config.reasks:
            replies.append(self._client.ask(request, repeat=len(replies)))
            if replies[-1].status != "ok" or replies[-1].is_cut:
                break
            body = json.loads(replies[-1].body)
            if self._is_readable(body):
                return replies, body
        return replies, {"choices": [{"message": {"content": ""}}]}

    def _is_readable(self, body: dict[str, Any]) -> bool:
        try:
            completion = _completion(body)
        except (ValidationError, TypeError, AttributeError):
            return False
        if self._weighs and _foreign_tokens(completion):
            return False
        text = reply_text(completion)
        view = {**completion.choices[0].model_dump(), "text": text} if self._weighs else text
        (preference,), _ = self._annotator._parse_completions([view])
        return preference is not None and not math.isnan(preference) and 1 <= preference <= 2


def sent(request: dict[str, Any], config: JudgeConfig) -> dict[str, Any]:
    """The package's request as the judge shall get it: its text as it was, its fields by the names the judge knows.

    A judge that wants max_completion_tokens also wants the config's temperature (OpenAI's from gpt-5 on take 1 only).
    The config's limit, if it has one, is for text and tool call: `weighted` looks at one token.
    """
    messages = [{**message, "content": unshield(message["content"])} for message in request["messages"]]
    fields = {name: value for name, value in request.items() if name not in ("model", "messages")}
    if config.token_limit_field != "max_tokens":
        fields.pop("temperature", None)
    if "max_tokens" in fields and not fields.get("logprobs"):
        fields["max_tokens"] = config.limit_of("alpaca_eval", fields["max_tokens"])
    return chat_request(config, messages, **{"seed": None, **fields})


def reply_text(completion: ChatCompletion) -> str:
    """What the package parses: the tool call's arguments, else the text."""
    message = completion.choices[0].message
    call = message.tool_calls[0] if message.tool_calls else None
    return call.function.arguments if call is not None and call.type == "function" else message.content or ""


def has_logprobs(reply: Reply) -> bool:
    """Whether a reply carries log-probs of its first token."""
    try:
        logprobs = json.loads(reply.body)["choices"][0].get("logprobs") if reply.body else None
        return bool(logprobs and logprobs["content"][0]["top_logprobs"])
    except (KeyError, TypeError, IndexError):
        return False


def raw_text(reply: Reply) -> str:
    """What a person wants to see of a reply: its first token's log-probs, a tool call's arguments, else the text."""
    if reply.status != "ok":
        return reply.text
    body = json.loads(reply.body)
    if has_logprobs(reply):
        top = body["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        return canonical({word.get("token"): word.get("logprob") for word in top})
    try:
        return reply_text(_completion(body)) or reply.text
    except (ValidationError, TypeError, AttributeError):
        return reply.text


def _completion(body: dict[str, Any]) -> ChatCompletion:
    """A fresh object of what the package reads, whatever else servers send (it changes what it is given).

    Raises pydantic's ValidationError where a part that counts is malformed.
    """
    choice, usage = body["choices"][0], body.get("usage") or {}
    message = choice["message"]
    calls = [call for call in message.get("tool_calls") or [] if call.get("type", "function") == "function"]
    tokens = [usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0]
    return ChatCompletion.model_validate(
        {
            "id": "",
            "object": "chat.completion",
            "created": 0,
            "model": "",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",  # the package does not look at it
                    "message": {
                        "role": "assistant",
                        "content": answer_in({**message, "refusal": None}),
                        "tool_calls": [{"id": "", **call, "type": "function"} for call in calls] or None,
                    },
                    "logprobs": choice.get("logprobs"),
                }
            ],
            "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
        }
    )


def _foreign_tokens(completion: ChatCompletion) -> bool:
    """Whether most of the mass on m and M is on tokens that the package does not know, such as " m".

    It compares tokens exactly, so " m" at 0.9 beside "M" at 0.1 would be a certain win for M.
    """
    logprobs = completion.choices[0].logprobs
    if logprobs is None or not logprobs.content:
        return False
    exact = near = 0.0
    for word in logprobs.content[0].top_logprobs:
        if word.token in TOKENS:
            exact += math.exp(word.logprob)
        elif word.token.strip(" \n\t\"'`*.Ġ▁") in TOKENS:
            near += math.exp(word.logprob)
    return near > exact
