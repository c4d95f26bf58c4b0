"""What may go wrong with one request to a judge, and what follows: looked up in the one table, failures.yaml."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from prefrepro.errors import UserError
from prefrepro.specs.rules import is_whole

_TABLE = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
SAID = 500
"""Characters of a judge's error that are quoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A line of failures.yaml, whose head says what the columns mean."""

    what: str
    then: Literal["row", "open", "set", "ask"]
    status: tuple[int | str, ...] = ()
    exception: str = ""
    words: str = ""
    retry: bool = False
    bill: Literal["nothing", "estimate", "usage"] = "nothing"
    cached: bool = False
    next: str = ""

    def fits(self, status: int | None, words: str, raised: Set[str]) -> bool:
        """Whether this line is about an answer of that status, or about an exception of one of these classes."""
        if status is None:
            return not self.status and not raised.isdisjoint(self.exception.split(", "))
        is_told = not self.words or re.search(self.words, words, re.IGNORECASE) is not None
        return is_told and (status in self.status or f"{status // 100}xx" in self.status)


RULES = tuple(Rule(**line | {"status": tuple(line.get("status", ()))}) for line in _TABLE["rules"])
MALFORMED, FAILS = (
    next(rule for rule in RULES if sign in (rule.exception, *rule.status)) for sign in ("MalformedError", "5xx")
)


class JudgeFailedError(Exception):
    """One request got no usable answer; `rule` says what follows."""

    def __init__(
        self, rule: Rule, words: str, status: int | None = None, *, answer: Any = None, wait_s: float | None = None
    ) -> None:
        super().__init__(words[:SAID])
        self.rule = rule
        self.status = status
        """HTTP status, or the code of an error object."""
        self.usage = usage_in(answer)
        """Tokens, where the answer named them."""
        self.is_billed = self.usage is not None or rule.bill != "nothing"
        """Whether it may cost something."""
        self.wait_s = wait_s
        """How long the judge wants to be left alone."""
        self.cost_usd = 0.0
        """What was booked for all tries."""


class JudgeStoppedError(UserError):
    """One request's failure ends the judging; what was answered is in the cache."""

    def __init__(self, message: str, failure: JudgeFailedError) -> None:
        super().__init__(message)
        self.failure = failure


def rule_for(status: int | None, words: str, raised: Set[str] = frozenset()) -> Rule:
    """The first line that fits; of a status that no line knows, that of 5xx."""
    return next((rule for rule in RULES if rule.fits(status, words, raised)), FAILS)


def usage_in(body: Any) -> tuple[int, int] | None:
    """Tokens of prompt and answer that an answer of any form says it is billed for; None where it does not say.

    Thoughts are billed, too, where only `total_tokens` counts them. A prompt of no tokens is no count.
    """
    usage = body.get("usage") if isinstance(body, dict) else None
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    given = {name: usage[name] for name in names if is_whole(usage.get(name), 0)} if isinstance(usage, dict) else {}
    prompt = given.pop("prompt_tokens", 0)
    if not prompt or not given:
        return None
    return prompt, max(given.get("completion_tokens", 0), given.get("total_tokens", 0) - prompt)


def error_in(body: Any) -> tuple[int, str] | None:
    """Code and words of an error that came in place of an answer, with status 200; None where it is an answer.

    `{"error": {code, message}}` or a text there, an error in the first choice, `{"object": "error"}`, `{"detail": …}`.
    """
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict):
        return None
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    error = first.get("error") or (None if first else body.get("error"))
    if not (error or choices) and (body.get("object") == "error" or "detail" in body or "message" in body):
        error = body
    if not error:
        return None
    told = error if isinstance(error, dict) else {"message": error}
    named = [str(told[key]) for key in ("code", "status", "type") if told.get(key) not in (None, "", "error")]
    said = str(told.get("message") or told.get("detail") or told)
    return _status(named, said), " ".join([*dict.fromkeys(named), said])


def _status(named: list[str], said: str) -> int:
    for name in named:
        if name.isdigit() and 400 <= int(name) < 600:
            return int(name)
    told = " ".join(named) or said
    return next((code for code, words in _TABLE["codes"].items() if re.search(words, told, re.IGNORECASE)), 500)
