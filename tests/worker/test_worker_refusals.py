"""Where a fork would not be what the job's own process is, the job does its work itself, and says why."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
from checkout import Checkout
from worker_helpers import Workflow, gone, needs_pidfd, workflow

pytestmark = needs_pidfd
REFUSED = "the warm worker refused: "


def is_own(opened: Workflow, log: str) -> bool:
    """Was the last job done by a process that the workflow started?"""
    return json.loads(log.splitlines()[-1])["parent"] == opened.process.pid


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"HF_HOME": "/elsewhere"}, "this job has another HF_HOME in its environment"),
        ({"OMP_NUM_THREADS": "many"}, "OMP_NUM_THREADS does not say how many threads this job has"),
        ({"PYTHONPATH": "/elsewhere"}, "this job runs another Python, or imports from other folders"),
    ],
)
def test_another_environment(shared: Workflow, environment: dict[str, str], why: str) -> None:
    code, log = shared.probe("me()", **environment)
    assert code == 0
    assert log.startswith(f"{REFUSED}{why}; this job imports its libraries itself\n")
    assert is_own(shared, log)


def test_another_workflows_job(shared: Workflow, probed: Checkout) -> None:
    """Though it knows the address, as the job of a workflow within a job would."""
    with workflow(probed, PREFREPRO_WORKER="off") as other:
        assert other.address == "off"
        code, log = other.probe("me()", PREFREPRO_WORKER=str(shared.address))
        assert code == 0
        assert log.startswith(f"{REFUSED}it works for process {shared.process.pid}, and process {other.process.pid} ")
        assert is_own(other, log)


def test_changed_files(probed: Checkout) -> None:
    with workflow(probed) as opened:
        opened.probe("me()")
        changed = probed.root / "prefrepro/jobs/worker/wire.py"
        os.utime(changed, (0, 0))
        code, log = opened.probe("me()")
        assert code == 0
        assert log.startswith(f"{REFUSED}{changed} was changed since it was imported; ")
        assert is_own(opened, log)


def test_code_of_ours_is_read_anew(probed: Checkout) -> None:
    with workflow(probed) as opened:
        says = "import prefrepro.files; print(prefrepro.files.__doc__[:9]); me()"
        assert opened.probe(says)[1].startswith("Files tha")
        probed.edit("prefrepro/files.py", "Files that", "Pages that")
        log = opened.probe(says)[1]
        assert log.startswith("Pages tha")
        assert not is_own(opened, log)


def test_a_library_that_starts_threads(probed: Checkout) -> None:
    (probed.root / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )
    probed.edit("prefrepro/jobs/worker/libraries.py", '("threadpoolctl",)', '("threadpoolctl", "threaded")')
    with workflow(probed) as opened:
        code, log = opened.probe("me()")
        assert code == 0
        assert log.startswith(f"{REFUSED}a library has started threads (")
        assert is_own(opened, log)


def test_a_library_that_fails_is_the_jobs_affair(probed: Checkout) -> None:
    """One that cannot be imported is left out; one that ends the worker sends the jobs back to themselves."""
    (probed.root / "broken.py").write_text("import no_such_library\n")
    (probed.root / "deadly.py").write_text("import os\nos._exit(1)\n")
    probed.edit("prefrepro/jobs/worker/libraries.py", '("threadpoolctl",)', '("broken", "threadpoolctl")')
    with workflow(probed) as opened:
        assert not is_own(opened, opened.probe("me()")[1])
    probed.edit("prefrepro/jobs/worker/libraries.py", '("broken", "threadpoolctl")', '("deadly",)')
    with workflow(probed) as opened:
        code, log = opened.probe("me()")
        assert code == 0
        assert log.startswith("the warm worker ended before this job did; ")
        assert is_own(opened, log)


def test_nonsense_at_the_socket_hurts_nobody(shared: Workflow) -> None:
    worker = json.loads(shared.probe("me()")[1])["parent"]
    for words in (b"", b"\0", b"\0\0\0\2{}", b"\0\0\0\1{" * 9):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(shared.address))
            connection.sendall(words)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):  # what was not read
                assert connection.recv(100) == b""
    assert json.loads(shared.probe("me()")[1])["parent"] == worker


def test_nobody_else_may_enter_the_folder(shared: Workflow) -> None:
    assert Path(str(shared.address)).parent.stat().st_mode & 0o077 == 0


def test_a_socket_of_too_long_a_name(probed: Checkout) -> None:
    folder = probed.root / ("long" * 30)
    folder.mkdir()
    with workflow(probed, TMPDIR=str(folder)) as opened:
        assert opened.address is None
        assert is_own(opened, opened.probe("me()")[1])
    assert not list(folder.iterdir())


def test_a_worker_does_not_start_for_a_dead_parent(probed: Checkout) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(probed.root / "socket"))
        done = subprocess.run(
            probed.command("-m", "prefrepro.jobs.worker", str(listener.fileno()), str(os.getppid())),
            cwd=probed.root,
            env=probed.environment,
            pass_fds=[listener.fileno()],
            timeout=60,
            check=False,
        )
    assert done.returncode == 0
    assert gone(dead.pid)
