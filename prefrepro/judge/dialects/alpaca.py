"""The three annotators of AlpacaEval, answered as the API answers them.

With d the score of the answer shown first less that of the other, P(first is better) = 1 / (1 + exp(-d)). A weighted
judge gives the log-probs of m (the first) and M, a tool call and a text rank both; a coin decides where d = 0.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, NamedTuple

from prefrepro.data.template import render_history
from prefrepro.judge.dialects._forms import coin
from prefrepro.judge.scorers import Scorer

TOOL = "make_partial_leaderboard"


class _Layout(NamedTuple):
    """What stands around the three holes of a prompt (the last user message)."""

    before_instruction: str
    after_instruction: str
    between: str
    after_second: str
    first: str
    second: str


def _layout(opening: str, name: str, value: str, first: str, second: str, after: str, brackets: str) -> _Layout:
    """The prompts of alpaca_eval 0.6.6 differ in little more than the names of two keys and two models."""
    open_list, close_list = brackets
    shown = f'    {{\n        "{name}": "%s",\n        "{value}": """'
    return _Layout(
        opening + '\n{\n    "instruction": """',
        f"{after}\n{open_list}\n" + shown % first,
        '"""\n    },\n' + shown % second,
        f'"""\n    }}\n{close_list}\n\n',
        first,
        second,
    )


_SHOWN = (
    '""",\n}\n\n## Model Outputs\n\nHere are the unordered outputs from the models. Each output is associated with a '
    "specific model, identified by a unique model identifier.\n"
)
WEIGHTED = _layout("## Instruction\n", "model_identifier", "output", "m", "M", _SHOWN, "{}")
FN = _layout("## Prompt\n", "model", "output", "m", "M", _SHOWN, "{}")
AE1 = _layout(
    "Here is the prompt:",
    "model",
    "answer",
    "model_1",
    "model_2",
    '""",\n}\n\nHere are the outputs of the models:',
    "[]",
)


def answer(request: dict[str, Any], score: Scorer, seed_text: str) -> dict[str, Any] | None:
    """choices[0] of the annotator that asks; None where none of them does. Raises ValueError."""
    contents = [message.get("content") for message in request["messages"]]
    if len(contents) != 2 or not isinstance(contents[1], str):
        return None
    for layout in (WEIGHTED, FN, AE1):
        shown = _read(contents[1], layout)
        if shown is not None:
            instruction, first, second = shown
            history = render_history([{"role": "user", "content": instruction}])
            margin = score(history, first) - score(history, second)
            if not math.isfinite(margin):
                raise ValueError(f"the scores differ by {margin}, expected a finite number")
            if layout is WEIGHTED:
                return _weigh(request, margin, seed_text)
            return _rank(request, layout, _first_wins(margin, seed_text))
    return None


def _read(text: str, layout: _Layout) -> tuple[str, str, str] | None:
    """Instruction and both answers; None where the prompt is another, ValueError where it reads in two ways."""
    _, found, rest = text.partition(layout.before_instruction)
    if not found or layout.after_instruction not in rest:
        return None
    inside, found, _ = rest.rpartition(layout.after_second)
    parts = inside.split(layout.after_instruction)
    answers = parts[-1].split(layout.between)
    if not found or len(parts) != 2 or len(answers) != 2:
        raise ValueError("the instruction or an answer holds a part of the prompt itself: it reads in two ways")
    return parts[0], answers[0], answers[1]


def _weigh(request: dict[str, Any], margin: float, seed_text: str) -> dict[str, Any]:
    word = "m" if _first_wins(margin, seed_text) else "M"
    choice: dict[str, Any] = {"message": {"role": "assistant", "content": word}, "finish_reason": "length"}
    if request.get("logprobs"):
        logprobs = {"m": _log_sigmoid(margin), "M": _log_sigmoid(-margin)}
        ordered = sorted(logprobs, key=lambda token: (-logprobs[token], token != word))
        top = [{"token": token, "logprob": logprobs[token], "bytes": [ord(token)]} for token in ordered]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    return choice


def _rank(request: dict[str, Any], layout: _Layout, first_wins: bool) -> dict[str, Any]:
    names = (layout.first, layout.second) if first_wins else (layout.second, layout.first)
    ranked = [{"model": name, "rank": rank} for rank, name in enumerate(names, start=1)]
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
