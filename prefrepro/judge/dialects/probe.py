"""The question that `prefrepro judge probe` asks, and the local judge's answer to it: text, log-probs or a tool call.

The letters are those of AlpacaEval's annotators, whose answer is the log-prob of «m» against «M».
"""

from __future__ import annotations

import json
import math
from typing import Any

from prefrepro.judge.dialects._forms import FORMS
from prefrepro.judge.scorers import Scorer

BETTER, WORSE = "m", "M"
MESSAGES, TOOL = FORMS["probe"]["messages"], FORMS["probe"]["tool"]


def answer(request: dict[str, Any], score: Scorer, seed_text: str) -> dict[str, Any] | None:
    """«m», in the form that is asked for; nothing is scored."""
    if request["messages"] != MESSAGES:
        return None
    message: dict[str, Any] = {"role": "assistant", "content": BETTER}
    if request.get("tools"):
        call = {"name": TOOL["function"]["name"], "arguments": json.dumps({"best": BETTER})}
        calls = [{"id": "call_0", "type": "function", "function": call}]
        return {"message": {**message, "content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}
    choice = {"message": message, "finish_reason": "stop"}
    return {**choice, "logprobs": _logprobs(request.get("top_logprobs", 0))} if request.get("logprobs") else choice


def _logprobs(n: int) -> dict[str, Any]:
    """The n likeliest tokens, up to five: the letters share 0.99, words that are neither the rest."""
    shares = {BETTER: 0.9, WORSE: 0.09, "The": 0.005, "A": 0.003, "Answer": 0.002}
    tokens = [
        {"token": token, "logprob": math.log(share), "bytes": list(token.encode())} for token, share in shares.items()
    ]
    return {"content": [{**tokens[0], "top_logprobs": tokens[:n]}]}
