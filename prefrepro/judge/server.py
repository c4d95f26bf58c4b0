"""The local judge: an OpenAI-compatible server that answers by scoring what it is shown with a function.

    python -m prefrepro.judge.server --scorer world --port-file judge.json

It sees only the messages, as any judge does; what it makes of them is in dialects/. Standard library only; it
listens on 127.0.0.1, wants the token that it wrote to the port file, and dies when its parent dies.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import secrets
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.judge.cache import canonical
from prefrepro.judge.dialects import dialects
from prefrepro.judge.faults import DEFAULT_KINDS, KINDS, SPOILED, STATUS, Faults, Limits, headers_of, spoiled
from prefrepro.judge.gullible import obeyed
from prefrepro.judge.scorers import Scorer, load_scorer

MODEL = "embedded-world-judge"
FINGERPRINT = "fp_prefrepro"
BODY_LIMIT = 1_000_000
PARENT_POLL_S = 0.25
NONSENSE = "I would rather not say."
STALL_S = 60.0
"""The most that a fault keeps a client waiting; it ends at once when the client has had enough."""
DRIP_S = 0.05
"""Between two bytes of a slow drip."""


class Judge(ThreadingHTTPServer):
    """The server's state: scorer, token, counters. Without a scorer every reply is nonsense."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, scorer: Scorer | None, faults: Faults, limits: Limits | None = None, *, is_gullible: bool = False
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.scorer = scorer
        self.faults = faults
        self.limits = limits or Limits()
        self.is_gullible = is_gullible
        self.delay_s = 0.0
        self.token = secrets.token_urlsafe(24)
        self.scoring = threading.Lock()
        self.stats = Counter(requests=0, answered=0, faults=0, refused=0)
        self.paid: Counter[str] = Counter()
        """How often each request, by the SHA-256 of its canonical body, got a reply that would have to be paid for."""

    def choose(self, request: dict[str, Any], text: str, *, nonsense: bool) -> dict[str, Any]:
        """What becomes choices[0], from the first dialect that knows the messages. Raises ValueError."""
        nonsense = nonsense or self.scorer is None
        if self.is_gullible and (ordered := obeyed(request["messages"])) is not None:
            return ordered
        for answer in dialects():
            choice = answer(request, self.scorer or _equal, text)
            if choice is not None:
                return _nonsense(choice) if nonsense else choice
        raise ValueError("the messages fit none of the prompts that this judge knows")


def _equal(_history: str, _response: str) -> float:
    return 0.0


def _nonsense(choice: dict[str, Any]) -> dict[str, Any]:
    """The same kind of reply with words that decide nothing."""
    word = {"token": NONSENSE.split()[0], "logprob": 0.0, "bytes": None}
    logprobs = {"logprobs": {"content": [{**word, "top_logprobs": [word]}]}} if choice.get("logprobs") else {}
    return {"message": {"role": "assistant", "content": NONSENSE}, "finish_reason": "stop", **logprobs}


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
            self._send(200, {"object": "list", "data": [self._model(MODEL)]})
        elif self.path.startswith("/v1/models/"):
            self._send(200, self._model(unquote(self.path.removeprefix("/v1/models/"))))
        elif self.path in ("/stats", "/v1/stats"):
            self._send(200, self.server.stats)
        elif self.path == "/v1/paid":
            with self.server.scoring:
                self._send(200, dict(self.server.paid))
        else:
            self._refuse(404, f"no such path {self.path}; known: /v1/models, /v1/chat/completions, /stats, /v1/paid")

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
            if fault is not None:
                self.server.stats[fault] += 1
            asked = fault is None or fault in SPOILED
            status, answer = self._answer(body, nonsense=fault == "nonsense") if asked else (200, {})
            self.server.stats["answered" if status == 200 and fault is None else "refused"] += fault is None
            if status == 200 and fault in (None, "nonsense", "refusal"):
                self.server.paid[hashlib.sha256(canonical(json.loads(body)).encode()).hexdigest()] += 1
        time.sleep(self.server.delay_s)
        if fault == "timeout":
            select.select([self.connection], [], [], STALL_S)  # readable: the client has hung up
        if fault in ("timeout", "reset"):
            self._hang_up()
        else:
            self._send(status, answer, fault)

    def _answer(self, body: bytes, *, nonsense: bool) -> tuple[int, dict[str, Any]]:
        try:
            request = json.loads(body)
            if not isinstance(request, dict) or not isinstance(request.get("messages"), list):
                return _error(400, 'expected a JSON object with a list "messages"')
            if not all(isinstance(message, dict) for message in request["messages"]):
                return _error(400, "expected every message to be an object")
            if request.get("stream") or request.get("n", 1) != 1:
                return _error(400, "stream and n > 1 are not offered")
            if refusal := self.server.limits.refusal(request):
                return 400, {"error": refusal}
            text = "\n".join(str(message.get("content")) for message in request["messages"])
            choice = self.server.choose(request, text, nonsense=nonsense)
        except ValueError as error:
            return _error(400, f"not answerable: {error}")
        except Exception as error:  # noqa: BLE001  a scorer's failure is the caller's to hear, not this server's end
            return _error(422, f"the scorer failed: {error!r}")
        return 200, _completion(str(request.get("model", MODEL)), choice, text)

    def _model(self, name: str) -> dict[str, Any]:
        date = self.server.limits.shutdown_date
        ends = {} if date is None else {"shutdown_date": date}
        return {"id": name, "object": "model", "owned_by": "prefrepro", **ends}

    def _hang_up(self) -> None:
        """Reset the connection: no answer at all, not even an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _authorised(self) -> bool:
        given = self.headers.get("Authorization", "")
        if hmac.compare_digest(given.encode(), f"Bearer {self.server.token}".encode()):
            return True
        self._refuse(401, "wrong or missing bearer token")
        return False

    def _refuse(self, status: int, message: str) -> None:
        self._send(*_error(status, message))

    def _send(self, status: int, answer: dict[str, Any], fault: str | None = None) -> None:
        payload = json.dumps(spoiled(fault, answer) if status == 200 else answer).encode()
        if fault == "truncated":
            payload = payload[: len(payload) // 2]
        headers = {"Date": self.date_time_string()}
        if fault in STATUS:
            status, headers = STATUS[fault], headers | headers_of(fault)
            payload = json.dumps(_error(status, "fault on purpose")[1]).encode()
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if fault == "drip":
            self._drip(payload)
        else:
            self.wfile.write(payload)

    def _drip(self, payload: bytes) -> None:
        """Byte by byte, so that no single read waits long, until the client has had enough."""
        self.wfile.flush()
        for place in range(len(payload)):
            if select.select([self.connection], [], [], DRIP_S)[0]:  # readable: the client has hung up
                break
            self.connection.sendall(payload[place : place + 1])
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """No line per request."""


def _error(status: int, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"message": message, "type": "invalid_request_error", "code": None}}


def _completion(model: str, choice: dict[str, Any], prompt: str) -> dict[str, Any]:
    message = choice["message"]
    said = message.get("content") or json.dumps(message.get("tool_calls"))
    tokens = {
        "prompt_tokens": len(prompt) // 4,
        "completion_tokens": max(1, len(said) // 4),
    }  # 4 characters a token
    return {
        "id": "chatcmpl-" + hashlib.sha256(prompt.encode()).hexdigest()[:24],
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": FINGERPRINT,
        "choices": [{"index": 0, "logprobs": None, **choice}],
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
    tests = parser.add_argument_group("for tests")
    tests.add_argument("--fault-rate", type=float, default=0.0, help="share of failing requests")
    tests.add_argument("--fault-seed", type=int, default=0)
    tests.add_argument("--fault-kinds", default=",".join(DEFAULT_KINDS), help="of " + ",".join(KINDS))
    tests.add_argument("--delay-s", type=float, default=0.0, help="seconds that every answer takes")
    tests.add_argument("--no-logprobs", action="store_true")
    tests.add_argument("--no-tools", action="store_true")
    tests.add_argument("--completion-tokens-only", action="store_true", help="refuse max_tokens and temperature ≠ 1")
    tests.add_argument("--gullible", action="store_true", help="follow orders that stand in what is judged")
    tests.add_argument("--shutdown-date", help="what GET /v1/models says")
    args = parser.parse_args()
    kinds = args.fault_kinds.split(",")
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise UserError(f"--fault-kinds: {', '.join(unknown)} unknown. Known: {', '.join(KINDS)}.")
    threading.Thread(target=_watch_parent, args=(args.parent,), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    scorer = None if args.scorer == "nonsense" else load_scorer(args.scorer)
    limits = Limits(args.no_logprobs, args.no_tools, args.completion_tokens_only, args.shutdown_date)
    with Judge(scorer, Faults(args.fault_rate, args.fault_seed, kinds), limits, is_gullible=args.gullible) as server:
        server.delay_s = args.delay_s
        try:
            _announce(args.port_file, server)
        except OSError as error:
            raise UserError(f"--port-file {args.port_file}: cannot be written: {error}") from error
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    exit_on_user_error(main)
