"""HTTP to a judge through the `openai` client: retries, time-outs, and which failures end the whole judging.

Knows nothing of caches, prompts or verdicts.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import openai

from prefrepro.errors import UserError
from prefrepro.judge.completion import parse_completion
from prefrepro.judge.config import JudgeConfig
from prefrepro.judge.endpoint import Endpoint, JudgeFailedError

log = logging.getLogger(__name__)

LONG_WAITS = 3
"""How often a Retry-After that openai refuses to wait for (over 2 minutes) is waited for here."""
LONGEST_WAIT_S = 3600.0
FAILURES_IN_A_ROW = 20
"""After so many failures with no success between, the judge is called broken."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A well-formed chat completion, as sent, and the number of HTTP requests it took."""

    body: str
    attempts: int


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
            max_retries=config.max_retries,
            timeout=config.timeout_s,
            http_client=openai.DefaultHttpxClient(trust_env=not loopback),  # no proxy to our own machine
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def check(self) -> None:
        """Ask for the model list: tells at once, and free of charge, whether anybody answers to this key."""
        quick = self._client.with_options(max_retries=1, timeout=min(15.0, self._config.timeout_s))
        try:
            quick.get("/models", cast_to=httpx2.Response)
        except openai.APIConnectionError as error:
            raise self._unreachable(error) from error
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise self._denied(error) from error
        except openai.APIStatusError as error:
            log.info("judge %s: GET /models answered %s", self._config.name, error.status_code)

    def model(self) -> dict[str, Any] | None:
        """What the endpoint's list of models says about the configured one; None where it is not in any list."""
        quick = self._client.with_options(max_retries=1, timeout=min(15.0, self._config.timeout_s))
        try:
            known = quick.get("/models", cast_to=httpx2.Response).json().get("data") or []
            listed = next((card for card in known if card.get("id") == self._config.model), None)
            return listed or quick.get(f"/models/{quote(self._config.model, '')}", cast_to=httpx2.Response).json()
        except (openai.OpenAIError, ValueError, AttributeError) as error:
            log.info("judge %s: no model card: %s", self._config.name, self._cause(error))
            return None

    def post(self, request: dict[str, Any]) -> Answer:
        """Send one chat-completions body. Raises JudgeFailedError, or UserError where going on is futile."""
        attempts, long_waits, cause, status = 0, 0, "", None
        for malformed in range(self._config.max_retries + 1):
            try:
                response = self._client.post("/chat/completions", cast_to=httpx2.Response, body=request)
                attempts += 1 + int(response.request.headers.get("x-stainless-retry-count", 0))
                text = self._masked(response.text)
                parse_completion(text)
                self._failures = 0
                return Answer(text, attempts)
            except openai.RateLimitError as error:
                cause, status = self._cause(error), error.status_code
                wait = _retry_after(error)
                if error.code == "insufficient_quota":
                    raise self._denied(error) from error
                if long_waits == LONG_WAITS or wait is None:
                    break
                long_waits += 1
                log.warning("judge %s wants a pause of %.0f s: %s", self._config.name, wait, cause)
                time.sleep(min(wait, LONGEST_WAIT_S))
            except openai.APITimeoutError as error:
                cause = f"no answer within {self._config.timeout_s:g} s ({self._cause(error)})"
                break
            except openai.APIConnectionError as error:
                raise self._unreachable(error) from error
            except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
                raise self._denied(error) from error
            except openai.NotFoundError as error:
                raise UserError(
                    f'judge "{self._config.name}": {self._endpoint.base_url} knows no model '
                    f'"{self._config.model}" or no chat completions: {self._cause(error)}. '
                    "Next: compare with GET …/models."
                ) from error
            except openai.APIStatusError as error:
                cause, status = self._cause(error), error.status_code
                break
            except ValueError as error:
                cause = f"malformed answer: {error}"
                if malformed < self._config.max_retries:
                    time.sleep(min(8.0, 0.05 * 4**malformed))
        self._count_failure(cause)
        raise JudgeFailedError(cause, status)

    def _count_failure(self, cause: str) -> None:
        with self._lock:
            self._failures += 1
            broken = self._failures >= FAILURES_IN_A_ROW
        if broken:
            raise UserError(
                f'judge "{self._config.name}" at {self._endpoint.base_url} failed {FAILURES_IN_A_ROW} '
                f"requests in a row, the last with: {cause}. What was answered is in the cache. Next: mend "
                "the judge and run again."
            )

    def _cause(self, error: Exception) -> str:
        return self._masked(f"{error}" + (f" ({error.__cause__})" if error.__cause__ else ""))

    def _masked(self, text: str) -> str:
        """What came from the judge, without our key: a proxy may show what it was sent, and replies are kept."""
        key = self._endpoint.api_key
        return text.replace(key, "***") if len(key) > 7 else text

    def _unreachable(self, error: Exception) -> UserError:
        return UserError(
            f'judge "{self._config.name}" cannot be reached at {self._endpoint.base_url}: '
            f"{self._cause(error)}. Next: check that the server runs, address and port in config/judges/, "
            "proxy and network; then run again: replies already got are in the cache."
        )

    def _denied(self, error: Exception) -> UserError:
        where = f"environment variable {self._config.api_key_env}" if self._config.api_key_env else "no key is sent"
        return UserError(
            f'judge "{self._config.name}" at {self._endpoint.base_url} refuses us ({where}): '
            f"{self._cause(error)}. Next: mend the key or its quota and run again."
        )


def _retry_after(error: openai.RateLimitError) -> float | None:
    """Seconds that the server asks for, where they are given as a number."""
    try:
        return float(error.response.headers["retry-after"])
    except (KeyError, ValueError):
        return None
