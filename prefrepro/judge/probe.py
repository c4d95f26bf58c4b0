"""What a judge can do, found out with a few cheap requests, and which kind of annotator that makes it fit for.

Every request goes through a JudgeClient: it is cached and counts against the budget like any other.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from prefrepro.judge.client import JudgeClient, Reply
from prefrepro.judge.connect import forgetful_client
from prefrepro.judge.dialects.probe import BETTER, TOOL, WORSE
from prefrepro.judge.fit import TOOL_TOKENS, Fit, asked, fit, in_yaml, letter
from prefrepro.specs.evaluation import EVALUATIONS
from prefrepro.specs.judge import TOKEN_LIMIT_FIELDS, JudgeConfig, Price

KINDS = ("weighted", "fn", "text")
"""Annotators, the best first: log-prob of a letter, tool call, text that is parsed."""
TOP_LOGPROBS = 5
"""What AlpacaEval's weighted annotator asks for."""
SETTINGS = {"logprobs": True, "top_logprobs": TOP_LOGPROBS, "max_tokens": 1, "temperature": 1}
"""The fields of AlpacaEval's weighted annotator; 1 is also the one temperature that every judge allows."""
FIELDS = ("temperature_0", "seed", "text", "tools", "tool_choice")
CHOICE = {"type": "function", "function": {"name": TOOL["function"]["name"]}}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What an endpoint does with one model; where it refused, `refusals` has its words by the field's name."""

    judge: str
    model_asked: str
    model_served: str
    system_fingerprint: str
    max_tokens: bool
    max_completion_tokens: bool
    temperature_0: bool
    seed: bool
    text: bool
    """The reply to a plain question can be read within the config's max_tokens."""
    logprobs: bool
    top_logprobs: int
    """How many alternatives came where five were asked for."""
    letters: str
    """How m and M come as tokens: "apart", "with a space", "absent"; empty without log-probs."""
    tools: bool
    tool_choice: bool
    is_listed: bool
    shutdown_date: str | None
    price_known: bool
    cost_usd: float
    """What this probe cost."""
    refusals: dict[str, str] = field(default_factory=dict)
    config_problems: tuple[str, ...] = ()
    """Where the judge does not do what its config says, and what to write there."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Key of the judge's file -> the value with which it does, as far as a setting can mend it."""

    def why_not(self, kind: str) -> str | None:
        """Why the judge cannot be an annotator of this kind; None where it can."""
        if kind == "weighted":
            return self._no_letters()
        return self.refusals.get(kind)

    def _no_letters(self) -> str | None:
        if not self.logprobs:
            return "it gives no log-probabilities: " + (self.refusals.get("logprobs") or "asked for them, it sent none")
        if self.top_logprobs < TOP_LOGPROBS:
            return f"it gives {self.top_logprobs} alternatives of a token, {TOP_LOGPROBS} are wanted"
        if self.letters == "with a space":
            return "its tokens for m and M begin with a space, so a share of the probability would be lost unseen"
        return None if self.letters == "apart" else "neither m nor M is among its likeliest tokens"

    @property
    def annotator(self) -> str | None:
        """The best kind that it can be."""
        return next((kind for kind in KINDS if self.why_not(kind) is None), None)

    def warnings(self, today: date | None = None) -> list[str]:
        """What a user should know before paying."""
        found = [] if self.is_listed else [f"GET /models does not list {self.model_asked}"]
        if not self.price_known:
            found.append("no price is set: replies count as free, and no budget holds")
        if self.model_served and self.model_served != self.model_asked:
            found.append(f"asked for {self.model_asked}, served by {self.model_served}")
        if self.shutdown_date:
            left = (date.fromisoformat(self.shutdown_date) - (today or datetime.now(UTC).date())).days
            when = f"in {left} days" if left >= 0 else f"{-left} days ago"
            found.append(f"the model is shut down on {self.shutdown_date} ({when}): name another one in time")
        return found


def abilities(config: JudgeConfig, evaluations: tuple[str, ...] = ()) -> Abilities:
    """Probe the judge of `config`; no reply is kept. Raises UserError where none comes."""
    with forgetful_client(config) as client:
        return probe(client, evaluations)


def probe(client: JudgeClient, evaluations: Sequence[str] = ()) -> Abilities:
    """Ask about every ability, and send the real prompts of `evaluations`.

    Raises UserError where the judge is away or answers not even the plainest question.
    """
    config, spent = client.config, client.spent_usd()
    fitted = fit(client, evaluations)
    asking, first = fitted.config, fitted.first
    most = asking.limit_of("alpaca_eval", TOOL_TOKENS)
    replies: dict[str, Reply | str] = {
        **{name: asked(client, dataclasses.replace(asking, token_limit_field=name)) for name in TOKEN_LIMIT_FIELDS},
        "temperature_0": asked(client, asking, temperature=0),
        "seed": asked(client, asking, seed=0),
        "logprobs": asked(client, asking, **SETTINGS),
        "tool_choice": asked(client, asking, tools=[TOOL], tool_choice=CHOICE, max_tokens=most),
    }
    problems = {"text": _unread(first), "tool_choice": _no_call(replies["tool_choice"])}
    problems["fn"] = problems["tool_choice"]
    if problems["tool_choice"]:
        replies["tools"] = asked(client, asking, tools=[TOOL], max_tokens=most)
        if isinstance(replies["tool_choice"], str) and _no_call(replies["tools"]) is None:
            problems["fn"] = None
            fitted.change("tool_choice", replies["tool_choice"], leave_out=(*asking.leave_out, "tool_choice"))
    refusals = {name: reply for name, reply in replies.items() if isinstance(reply, str)}
    refusals |= {name: problem for name, problem in problems.items() if problem}
    found = {name: name not in refusals for name in (*TOKEN_LIMIT_FIELDS, *FIELDS)}
    logprobs, top_logprobs, letters = _letters(replies["logprobs"])
    card = client.model()
    return Abilities(
        judge=config.name,
        model_asked=config.model,
        model_served=first.judge_served,
        system_fingerprint=first.system_fingerprint,
        **found,
        logprobs=logprobs,
        top_logprobs=top_logprobs,
        letters=letters,
        is_listed=card is not None,
        shutdown_date=(card or {}).get("shutdown_date"),
        price_known=config.price_usd_per_mtok != Price() or config.kind == "local",
        cost_usd=client.spent_usd() - spent,
        refusals=fitted.refusals | refusals,
        config_problems=tuple(_config_problems(fitted)),
        changes=fitted.changes,
    )


def _letters(reply: Reply | str) -> tuple[bool, int, str]:
    """Whether log-probs came, how many alternatives, and how the letters stand among them."""
    logprobs = None if isinstance(reply, str) else json.loads(reply.body)["choices"][0].get("logprobs")
    if not logprobs or not logprobs.get("content"):
        return False, 0, ""
    tokens = [entry["token"] for entry in logprobs["content"][0].get("top_logprobs") or []]
    if any(token != token.strip() and token.strip() in (BETTER, WORSE) for token in tokens):
        return True, len(tokens), "with a space"
    return True, len(tokens), "apart" if {BETTER, WORSE} & set(tokens) else "absent"


def _no_call(reply: Reply | str) -> str | None:
    if isinstance(reply, str):
        return "it makes no tool call that it is told to make: " + reply
    try:
        call = json.loads(reply.body)["choices"][0]["message"]["tool_calls"][0]["function"]
        best = json.loads(call["arguments"])["best"]
    except (KeyError, IndexError, TypeError, ValueError):
        return f"it answered without the tool call that it was told to make: {reply.text[:100]!r}"
    return None if best in (BETTER, WORSE) else f"its tool call is no answer: {call['arguments'][:100]!r}"


def _unread(reply: Reply | str) -> str | None:
    if isinstance(reply, str):
        return reply
    if letter(reply.text):
        return None
    cut = " (cut: raise max_tokens, or set reasoning_effort)" if reply.finish_reason == "length" else ""
    return f'it was to say "m" or "M" and said {reply.text[:100]!r}{cut}'


def _config_problems(fitted: Fit) -> Iterator[str]:
    for key, value in fitted.changes.items():
        yield f"{fitted.told(key)}; write {key}: {in_yaml(value)}"
    for name in EVALUATIONS:
        if name in fitted.refusals:
            yield f"{name} is refused: {fitted.refusals[name]}"
