"""The local judge with faults, limits and counters: a real server of its own process, for tests.

    with local_judge("length", "--fault-kinds", "nonsense", fault_rate=0.5) as endpoint: ...

Beside the real one's paths it has /v1/stats, its counters, and /v1/paid, how often each request got a reply.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import select
import socket
import struct
import time
from collections import Counter
from contextlib import AbstractContextManager
from typing import Any

from gullible import obeyed
from judge_faults import DEFAULT_KINDS, KINDS, STATUS, Faults, Limits, headers_of, spoiled

from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.judge.cache import canonical
from prefrepro.judge.connect import local_judge as real_judge
from prefrepro.judge.endpoint import Endpoint
from prefrepro.judge.scorers import Scorer
from prefrepro.judge.server import Handler, Judge, argument_parser, error_answer, serve

STALL_S = 60.0
"""The most that a fault keeps a client waiting; it ends at once when the client closes the connection."""
DRIP_S = 0.05
"""Between two bytes of a slow drip."""


def local_judge(
    scorer: str, *options: str, fault_rate: float = 0.0, fault_seed: int = 0
) -> AbstractContextManager[Endpoint]:
    """`prefrepro.judge.connect.local_judge` of the server below, with its `options`."""
    rate = ("--fault-rate", str(fault_rate), "--fault-seed", str(fault_seed))
    return real_judge(scorer, program=(__file__, *options, *rate))


class FaultyJudge(Judge):
    """Counts its requests, offers less than it could, or follows the orders in what it is shown."""

    def __init__(self, scorer: Scorer | None, arguments: argparse.Namespace) -> None:
        super().__init__(scorer, FaultyHandler)
        self.faults = Faults(arguments.fault_rate, arguments.fault_seed, arguments.fault_kinds.split(","))
        self.limits = Limits(arguments.no_logprobs, arguments.no_tools, arguments.completion_tokens_only)
        self.flip_rate, self.dice = arguments.flip_rate, random.Random(arguments.fault_seed)
        self.shutdown_date: str | None = arguments.shutdown_date
        self.delay_s, self.is_gullible = arguments.delay_s, arguments.gullible
        self.stats = Counter(requests=0, answered=0, faults=0, refused=0)
        self.paid: Counter[str] = Counter()
        """How often each request, by the SHA-256 of its canonical body, got a reply that would have to be paid for."""

    def card(self, name: str) -> dict[str, Any]:
        ends = {} if self.shutdown_date is None else {"shutdown_date": self.shutdown_date}
        return super().card(name) | ends

    def choose(self, request: dict[str, Any], text: str) -> dict[str, Any]:
        if self.dice.random() < self.flip_rate:  # one request at a time is answered (Handler.respond)
            fair = self.scorer
            self.scorer = (lambda history, response: -fair(history, response)) if fair else None
            try:
                return super().choose(request, text)
            finally:
                self.scorer = fair
        ordered = obeyed(request["messages"]) if self.is_gullible else None
        return super().choose(request, text) if ordered is None else ordered

    def answer(self, body: bytes) -> tuple[int, dict[str, Any]]:
        status, answer = super().answer(body)
        if status == 200 and (refusal := self.limits.refusal(json.loads(body))):
            return 400, {"error": refusal}
        return status, answer


class FaultyHandler(Handler):
    server: FaultyJudge

    def do_GET(self) -> None:
        if self.path.removeprefix("/v1") == "/stats":
            self.send(200, self.server.stats)
        elif self.path == "/v1/paid":
            with self.server.scoring:
                self.send(200, dict(self.server.paid))
        else:
            super().do_GET()

    def respond(self, body: bytes) -> None:
        with self.server.scoring:
            self.server.stats["requests"] += 1
            fault = self.server.faults.draw(body)
            self.server.stats["faults"] += fault is not None
            if fault is not None:
                self.server.stats[fault] += 1
            status, answer = self.server.answer(body) if fault not in STATUS else (200, {})
            if status == 200 and fault not in STATUS:  # what it wrote is billed, whatever becomes of it on the way
                self.server.stats["billed_tokens"] += answer["usage"]["total_tokens"]
            self.server.stats["answered" if status == 200 and fault is None else "refused"] += fault is None
            if status == 200 and fault in (None, "nonsense", "refusal"):
                self.server.paid[hashlib.sha256(canonical(json.loads(body)).encode()).hexdigest()] += 1
        time.sleep(self.server.delay_s)
        if fault == "timeout":
            select.select([self.connection], [], [], STALL_S)  # readable: the client has closed the connection
        if fault in ("timeout", "reset"):
            self._hang_up()
        elif fault is None or status != 200:
            self.send(status, answer)
        else:
            self._fail(fault, answer)

    def _fail(self, fault: str, answer: dict[str, Any]) -> None:
        status = STATUS.get(fault, 200)
        payload = json.dumps(error_answer(status, "fault on purpose")[1] if status != 200 else spoiled(fault, answer))
        if fault == "truncated":
            payload = payload[: len(payload) // 2]
        self.send_head(status, len(payload), **headers_of(fault) if status != 200 else {})
        if fault == "drip":
            self._drip(payload.encode())
        else:
            self.wfile.write(payload.encode())

    def _hang_up(self) -> None:
        """Reset the connection: no answer at all, not even an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _drip(self, payload: bytes) -> None:
        """Byte by byte, so that no single read waits long, until the client has had enough."""
        self.wfile.flush()
        for place in range(len(payload)):
            if select.select([self.connection], [], [], DRIP_S)[0]:  # readable: the client has closed the connection
                break
            self.connection.sendall(payload[place : place + 1])
        self.close_connection = True


def main() -> None:
    """The server's command line."""
    parser = argument_parser()
    parser.add_argument("--fault-rate", type=float, default=0.0, help="share of failing requests")
    parser.add_argument("--fault-seed", type=int, default=0)
    parser.add_argument("--fault-kinds", default=",".join(DEFAULT_KINDS), help="of " + ",".join(KINDS))
    parser.add_argument("--flip-rate", type=float, default=0.0, help="share of verdicts that are the opposite")
    parser.add_argument("--delay-s", type=float, default=0.0, help="seconds that every answer takes")
    parser.add_argument("--no-logprobs", action="store_true")
    parser.add_argument("--no-tools", action="store_true")
    parser.add_argument("--completion-tokens-only", action="store_true", help="refuse max_tokens and temperature ≠ 1")
    parser.add_argument("--gullible", action="store_true", help="follow orders that stand in what is judged")
    parser.add_argument("--shutdown-date", help="what GET /v1/models says")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.fault_kinds.split(",")) - set(KINDS)):
        raise UserError(f"--fault-kinds: {', '.join(unknown)} unknown. Known: {', '.join(KINDS)}.")
    serve(arguments, lambda scorer: FaultyJudge(scorer, arguments))


if __name__ == "__main__":
    exit_on_user_error(main)
