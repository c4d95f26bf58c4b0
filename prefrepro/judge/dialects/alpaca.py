"""The three annotators of AlpacaEval, answered as the API answers them.

With d the score of the answer shown first less that of the other, P(first is better) = 1 / (1 + exp(-d)). A weighted
judge gives the log-probs of m (the first) and M, a tool call and a text rank both; a coin decides where d = 0.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

from prefrepro.data.template import render_history
from prefrepro.judge.dialects._forms import coin, read_user_message
from prefrepro.judge.scorers import Scorer

TOKENS = ("m", "M")
WEIGHTED = "alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt"
TOOL = "make_partial_leaderboard"


PROMPTS = {
    WEIGHTED: TOKENS,
    "alpaca_eval_gpt4_turbo_fn/alpaca_eval_fn.txt": TOKENS,
    "alpaca_eval_gpt4/alpaca_eval.txt": ("model_1", "model_2"),
}
"""Prompt file of the package -> the names under which it shows the two answers"""


def answer(request: dict[str, Any], score: Scorer, seed_text: str) -> dict[str, Any] | None:
    """choices[0] of the annotator that asks; None where none of them does. Raises ValueError."""
    messages = request["messages"]
    for path, names in PROMPTS.items() if len(messages) == 2 else ():
        shown = read_user_message(messages, (_user_message(path),))
        if shown is not None:
            history = render_history([{"role": "user", "content": shown["instruction"]}])
            margin = score(history, shown["output_1"]) - score(history, shown["output_2"])
            if not math.isfinite(margin):
                raise ValueError(f"the scores differ by {margin}, expected a finite number")
            if path == WEIGHTED:
                return _weigh(request, margin, seed_text)
            return _rank(request, names, _first_wins(margin, seed_text))
    return None


@cache
def _user_message(path: str) -> str:
    """The second message of a prompt file of alpaca_eval, read without importing the package, which takes seconds."""
    package = importlib.util.find_spec("alpaca_eval")
    assert package is not None and package.origin is not None  # one of our dependencies
    text = (Path(package.origin).parent / "evaluators_configs" / path).read_text(encoding="utf-8")
    return text.partition("<|im_start|>user\n")[2].partition("\n<|im_end|>")[0].strip()


def _weigh(request: dict[str, Any], margin: float, seed_text: str) -> dict[str, Any]:
    word = "m" if _first_wins(margin, seed_text) else "M"
    choice: dict[str, Any] = {"message": {"role": "assistant", "content": word}, "finish_reason": "length"}
    if request.get("logprobs"):
        logprobs = {"m": _log_sigmoid(margin), "M": _log_sigmoid(-margin)}
        ordered = sorted(logprobs, key=lambda token: (-logprobs[token], token != word))
        top = [{"token": token, "logprob": logprobs[token], "bytes": [ord(token)]} for token in ordered]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    return choice


def _rank(request: dict[str, Any], names: tuple[str, str], first_wins: bool) -> dict[str, Any]:
    ordered = names if first_wins else names[::-1]
    ranked = [{"model": name, "rank": rank} for rank, name in enumerate(ordered, start=1)]
    message: dict[str, Any] = {"role": "assistant", "content": str(ranked)}
    if request.get("tools"):
        call = {"name": TOOL, "arguments": json.dumps({"ordered_models": ranked})}
        identity = "call_" + hashlib.sha256(str(request["messages"]).encode()).hexdigest()[:24]
        message |= {"content": None, "tool_calls": [{"id": identity, "type": "function", "function": call}]}
    return {"message": message, "finish_reason": "stop"}


def _first_wins(margin: float, seed_text: str) -> bool:
    return coin(seed_text) if margin == 0 else margin > 0


def _log_sigmoid(value: float) -> float:
    """log(1 / (1 + exp(-value))), exact at both ends."""
    return min(value, 0.0) - math.log1p(math.exp(-abs(value)))
