"""HTTP to a judge through the `openai` client: retries, time-outs, and which failures end the whole judging."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import openai

from prefrepro.errors import UserError
from prefrepro.judge.completion import parse_completion
from prefrepro.judge.endpoint import Endpoint, JudgeFailedError
from prefrepro.specs.judge import JudgeConfig

log = logging.getLogger(__name__)

LONG_WAITS = 3
"""How often a Retry-After that openai refuses to wait for (over 2 minutes) is waited for here."""
LONGEST_WAIT_S = 3600.0
NO_CREDIT = 402
OF_ONE_PROMPT = re.compile(r"content.?(filter|policy|management)|moderation|flagged", re.IGNORECASE)
"""Words of a 403 that refuse one prompt and not the key."""
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


def is_model(asked: str, served: str) -> bool:
    """Whether a reply of model `served` answers for `asked`: itself, with or without an owner, or a dated snapshot.

    gpt-4 may be answered by openai/gpt-4 and by gpt-4-0613, not by gpt-4-mini.
    """
    asked, served = (name.lower().rstrip("/").rpartition("/")[2] for name in (asked, served))
    return re.fullmatch(re.escape(asked) + r"(-\d{4}|-\d{8}|-\d{4}-\d\d-\d\d)?", served) is not None


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
        """Ask for the model list: tells at once, and free of charge, whether anybody answers to this key."""
        try:
            self._quick.get("/models", cast_to=httpx2.Response)
        except openai.APIConnectionError as error:
            raise self._unreachable(error) from error
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise self._denied(error) from error
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

    def post(self, request: dict[str, Any]) -> tuple[str, int]:
        """Send one chat-completions body: a well-formed completion, as sent, and the number of HTTP requests it took.

        Raises JudgeFailedError, or UserError where going on is futile.
        """
        attempts, long_waits, cause, status = 0, 0, "", None
        for malformed in range(self._config.max_retries + 1):
            try:
                response = self._client.post("/chat/completions", cast_to=httpx2.Response, body=request)
                attempts += 1 + int(response.request.headers.get("x-stainless-retry-count", 0))
                text = self._masked(response.text)
                self._check_served(request, parse_completion(text).model or "")
                self._failures = 0
                return text, attempts
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
            except openai.PermissionDeniedError as error:
                cause, status = self._cause(error), error.status_code
                if not OF_ONE_PROMPT.search(cause):
                    raise self._denied(error) from error
                raise JudgeFailedError(cause, status) from error
            except openai.AuthenticationError as error:
                raise self._denied(error) from error
            except openai.NotFoundError as error:
                raise UserError(
                    f'judge "{self._config.name}": {self._endpoint.base_url} knows no model '
                    f'"{self._config.model}" or no chat completions: {self._cause(error)}. '
                    "Next: compare with GET …/models."
                ) from error
            except openai.APIStatusError as error:
                cause, status = self._cause(error), error.status_code
                if status == NO_CREDIT:
                    raise self._denied(error) from error
                break
            except ValueError as error:
                cause = f"malformed answer: {error}"
                if malformed < self._config.max_retries:
                    time.sleep(min(8.0, 0.05 * 4**malformed))
        self._count_failure(cause)
        raise JudgeFailedError(cause, status)

    def _check_served(self, request: dict[str, Any], served: str) -> None:
        """Raise UserError for a reply of another model: it is no verdict of this judge, and the next would be none."""
        asked = self._config.served_as or request["model"]
        if served and not is_model(asked, served):
            raise UserError(
                f'judge "{self._config.name}" at {self._endpoint.base_url} answers as model {served!r}, and {asked!r} '
                f"was asked. Next: where they are one, write `served_as: {served}` in "
                f"config/judges/{self._config.name}.yaml; otherwise name the model that you want, and run again."
            )

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
    """Seconds that the server asks for: a number, or a date, held against the server's own clock and not ours."""
    headers = error.response.headers
    asked = headers.get("retry-after", "")
    try:
        return max(0.0, float(asked))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(asked) - parsedate_to_datetime(headers["date"])).total_seconds())
    except (KeyError, ValueError, TypeError):
        return None
