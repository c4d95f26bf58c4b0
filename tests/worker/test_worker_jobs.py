"""A job in the worker ends as it would by itself, whoever is killed, and leaves the worker as it was."""

from __future__ import annotations

import json
import os
import signal

import pytest
from checkout import Checkout
from worker_helpers import Workflow, folder_of, gone, kill, needs_pidfd, until, workflow

pytestmark = needs_pidfd
IMPORTS_ITSELF = "this job imports its libraries itself"


def whose(log: str) -> dict[str, int]:
    """What `me()` printed last."""
    return json.loads(log.splitlines()[-1])


def test_jobs_are_forked_from_one_worker(shared: Workflow) -> None:
    (code, first), (_, second) = shared.probe("me()"), shared.probe("me()")
    assert code == 0
    assert IMPORTS_ITSELF not in first
    assert whose(first)["parent"] == whose(second)["parent"] != shared.process.pid
    assert whose(first)["pid"] != whose(second)["pid"]


@pytest.mark.parametrize(
    ("statement", "code", "said"),
    [
        ("sys.exit(7)", 7, ""),
        ("sys.exit('not so')", 1, "not so\n"),
        ("print('out'); sys.stderr.write('err')", 0, "out\nerr"),
        ("import atexit; atexit.register(print, 'last words')", 0, "last words\n"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV, ""),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
    ],
)
def test_a_job_ends_as_it_does_by_itself(shared: Workflow, statement: str, code: int, said: str) -> None:
    assert shared.probe(statement) == (code, said)
    assert shared.probe(statement, PREFREPRO_WORKER="off") == (code, said)


@pytest.mark.parametrize(("statement", "code"), [("1 / 0", 1), ("raise KeyboardInterrupt", -signal.SIGINT)])
def test_an_error_is_told_in_the_jobs_log(shared: Workflow, statement: str, code: int) -> None:
    """The last lines of both tracebacks are one; a fork's has the worker's frames above."""
    warm, cold = shared.probe(statement), shared.probe(statement, PREFREPRO_WORKER="off")
    assert warm[0] == cold[0] == code
    assert warm[1].startswith("Traceback (most recent call last):\n")
    assert warm[1].splitlines()[-2:] == cold[1].splitlines()[-2:]


def test_a_job_has_what_its_process_has(shared: Workflow, tmp_path) -> None:
    """Environment but for the worker's address, folder, arguments, streams; and nothing of an earlier job."""
    says = (
        "os.environ.pop('PREFREPRO_WORKER', None); "
        "print(json.dumps([dict(os.environ), os.getcwd(), sys.argv, sys.path, sys.stdin.read(), __name__]))"
    )
    warm, cold = (shared.probe(says, TMPDIR=str(tmp_path), **more) for more in ({}, {"PREFREPRO_WORKER": "off"}))
    assert warm == cold
    assert warm[0] == 0
    shared.probe("os.environ['LEFT'] = '1'; os.chdir('/'); sys.path.clear()")
    assert shared.probe(says, TMPDIR=str(tmp_path)) == warm


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_the_work(shared: Workflow, number: signal.Signals) -> None:
    client, fork = shared.begin_probe()
    os.kill(client, number)
    code, _ = shared.end()
    assert code == -number
    assert gone(fork["pid"])
    assert not gone(fork["parent"])


def test_an_interrupt_may_be_handled_by_the_work(shared: Workflow) -> None:
    client, _ = shared.begin_probe("signal.signal(signal.SIGINT, lambda *_: sys.exit(9))")
    os.kill(client, signal.SIGINT)
    assert shared.end()[0] == 9


def test_a_killed_client_takes_its_work_along(shared: Workflow) -> None:
    client, fork = shared.begin_probe()
    kill(client)
    assert shared.end()[0] == -signal.SIGKILL
    until(lambda: gone(fork["pid"]), "the work outlived its job")
    assert whose(shared.probe("me()")[1])["parent"] == fork["parent"]


def test_killed_work_is_not_done_again(shared: Workflow) -> None:
    _, fork = shared.begin_probe()
    kill(fork["pid"])
    code, log = shared.end()
    assert code == -signal.SIGKILL
    assert IMPORTS_ITSELF not in log
    assert whose(shared.probe("me()")[1])["parent"] == fork["parent"]


def test_work_of_a_killed_worker_is_done_by_the_job(probed: Checkout) -> None:
    """After the fork has ended too, so that nothing is done twice at the same time."""
    with workflow(probed) as opened:
        again = "Path('forked').exists() and (me(), sys.exit(5)); Path('forked').touch()"
        client, fork = opened.begin_probe(again)
        kill(fork["parent"])
        code, log = opened.end()
        assert code == 5
        assert f"the warm worker ended before this job did; {IMPORTS_ITSELF}\n" in log
        assert whose(log)["pid"] == client
        assert gone(fork["pid"])
        code, log = opened.probe("me()")
        assert code == 0
        assert f"the warm worker cannot be used ([Errno 111] Connection refused); {IMPORTS_ITSELF}\n" in log
    assert not folder_of(opened.address).exists()


def test_worker_and_work_end_with_a_killed_workflow(probed: Checkout) -> None:
    with workflow(probed) as opened:
        client, fork = opened.begin_probe()
        kill(opened.process.pid)
        until(lambda: gone(client, fork["pid"], fork["parent"]), "a process outlived its workflow")
        until(lambda: not folder_of(opened.address).exists(), "the socket's folder is left")


def test_the_worker_ends_with_its_workflow(probed: Checkout) -> None:
    with workflow(probed) as opened:
        worker = whose(opened.probe("me()")[1])["parent"]
    assert gone(worker)
    assert not folder_of(opened.address).exists()


def test_a_worker_that_no_job_asked_ends_too(probed: Checkout) -> None:
    with workflow(probed) as opened:
        pass
    assert not folder_of(opened.address).exists()
