"""The local judge: an OpenAI-compatible server that scores both answers with a function.

    python -m prefrepro.judge.server --scorer world --port-file judge.json

It sees only the messages, as any judge does. Standard library only; it listens on 127.0.0.1, wants the token
that it wrote to the port file, and dies when its parent dies. Faults, for tests, are drawn in `Faults`.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import math
import os
import secrets
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.judge.prompts import NOUNS, Shown, UnreadablePromptError, parse_back
from prefrepro.judge.scorers import Scorer, load_scorer

MODEL = "embedded-world-judge"
BODY_LIMIT = 1_000_000
PARENT_POLL_S = 0.25
NONSENSE = "I would rather not say."


class Faults:
    """Makes a share of the requests fail: the n-th try of a request always alike, whatever the threads do."""

    def __init__(self, rate: float, seed: int) -> None:
        self._rate, self._seed = rate, seed
        self._tries: dict[bytes, int] = {}

    def draw(self, body: bytes) -> str | None:
        """None, or one of rate_limit, server_error, truncated, no_choices."""
        digest = hashlib.sha256(body).digest()
        self._tries[digest] = self._tries.get(digest, 0) + 1
        dice = hashlib.sha256(b"%d %d " % (self._seed, self._tries[digest]) + digest).digest()
        if int.from_bytes(dice[:4], "big") / 2**32 >= self._rate:
            return None
        return ("rate_limit", "server_error", "truncated", "no_choices")[dice[4] % 4]


class Judge(ThreadingHTTPServer):
    """The server's state: scorer, token, counters."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, scorer: Scorer | None, faults: Faults) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.scorer = scorer
        self.faults = faults
        self.token = secrets.token_urlsafe(24)
        self.scoring = threading.Lock()
        self.stats = {"requests": 0, "answered": 0, "faults": 0, "refused": 0}

    def choose(self, shown: Shown, text: str) -> str:
        """«Response 1», «Response 2» or, where the prompt allows it, «Tie». Raises ValueError at NaN."""
        if self.scorer is None:
            return NONSENSE
        history = shown.history
        if history.startswith("<|"):
            history = "\n" + history  # the template's leading newline, which the prompt strips
        first, second = self.scorer(history, shown.first), self.scorer(history, shown.second)
        if not (math.isfinite(first) and math.isfinite(second)):
            raise ValueError(f"the scorer gave {first} and {second}, expected finite numbers")
        if first == second and shown.protocol == "robust":
            return "Tie"
        coin = hashlib.sha256(text.encode()).digest()[0] % 2 == 0
        wins_first = coin if first == second else first > second
        return f"{NOUNS[shown.template]} {1 if wins_first else 2}"


class Handler(BaseHTTPRequestHandler):
    """One connection, kept open; each answer leaves in one write."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body are flushed together
    disable_nagle_algorithm = True
    server: Judge

    def do_GET(self) -> None:
        """/v1/models, and /stats for tests."""
        if not self._authorised():
            return
        if self.path == "/v1/models":
            self._send(200, {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "prefrepro"}]})
        elif self.path in ("/stats", "/v1/stats"):
            self._send(200, self.server.stats)
        else:
            self._refuse(404, f"no such path {self.path}; known: /v1/models, /v1/chat/completions, /stats")

    def do_POST(self) -> None:
        """/v1/chat/completions."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > BODY_LIMIT:
            self.close_connection = True
            self._refuse(413, f"Content-Length {length!r}, expected a number up to {BODY_LIMIT}")
            return
        body = self.rfile.read(int(length))
        if not self._authorised():
            return
        if self.path != "/v1/chat/completions":
            self._refuse(404, f"no such path {self.path}; known: /v1/chat/completions")
            return
        with self.server.scoring:  # scorers need not be thread-safe
            self.server.stats["requests"] += 1
            fault = self.server.faults.draw(body)
            self.server.stats["faults"] += fault is not None
            status, answer = (200, {}) if fault in ("rate_limit", "server_error") else self._answer(body)
            self.server.stats["answered" if status == 200 and fault is None else "refused"] += fault is None
        self._send(status, answer, fault)

    def _answer(self, body: bytes) -> tuple[int, dict[str, Any]]:
        try:
            request = json.loads(body)
            if not isinstance(request, dict) or not isinstance(request.get("messages"), list):
                return _error(400, 'expected a JSON object with a list "messages"')
            if not all(isinstance(message, dict) for message in request["messages"]):
                return _error(400, "expected every message to be an object")
            if request.get("stream") or request.get("n", 1) != 1:
                return _error(400, "stream and n > 1 are not offered")
            text = "\n".join(str(message.get("content")) for message in request["messages"])
            reply = self.server.choose(parse_back(request["messages"]), text)
        except UnreadablePromptError as error:
            return _error(400, str(error))
        except ValueError as error:
            return _error(400, f"not answerable: {error}")
        except Exception as error:  # noqa: BLE001  a scorer's failure is the caller's to hear, not this server's end
            return _error(422, f"the scorer failed: {error!r}")
        return 200, _completion(str(request.get("model", MODEL)), reply, text)

    def _authorised(self) -> bool:
        given = self.headers.get("Authorization", "")
        if hmac.compare_digest(given.encode(), f"Bearer {self.server.token}".encode()):
            return True
        self._refuse(401, "wrong or missing bearer token")
        return False

    def _refuse(self, status: int, message: str) -> None:
        self._send(*_error(status, message))

    def _send(self, status: int, answer: dict[str, Any], fault: str | None = None) -> None:
        payload = json.dumps({**answer, "choices": []} if fault == "no_choices" else answer).encode()
        if fault == "truncated":
            payload = payload[: len(payload) // 2]
        if fault in ("rate_limit", "server_error"):
            status = 429 if fault == "rate_limit" else 500
            payload = json.dumps(_error(status, "fault on purpose")[1]).encode()
        self.send_response(status)
        if fault is not None:
            self.send_header("Retry-After", "0.02")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        """No line per request."""


def _error(status: int, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"message": message, "type": "invalid_request_error", "code": None}}


def _completion(model: str, reply: str, prompt: str) -> dict[str, Any]:
    tokens = {
        "prompt_tokens": len(prompt) // 4,
        "completion_tokens": max(1, len(reply) // 4),
    }  # 4 characters a token
    return {
        "id": "chatcmpl-" + hashlib.sha256(prompt.encode()).hexdigest()[:24],
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": reply}, "finish_reason": "stop"}],
        "usage": {**tokens, "total_tokens": sum(tokens.values())},
    }


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_S)
    os._exit(1)


def _announce(path: Path, server: Judge) -> None:
    """Write where the server listens, readable by its owner only, in one step."""
    host, port = server.server_address[:2]
    text = json.dumps(
        {"base_url": f"http://{host}:{port}/v1", "token": server.token, "pid": os.getpid(), "model": MODEL}
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)


def main() -> None:
    """Serve until SIGTERM or the parent's end."""
    parser = argparse.ArgumentParser(prog="python -m prefrepro.judge.server", description="The local judge.")
    parser.add_argument("--scorer", required=True, help="world, reward-model:DIR, length or nonsense")
    parser.add_argument("--port-file", required=True, type=Path, help="where to write address and token")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process id to live as long as")
    parser.add_argument("--fault-rate", type=float, default=0.0, help="for tests: share of failing requests")
    parser.add_argument("--fault-seed", type=int, default=0)
    args = parser.parse_args()
    threading.Thread(target=_watch_parent, args=(args.parent,), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    scorer = None if args.scorer == "nonsense" else load_scorer(args.scorer)
    with Judge(scorer, Faults(args.fault_rate, args.fault_seed)) as server:
        try:
            _announce(args.port_file, server)
        except OSError as error:
            raise UserError(f"--port-file {args.port_file}: cannot be written: {error}") from error
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    exit_on_user_error(main)
