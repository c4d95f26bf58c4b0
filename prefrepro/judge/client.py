"""One layer for everything that asks a judge: cache, budget, request rate, provenance.

A request is the exact chat-completions body, a reply is what came back.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from prefrepro.errors import UserError
from prefrepro.judge.cache import OverBudgetError, ReplyCache, Row, cache_key, canonical
from prefrepro.judge.completion import answer_in, is_model
from prefrepro.judge.endpoint import Endpoint
from prefrepro.judge.failures import JudgeFailedError, usage_in
from prefrepro.specs.judge import JudgeConfig, Price

if TYPE_CHECKING:
    from prefrepro.judge.transport import Transport

AGAIN = 1000
"""Repeats of a request: below, since an earlier reply could not be read; from here on, to see how the judge varies."""
CUT_IN_A_ROW = 20
"""After so many replies without text, all ended by the limit of tokens, the judging stops."""
HARMLESS = [{"role": "user", "content": "Please say yes."}]
"""What tells whether a judge refuses one prompt or everything."""
WORDS = re.compile(r"[A-Za-z ]+")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a judge answered, and how it was got."""

    status: str
    """"ok"; "refused" where the judge refuses this request alone; "error" where no usable answer came after all
    retries. Only what is ok is cached."""
    text: str
    """The message's text without thoughts, or the error's."""
    body: str
    """The whole answer as JSON (tool calls, log-probs); empty for an error."""
    judge_asked: str
    judge_served: str
    system_fingerprint: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    created: str
    """UTC, ISO-8601: when the judge answered, also for a cached reply."""
    request_sha256: str
    """The reply's address in the cache."""
    cached: bool
    attempts: int
    http_status: int | None = None
    """For an error: the HTTP status that the judge refused with, where it did."""

    @property
    def is_cut(self) -> bool:
        """Whether the limit of tokens was reached before any text came: a judge that thinks wants more."""
        return self.finish_reason == "length" and self.status == "ok" and not self.text.strip()


def chat_request(config: JudgeConfig, messages: Sequence[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """`messages` with the config's model, temperature, limit of tokens, seed and effort.

    `changes` replace or add fields, None leaves one out; `max_tokens` goes by the name that the judge knows. What the
    config leaves out is in no request, and messages are joined as it says.
    """
    settings = {
        "temperature": config.temperature,
        "max_tokens": config.max_tokens,
        "seed": config.seed,
        "reasoning_effort": config.reasoning_effort,
        **changes,
    }
    settings[config.token_limit_field] = settings.pop("max_tokens")
    left_out = {*config.leave_out, *(("temperature",) if config.temperature is None else ())}
    given = {name: value for name, value in settings.items() if value is not None and name not in left_out}
    return {"model": config.model, "messages": joined(messages, config.join_messages), **given}


def joined(messages: Sequence[dict[str, Any]], how: str | None) -> list[dict[str, Any]]:
    """`messages` with those of one role in a row made one (`users`), and the system's put before it (`all`)."""
    found: list[dict[str, Any]] = []
    for message in messages if how else ():
        role = "user" if how == "all" and message["role"] == "system" else message["role"]
        if found and found[-1]["role"] == role:
            found[-1] = {**found[-1], "content": f"{found[-1]['content']}\n\n{message['content']}"}
        else:
            found.append({**message, "role": role})
    return found or list(messages)


class ServedAsError(UserError):
    """A reply is of another model than was asked."""

    def __init__(self, message: str, served: str) -> None:
        super().__init__(message)
        self.served = served


class BudgetError(UserError):
    """The next call may cost more than is left."""


class JudgeClient(contextlib.AbstractContextManager["JudgeClient"]):
    """Thread-safe. `identity` names the judge in the cache; `connect` is called at the first missing reply.

    So a judging that is all cached starts no server and wants no key.
    """

    def __init__(self, config: JudgeConfig, cache: Path, identity: str, connect: Callable[[], Endpoint]) -> None:
        self.config = config
        self.identity = identity
        self.asked = 0
        self.cached = 0
        self.reasked = 0
        """Replies that were asked for again because an earlier one could not be read."""
        self._connect = connect
        self._again: tuple[int, set[str]] | None = None
        self._paid = config.price_usd_per_mtok != Price()
        self._cache = ReplyCache(cache, durable=self._paid)
        self._transport: Transport | None = None
        self._no_judge: UserError | None = None
        self.unanswered: set[tuple[str, str]] = set()
        """Address of each request that got no answer and was not refused for itself, and the error's words."""
        self.cut: set[str] = set()
        """Addresses of the replies whose limit was reached before any text came."""
        self._cut_in_a_row = 0
        self._lock = threading.Lock()
        self._connecting = threading.Lock()
        self._one_at_a_time = [threading.Lock() for _ in range(4096)]
        self._next_slot = 0.0

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections and cache."""
        if self._transport is not None:
            self._transport.close()
        self._cache.close()

    def ask(self, request: dict[str, Any], repeat: int = 0) -> Reply:
        """The reply to `request`, from the cache or paid for. `repeat` > 0 asks the same again; see `asking_again`.

        Raises UserError where the judge cannot be reached or refuses us, or where the budget is used up.
        """
        is_reask, time = repeat > 0, self._time_of(request)
        repeat += AGAIN * time
        key = cache_key(request, self.identity, repeat)
        with self._one_at_a_time[int(key[:3], 16)]:  # the same request, asked by two threads, is paid once
            row = self._cache.get(key)
            cached = row is not None
            if row is None:
                try:
                    with self._cache.claimed(key):  # and by two processes, such as the orphan of a killed workflow
                        row = self._cache.get(key)
                        cached = row is not None
                        row = row or self._pay(key, request, repeat)
                except JudgeFailedError as error:
                    reply = _failure(error, request, key)
                    if reply.status == "error":
                        self.unanswered.add((key, reply.text))
                    return reply
        reply = _reply(row, request, key, cached)
        self._check(reply)
        with self._lock:
            if self._again is None or time:
                self.reasked += is_reask
                self.cached += cached
                self.asked += not cached
            if self._again and time:
                self._again[1].add(key)
        return reply

    def _check(self, reply: Reply) -> None:
        """Raise UserError for a reply of another model, and where the limit of tokens leaves no room for an answer."""
        asked, served, name = self.config.served_as or reply.judge_asked, reply.judge_served, self.config.name
        if served and not is_model(asked, served):
            raise ServedAsError(
                f'judge "{name}" answers as model {served!r}, and {asked!r} was asked. The reply is kept and not used. '
                f"Next: where they are one, write `served_as: {served}` in config/judges/{name}.yaml and run again; "
                "otherwise name the model that you want.",
                served,
            )
        with self._lock:
            self._cut_in_a_row = self._cut_in_a_row + 1 if reply.is_cut else 0
            if reply.is_cut:
                self.cut.add(reply.request_sha256)
            stop = self._cut_in_a_row >= CUT_IN_A_ROW
        if stop:
            raise UserError(f'judge "{name}": the last {CUT_IN_A_ROW} replies are empty: {self.told_to_raise()}')

    def told_to_raise(self) -> str:
        """What to do about replies that were cut before any text came."""
        return (
            "the limit of tokens was reached before any text came (finish_reason: length): this judge thinks first. "
            f"Next: raise max_tokens, for MT-Bench and Arena-Hard limits, in config/judges/{self.config.name}.yaml."
        )

    def model(self) -> dict[str, Any] | None:
        """What GET /models says about the configured model, asked anew each time; None where it says nothing."""
        return self._connected().model()

    def is_cached(self, request: dict[str, Any], repeat: int = 0) -> bool:
        """Whether `ask` would cost nothing."""
        repeat += AGAIN * self._time_of(request)
        return self._cache.get(cache_key(request, self.identity, repeat)) is not None

    @contextlib.contextmanager
    def asking_again(self, time: int) -> Iterator[set[str]]:
        """Within, the requests that the config's `repeat` chooses are asked anew for the `time`th time, from 1.

        All others are answered as before, from the cache. Yields the addresses of the new replies, as they come. Only
        whole judgings have a limit of invalid verdicts.
        """
        config, keys = self.config, set[str]()
        self._again, self.config = (time, keys), replace(config, invalid_limit=1.0)
        try:
            yield keys
        finally:
            self._again, self.config = None, config

    def _time_of(self, request: dict[str, Any]) -> int:
        """0, or for the how manyth time a request is asked anew. A conversation that goes on shares its opening's."""
        if self._again is None or self.config.repeat is None:
            return 0
        opening = itertools.takewhile(lambda message: message["role"] != "assistant", request["messages"])
        place = int(hashlib.sha256(canonical(list(opening)).encode()).hexdigest()[:8], 16) / 16**8
        return self._again[0] if place < self.config.repeat["share"] else 0

    def spent_usd(self) -> float:
        """Cost of all replies in the cache file, of earlier runs too."""
        return self._cache.spent_usd()

    def estimate_usd(self, request: dict[str, Any]) -> float:
        """The most one call is expected to cost: all of its limit of tokens, and its text in any script.

        Half a token for a letter or blank of English, one for any other sign, and for each byte beyond ASCII.
        """
        sent = canonical(request)
        words = sum(map(len, WORDS.findall(sent)))
        out = request.get("max_tokens") or request.get("max_completion_tokens") or self.config.max_tokens
        return cost_usd(self.config.price_usd_per_mtok, len(sent.encode()) - words / 2, out)

    def _pay(self, key: str, request: dict[str, Any], repeat: int) -> Row:
        """Ask until an answer comes. Its cost is that of all tries. Raises JudgeFailedError or UserError."""
        cost = 0.0
        for tries in itertools.count(1):
            answer, billed = self._try(request)
            cost += billed
            if isinstance(answer, str):
                row = Row(answer, cost, tries, utc_now())
                return self._cache.put(key, self.identity, repeat, request, row)
            answer.cost_usd = cost
            self._connected().after(answer, tries, self._answers_others)
        raise AssertionError  # count() does not end

    def _try(self, request: dict[str, Any]) -> tuple[str | JudgeFailedError, float]:
        """One HTTP request: the answer, or why there is none, and what was booked for it."""
        estimate = self.estimate_usd(request) if self._paid else 0.0
        with self._account(estimate) as account:
            transport = self._connected()
            self._wait_for_slot()
            account.billed = estimate  # what is booked if this is never settled otherwise
            answer: str | JudgeFailedError
            try:
                answer = transport.post(request)
                usage = usage_in(json.loads(answer))
            except JudgeFailedError as failure:
                answer, usage = failure, failure.usage
                account.billed = estimate if failure.is_billed else 0.0
            if usage is not None:
                account.billed = cost_usd(self.config.price_usd_per_mtok, *usage)
            return answer, account.billed

    def _answers_others(self) -> bool:
        """Whether the judge answers a question that nobody could refuse, or refuses it for its few tokens."""
        answer, _ = self._try(chat_request(self.config, HARMLESS, max_tokens=16, seed=None, reasoning_effort=None))
        return isinstance(answer, str) or answer.rule.then == "row"

    @contextlib.contextmanager
    def _account(self, estimate: float) -> Iterator[SimpleNamespace]:
        """Hold the most that a call may cost back, for all processes of the cache; then book `billed`."""
        account, budget = SimpleNamespace(billed=0.0), self.config.budget_usd
        if not self._paid:
            yield account
            return
        try:
            reservation = self._cache.reserve(estimate, math.inf if budget is None else budget)
        except OverBudgetError as error:
            raise BudgetError(
                f'judge "{self.config.name}": budget {budget:.4f} USD: {error}, needed for the next call up to '
                f"{estimate:.6f}. Paid replies are in the cache. Next: raise budget_usd in "
                f"config/judges/{self.config.name}.yaml and run again."
            ) from error
        try:
            yield account
        finally:
            self._cache.settle(reservation, account.billed)

    def _connected(self) -> Transport:
        with self._connecting:
            if self._no_judge is not None:
                raise self._no_judge
            if self._transport is None:
                from prefrepro.judge.transport import Transport  # openai takes a second to import

                try:
                    transport = Transport(self.config, self._connect())
                    transport.check()
                except UserError as error:
                    self._no_judge = error  # the other threads need not wait for the same
                    raise
                self._transport = transport
            return self._transport

    def _wait_for_slot(self) -> None:
        if self.config.requests_per_minute is None:
            return
        with self._lock:
            now = time.monotonic()
            slot = max(now, self._next_slot)
            self._next_slot = slot + 60.0 / self.config.requests_per_minute
        time.sleep(slot - now)


def cost_usd(price: Price, prompt_tokens: float, completion_tokens: float) -> float:
    """Tokens times price per million."""
    return (prompt_tokens * price.input + completion_tokens * price.output) / 1e6


def _reply(row: Row, request: dict[str, Any], key: str, cached: bool) -> Reply:
    body = json.loads(row.body)
    choice = body["choices"][0]
    prompt_tokens, completion_tokens = _tokens(body.get("usage") or {})
    return Reply(
        status="ok",
        text=answer_in(choice["message"]),
        body=row.body,
        judge_asked=request["model"],
        judge_served=str(body.get("model") or ""),
        system_fingerprint=body.get("system_fingerprint") or "",
        finish_reason=choice.get("finish_reason") or "",
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost_usd=row.cost_usd,
        created=row.created,
        request_sha256=key,
        cached=cached,
        attempts=row.attempts,
    )


def _tokens(usage: dict[str, Any]) -> tuple[int, int]:
    return usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0


def _failure(error: JudgeFailedError, request: dict[str, Any], key: str) -> Reply:
    status = "refused" if error.rule.then in ("row", "ask") else "error"
    asked, cost = request["model"], error.cost_usd
    return Reply(status, str(error), "", asked, "", "", "", 0, 0, cost, utc_now(), key, False, 0, error.status)


def utc_now() -> str:
    """ISO-8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
