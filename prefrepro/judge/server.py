"""The local judge: an OpenAI-compatible server that answers by scoring what it is shown with a function.

    python -m prefrepro.judge.server --scorer world --port-file judge.json

It sees only the messages, as any judge does; what it makes of them is in dialects/. Standard library only; it
listens on 127.0.0.1, wants the token that it wrote to the port file, and dies when its parent dies.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.judge.dialects import dialects
from prefrepro.judge.scorers import Scorer, load_scorer

MODEL = "embedded-world-judge"
FINGERPRINT = "fp_prefrepro"
BODY_LIMIT = 1_000_000
PARENT_POLL_S = 0.25
NONSENSE = "I would rather not say."


class Judge(ThreadingHTTPServer):
    """The server's state: scorer and token. Without a scorer every reply is nonsense."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, scorer: Scorer | None, handler: type[Handler] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler or Handler)
        self.scorer = scorer
        self.token = secrets.token_urlsafe(24)
        is_batched = getattr(scorer, "is_batched", False)
        self.scoring = threading.Lock() if not is_batched else contextlib.nullcontext()

    def card(self, name: str) -> dict[str, Any]:
        """What GET /v1/models says about a model."""
        return {"id": name, "object": "model", "owned_by": "prefrepro"}

    def answer(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """HTTP status and JSON answer to the body of a chat-completions request."""
        try:
            request = json.loads(body)
            if not isinstance(request, dict) or not isinstance(request.get("messages"), list):
                return error_answer(400, 'expected a JSON object with a list "messages"')
            if not all(isinstance(message, dict) for message in request["messages"]):
                return error_answer(400, "expected every message to be an object")
            if request.get("stream") or request.get("n", 1) != 1:
                return error_answer(400, "stream and n > 1 are not offered")
            text = "\n".join(str(message.get("content")) for message in request["messages"])
            choice = self.choose(request, text)
        except ValueError as error:
            return error_answer(400, f"not answerable: {error}")
        except Exception as error:  # noqa: BLE001  a scorer's failure is reported to the caller, the server goes on
            return error_answer(422, f"the scorer failed: {error!r}")
        return 200, _completion(str(request.get("model", MODEL)), choice, text)

    def choose(self, request: dict[str, Any], text: str) -> dict[str, Any]:
        """What becomes choices[0], from the first dialect that knows the messages. Raises ValueError."""
        for answer in dialects():
            choice = answer(request, self.scorer or (lambda _history, _response: 0.0), text)
            if choice is not None:
                return nonsense(choice) if self.scorer is None else choice
        raise ValueError("the messages fit none of the prompts that this judge knows")


def nonsense(choice: dict[str, Any]) -> dict[str, Any]:
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
        """/v1/models and /v1/models/NAME."""
        if not self._authorised():
            return
        if self.path == "/v1/models":
            self.send(200, {"object": "list", "data": [self.server.card(MODEL)]})
        elif self.path.startswith("/v1/models/"):
            self.send(200, self.server.card(unquote(self.path.removeprefix("/v1/models/"))))
        else:
            self._refuse(404, f"no such path {self.path}; known: /v1/models, /v1/chat/completions")

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
        self.respond(body)

    def respond(self, body: bytes) -> None:
        """Answer an authorised chat-completions request."""
        with self.server.scoring:  # scorers need not be thread-safe, unless they say so
            status, answer = self.server.answer(body)
        self.send(status, answer)

    def _authorised(self) -> bool:
        given = self.headers.get("Authorization", "")
        if hmac.compare_digest(given.encode(), f"Bearer {self.server.token}".encode()):
            return True
        self._refuse(401, "wrong or missing bearer token")
        return False

    def _refuse(self, status: int, message: str) -> None:
        self.send(*error_answer(status, message))

    def send(self, status: int, answer: dict[str, Any]) -> None:
        """Send an answer as JSON."""
        payload = json.dumps(answer).encode()
        self.send_head(status, len(payload))
        self.wfile.write(payload)

    def send_head(self, status: int, length: int, **headers: str) -> None:
        """Status line and headers; `headers` replace or add some."""
        self.send_response_only(status)
        headers = {"Date": self.date_time_string(), "Content-Type": "application/json", **headers}
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """No line per request."""


def error_answer(status: int, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"message": message, "type": "invalid_request_error", "code": None}}


def _completion(model: str, choice: dict[str, Any], prompt: str) -> dict[str, Any]:
    message = choice["message"]
    said = message.get("content") or json.dumps(message.get("tool_calls"))
    tokens = {"prompt_tokens": len(prompt) // 4, "completion_tokens": max(1, len(said) // 4)}  # 4 characters a token
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


def argument_parser() -> argparse.ArgumentParser:
    """The server's options."""
    parser = argparse.ArgumentParser(prog="python -m prefrepro.judge.server", description="The local judge.")
    parser.add_argument("--scorer", required=True, help="world, reward-model:DIR, classifier:DIR, longer or nonsense")
    parser.add_argument("--port-file", required=True, type=Path, help="where to write address and token")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process id to live as long as")
    return parser


def serve(arguments: argparse.Namespace, make: Callable[[Scorer | None], Judge] = Judge) -> None:
    """Serve until SIGTERM or the parent's end. Raises UserError for an unusable scorer or port file."""
    threading.Thread(target=_watch_parent, args=(arguments.parent,), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with make(None if arguments.scorer == "nonsense" else load_scorer(arguments.scorer)) as server:
        try:
            _announce(arguments.port_file, server)
        except OSError as error:
            raise UserError(f"--port-file {arguments.port_file}: cannot be written: {error}") from error
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    exit_on_user_error(lambda: serve(argument_parser().parse_args()))
