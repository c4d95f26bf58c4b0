"""HTTP to a judge through the `openai` client: time-outs, new tries, and what a failure leads to (failures.yaml)."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import openai

from prefrepro.errors import UserError
from prefrepro.judge.completion import parse_completion
from prefrepro.judge.endpoint import Endpoint
from prefrepro.judge.failures import MALFORMED, JudgeFailedError, JudgeStoppedError, error_in, rule_for
from prefrepro.specs.judge import JudgeConfig

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 3600.0
"""The most that a judge's Retry-After is waited for."""
FIRST_WAIT_S, LAST_WAIT_S = 0.5, 8.0
"""Before the first and the last new try where the judge names no time; doubled from try to try."""
FAILURES_IN_A_ROW = 20
"""After so many failures with no success between, the judge is called broken."""


class _Hurried(httpx2.SyncByteStream):
    """A response's bytes, all of which must be there in time.

    httpx bounds each read alone, so a server that sends a byte now and then would hold a request for ever.
    """

    def __init__(self, stream: httpx2.SyncByteStream, until: float) -> None:
        self._stream, self._until = stream, until

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            if time.monotonic() > self._until:
                raise httpx2.ReadTimeout("the answer came too slowly")
            yield part

    def close(self) -> None:
        self._stream.close()


class Transport:
    """Thread-safe; one `openai` client, so connections are kept open."""

    def __init__(self, config: JudgeConfig, endpoint: Endpoint) -> None:
        self._config = config
        self._endpoint = endpoint
        self._failures = 0
        self._lock = threading.Lock()
        loopback = urlsplit(endpoint.base_url).hostname in ("127.0.0.1", "localhost", "::1")
        self._client = openai.OpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.api_key,
            max_retries=0,  # each try is booked (client.py), so none is left to openai
            timeout=config.timeout_s,
            http_client=openai.DefaultHttpxClient(
                trust_env=not loopback,  # no proxy to our own machine
                event_hooks={"response": [self._hurry]},
            ),
        )

        self._quick = self._client.with_options(max_retries=1, timeout=min(15.0, config.timeout_s))

    def _hurry(self, response: httpx2.Response) -> None:
        assert isinstance(response.stream, httpx2.SyncByteStream)  # of a synchronous client
        response.stream = _Hurried(response.stream, time.monotonic() + self._config.timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def check(self) -> None:
        """Ask for the model list: tells at once, and free of charge, whether anybody answers to this key.

        An endpoint without such a list is not refused for that.
        """
        try:
            self._quick.get("/models", cast_to=httpx2.Response)
        except openai.APITimeoutError as error:
            log.info("judge %s: GET /models: %s", self._config.name, self._cause(error))
        except openai.APIConnectionError as error:
            raise UserError(
                f'judge "{self._config.name}" cannot be reached at {self._endpoint.base_url}: '
                f"{self._cause(error)}. Next: check that the server runs, address and port in config/judges/, "
                "proxy and network; then run again: replies already got are in the cache."
            ) from error
        except openai.AuthenticationError as error:
            failure = JudgeFailedError(rule_for(401, ""), self._cause(error), 401)
            raise self._ends(failure) from error
        except openai.APIStatusError as error:
            log.info("judge %s: GET /models answered %s", self._config.name, error.status_code)

    def model(self) -> dict[str, Any] | None:
        """What the endpoint's list of models says about the configured one; None where it is not in any list."""
        try:
            known = self._quick.get("/models", cast_to=httpx2.Response).json().get("data") or []
            listed = next((card for card in known if card.get("id") == self._config.model), None)
            return listed or self._quick.get(f"/models/{quote(self._config.model, '')}", cast_to=httpx2.Response).json()
        except (openai.OpenAIError, ValueError, AttributeError) as error:
            log.info("judge %s: no model card: %s", self._config.name, self._cause(error))
            return None

    def post(self, request: dict[str, Any]) -> str:
        """Send one chat-completions body, once; returns a well-formed completion, as sent. Raises JudgeFailedError."""
        try:
            response = self._client.post("/chat/completions", cast_to=httpx2.Response, body=request)
        except openai.APIStatusError as error:
            words = f"{error.code} {error.type} {self._cause(error)}"
            rule = rule_for(error.status_code, words)
            wait_s = _retry_after(error.response)
            raise JudgeFailedError(rule, self._cause(error), error.status_code, wait_s=wait_s) from error
        except openai.APIConnectionError as error:
            raised = {kind.__name__ for one in (error, error.__cause__) for kind in type(one).__mro__}
            cause = self._cause(error)
            if isinstance(error, openai.APITimeoutError):
                cause = f"no answer within {self._config.timeout_s:g} s ({cause})"
            raise JudgeFailedError(rule_for(None, cause, raised), cause) from error
        text = self._masked(response.text)
        try:
            body = json.loads(text)
            found = error_in(body)
        except (ValueError, RecursionError):
            body, found = text, None
        if found is not None:
            status, words = found
            raise JudgeFailedError(
                rule_for(status, words), f"error {status} with HTTP 200: {words}", status, answer=body
            )
        try:
            parse_completion(text)
        except ValueError as error:
            raise JudgeFailedError(MALFORMED, f"malformed answer: {error}", answer=body) from error
        self._failures = 0
        return text

    def after(self, failure: JudgeFailedError, tries: int, answers_others: Callable[[], bool]) -> None:
        """Wait, where the request may be tried again; else raise what the rule of its failure says.

        `answers_others` asks the harmless question. Raises JudgeFailedError for this request, UserError for all.
        """
        rule, then = failure.rule, failure.rule.then
        if rule.retry and tries <= self._config.max_retries:
            again_s = min(LAST_WAIT_S, FIRST_WAIT_S * 2 ** (tries - 1)) * random.uniform(0.75, 1.0)
            if failure.wait_s is not None:
                again_s = min(failure.wait_s, LONGEST_WAIT_S)
                log.warning("judge %s wants a pause of %.0f s: %s", self._config.name, again_s, failure)
            elif rule is MALFORMED:
                again_s /= 10
            time.sleep(again_s)
            return
        if then == "ask":
            then = "row" if answers_others() else "set"
        if then == "set":
            raise self._ends(failure) from failure
        if then == "open" or not rule.words:  # a prompt that a filter refuses tells nothing of the others
            self._count_failure(failure)
        raise failure

    def _ends(self, failure: JudgeFailedError) -> JudgeStoppedError:
        where = f"environment variable {self._config.api_key_env}" if self._config.api_key_env else "no key is sent"
        found = f'judge "{self._config.name}" at {self._endpoint.base_url}: {failure.rule.what}: {failure}'
        key = f" ({where})" if failure.status in (401, 402, 403) else ""
        return JudgeStoppedError(
            f"{found}{key}. Next: {failure.rule.next} (config/judges/{self._config.name}.yaml), then run again: what "
            "was answered is in the cache.",
            failure,
        )

    def _count_failure(self, failure: JudgeFailedError) -> None:
        with self._lock:
            self._failures += 1
            broken = self._failures >= FAILURES_IN_A_ROW
        if broken:
            raise UserError(
                f'judge "{self._config.name}" at {self._endpoint.base_url} failed {FAILURES_IN_A_ROW} '
                f"requests in a row, the last with: {failure}. What was answered is in the cache. Next: "
                f"{failure.rule.next or 'mend the judge and run again'}."
            ) from failure

    def _cause(self, error: Exception) -> str:
        return self._masked(f"{error}" + (f" ({error.__cause__})" if error.__cause__ else ""))

    def _masked(self, text: str) -> str:
        """What came from the judge, without our key: a proxy may show what it was sent, and replies are kept."""
        key = self._endpoint.api_key
        return text.replace(key, "***") if len(key) > 7 else text


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds that the server asks for: a number, or a date, held against the server's own clock and not ours."""
    headers = response.headers
    for name, per_s in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            asked = float(headers.get(name, "")) / per_s
            return asked if 0 <= asked < float("inf") else None
        except ValueError:
            continue
    try:
        asked_for, now = parsedate_to_datetime(headers["retry-after"]), parsedate_to_datetime(headers["date"])
        return max(0.0, (asked_for - now).total_seconds())
    except (KeyError, ValueError, TypeError):
        return None
