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

import pytest
from faulty_judge import local_judge
from judge_helpers import IDENTITY, ROOT, child_environment, make_items, stats

from prefrepro.judge import connect
from prefrepro.judge.cache import ReplyCache, Row
from prefrepro.judge.client import JudgeClient
from prefrepro.judge.endpoint import Endpoint
from prefrepro.judge.pairwise import judge_items

JUDGE_IN_A_CHILD = f"""
import os, sys
from pathlib import Path
from prefrepro.judge.client import JudgeClient
from prefrepro.judge.endpoint import Endpoint
from faulty_judge import local_judge
from prefrepro.judge.pairwise import judge_items
from judge_helpers import make_config, make_items
cache, start, stop = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
endpoint = Endpoint(os.environ["TEST_URL"], os.environ["TEST_TOKEN"])
with JudgeClient(make_config(), cache, "{IDENTITY}", lambda: endpoint) as client:
    judge_items(make_items(stop)[start:], client, protocol="robust", template="dialogue")
"""
WRITE_IN_A_CHILD = """
import itertools, sys
from pathlib import Path
from prefrepro.judge.cache import ReplyCache, Row
cache = ReplyCache(Path(sys.argv[1]), durable=sys.argv[3] == "1")
for number in itertools.count():
    key = f"{sys.argv[2]}-{number}"
    cache.settle(cache.reserve(0.001, 1e9), 0.001)
    cache.put(key, "judge", 0, {"messages": []}, Row("{}", 0.001, 1, "now"))
    print(key, flush=True)
"""
SERVER_IN_A_CHILD = """
import time
from faulty_judge import local_judge
with local_judge("length") as endpoint:
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
    return judge_items(make_items(n), client, protocol="robust", template="dialogue")


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


@pytest.mark.parametrize("durable", [True, False])
def test_what_is_stored_survives_kill_9_of_every_writer(durable: bool, tmp_path: Path) -> None:
    """Eight processes write as fast as they can and say what `put` has taken; all of that is there afterwards."""
    path = tmp_path / "cache.sqlite"
    ReplyCache(path, durable=durable).close()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE_IN_A_CHILD, str(path), str(number), str(int(durable))],
            stdout=subprocess.PIPE, text=True, env=child_environment(), cwd=ROOT,
        )
        for number in range(8)
    ]  # fmt: skip
    outputs = [writer.stdout for writer in writers]
    stored = []
    for output in outputs:
        assert output is not None
        stored += [output.readline() for _ in range(20)]
    for writer in writers:
        writer.kill()
    for writer, output in zip(writers, outputs, strict=True):
        assert output is not None
        stored += output.readlines()
        writer.wait()
    cache = ReplyCache(path)
    keys = [line.strip() for line in stored if line.endswith("\n")]
    assert len(set(keys)) == len(keys) >= 160
    assert all(cache.get(key) is not None for key in keys)
    assert cache.spent_usd() >= 0.001 * len(keys) - 1e-9
    cache.close()


def test_a_paid_reply_waits_for_the_disk_and_a_free_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_size), fsync(handle)))
    for durable, waits in ((True, 5), (False, 0)):
        synced.clear()
        cache = ReplyCache(tmp_path / f"{durable}.sqlite", durable=durable)
        for number in range(5):
            cache.put(str(number), "judge", 0, {"messages": []}, Row("{}", 0.001, 1, "now"))
            assert len(synced) == (number + 1) * durable
        assert len(synced) == waits
        assert synced == sorted(set(synced)), "each wait is for a log that holds one more commit"
        cache.close()


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


def test_a_judge_that_starts_slowly_is_waited_for_and_the_log_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import runpy, time\ntime.sleep(1)\nrunpy.run_module('prefrepro.judge.server', run_name='__main__')\n"
    )
    monkeypatch.setattr(connect, "TOLD_EVERY_S", 0.2)
    with connect.local_judge("length", (str(slow),)) as endpoint:
        assert endpoint.base_url.startswith("http://127.0.0.1:")
    assert capsys.readouterr().err.startswith("waiting for the local judge, which still starts: 0 s\n")
    assert connect.READY_WITHIN_S >= 600
