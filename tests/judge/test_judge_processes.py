"""Several processes, and processes that are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from judge_helpers import IDENTITY, ROOT, child_environment, make_items, stats

from prefrepro.judge.client import JudgeClient
from prefrepro.judge.endpoint import Endpoint
from prefrepro.judge.local import local_judge
from prefrepro.judge.pairwise import judge_items

JUDGE_IN_A_CHILD = f"""
import os, sys
from pathlib import Path
from prefrepro.judge.client import JudgeClient
from prefrepro.judge.endpoint import Endpoint
from prefrepro.judge.local import local_judge
from prefrepro.judge.pairwise import judge_items
from judge_helpers import make_config, make_items
cache, start, stop = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
endpoint = Endpoint(os.environ["TEST_URL"], os.environ["TEST_TOKEN"])
with JudgeClient(make_config(), cache, "{IDENTITY}", lambda: endpoint) as client:
    judge_items(make_items(stop)[start:], client, client.config,
                verdict_set_id="v", protocol="robust", template="dialogue")
"""
SERVER_IN_A_CHILD = """
import time
from prefrepro.judge import local
with local.local_judge("length") as endpoint:
    print(endpoint.base_url, endpoint.api_key, flush=True)
    time.sleep(60)
"""


def spawn(endpoint: Endpoint, cache: Path, start: int, stop: int) -> subprocess.Popen[bytes]:
    environment = {**child_environment(), "TEST_URL": endpoint.base_url, "TEST_TOKEN": endpoint.api_key}
    command = [sys.executable, "-c", JUDGE_IN_A_CHILD, str(cache), str(start), str(stop)]
    return subprocess.Popen(command, env=environment, cwd=ROOT)


def stored(cache: Path) -> int:
    try:
        database = sqlite3.connect(f"file:{cache}?mode=ro", uri=True)
        try:
            return database.execute("SELECT count(*) FROM replies").fetchone()[0]
        finally:
            database.close()
    except sqlite3.OperationalError:
        return 0


def judge(client: JudgeClient, n: int):
    return judge_items(make_items(n), client, client.config, verdict_set_id="v", protocol="robust", template="dialogue")


def test_processes_share_one_cache(open_client: Callable[..., JudgeClient], endpoint: Endpoint, tmp_path: Path) -> None:
    """Two at the same time on a file that does not exist yet, then a third that has nothing to ask."""
    cache = tmp_path / "cache.sqlite"
    before = stats(endpoint)["requests"]
    children = [spawn(endpoint, cache, 0, 40), spawn(endpoint, cache, 40, 80)]
    assert [child.wait(120) for child in children] == [0, 0]
    assert stats(endpoint)["requests"] - before == 160 == stored(cache)
    client = open_client()
    judge(client, 80)
    assert (client.asked, client.cached) == (0, 160)


def test_processes_that_ask_the_same_pay_once(tmp_path: Path) -> None:
    """As the orphan of a killed workflow and the job that the next one starts."""
    with local_judge("length", "--delay-s", "0.02") as slow:
        children = [spawn(slow, tmp_path / "cache.sqlite", 0, 40) for _ in range(3)]
        assert [child.wait(120) for child in children] == [0, 0, 0]
        assert stats(slow)["requests"] == 80 == stored(tmp_path / "cache.sqlite")


def test_killed_midway_pays_nothing_twice(
    open_client: Callable[..., JudgeClient], endpoint: Endpoint, tmp_path: Path
) -> None:
    """Only what was on the wire at the kill, at most one request a thread (4), is sent again."""
    n = 500
    before = stats(endpoint)["requests"]
    child = spawn(endpoint, tmp_path / "cache.sqlite", 0, n)
    while stored(tmp_path / "cache.sqlite") < 100:
        assert child.poll() is None
        time.sleep(0.01)
    child.kill()
    child.wait(10)
    kept = stored(tmp_path / "cache.sqlite")
    assert 100 <= kept < 2 * n
    client = open_client()
    frame = judge(client, n)
    assert (client.asked, client.cached, len(frame)) == (2 * n - kept, kept, 2 * n)
    assert 2 * n <= stats(endpoint)["requests"] - before <= 2 * n + 4


def test_the_server_dies_with_its_parent() -> None:
    """Even when the parent is killed and can stop nothing."""
    command = [sys.executable, "-c", SERVER_IN_A_CHILD]
    with subprocess.Popen(command, env=child_environment(), cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        endpoint = Endpoint(*parent.stdout.readline().split())
        assert stats(endpoint)["requests"] == 0
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait(10)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            stats(endpoint)
        except OSError:
            return
        time.sleep(0.05)
    raise AssertionError("the server outlived its parent by a minute")
