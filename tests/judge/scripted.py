"""A server that answers each request with the next step of a script, the last for ever, and counts what it bills."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prefrepro.judge.endpoint import Endpoint

Step = tuple[int, dict[str, str], Any]
"""Status, headers, body: bytes as they are, anything else as JSON."""
REQUEST = {"model": "m", "messages": [{"role": "user", "content": "Which?"}], "max_tokens": 10}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
KEY = "the-api-key"
DROPPED = -1
"""A step that closes the connection without an answer."""


def completion(**message: Any) -> Step:
    """A chat completion of model m-2026."""
    choice = {"message": message, "finish_reason": "stop"}
    return 200, {}, {"model": "m-2026", "choices": [choice], "usage": USAGE}


class Script:
    """`requests`: the bodies that came; `serve(server)` starts any other server for as long as the test."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self._servers: list[ThreadingHTTPServer] = []

    def __call__(self, *steps: Step | float) -> Endpoint:
        """A number waits so many seconds before a good answer; DROPPED closes the connection."""
        left, requests, lock = list(steps), self.requests, threading.Lock()

        class Player(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._send((404, {}, {}))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    requests.append(body)
                    step = left.pop(0) if len(left) > 1 else left[0]
                if step == DROPPED:
                    self.close_connection = True
                    self.connection.close()
                    return
                if isinstance(step, float | int):
                    time.sleep(step)
                    step = completion(content="Response 1")
                self._send(step)

            def _send(self, step: Step) -> None:
                status, headers, body = step
                payload = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response_only(status)
                for name, value in {**headers, "Content-Length": str(len(payload))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def finish(self) -> None:
                if not self.connection._closed:  # type: ignore[attr-defined]
                    super().finish()

        return self.serve(ThreadingHTTPServer(("127.0.0.1", 0), Player), KEY)

    def serve(self, server: ThreadingHTTPServer, key: str) -> Endpoint:
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return Endpoint(f"http://127.0.0.1:{server.server_address[1]}/v1", key)

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
