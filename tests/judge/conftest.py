"""A real judge server, and clients that talk to it through the real `openai` library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_judge import local_judge
from judge_helpers import IDENTITY, make_config
from scripted import Script

from prefrepro.judge.client import JudgeClient
from prefrepro.judge.endpoint import Endpoint


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    """A fault-free judge that prefers the shorter answer."""
    with local_judge("length") as found:
        yield found


@pytest.fixture
def open_client(tmp_path: Path, endpoint: Endpoint) -> Iterator[Callable[..., JudgeClient]]:
    """Clients of the module's judge on one cache file per test, or of another endpoint."""
    opened = []

    def make(to: Endpoint = endpoint, cache: Path = tmp_path / "cache.sqlite", **changes: Any) -> JudgeClient:
        opened.append(JudgeClient(make_config(**changes), cache, IDENTITY, lambda: to))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def play() -> Iterator[Script]:
    """`play(step, step, …)` starts a scripted server."""
    script = Script()
    yield script
    script.close()
