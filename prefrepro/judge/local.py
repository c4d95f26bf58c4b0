"""Starts the local judge as a process of its own and stops it again."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from prefrepro.errors import UserError
from prefrepro.judge.endpoint import Endpoint

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 5.0
STDERR_TAIL = 2000


@contextlib.contextmanager
def local_judge(scorer: str, program: Sequence[str] = ("-m", "prefrepro.judge.server")) -> Iterator[Endpoint]:
    """Yield the endpoint of a server that scores with `scorer`; it is stopped in any case.

    `program` is what Python runs, with the server's options. Raises UserError with the end of its stderr where the
    server is not ready within a minute.
    """
    with tempfile.TemporaryDirectory(prefix="prefrepro-judge-") as folder:
        port_file, stderr = Path(folder) / "judge.json", Path(folder) / "stderr"
        command = [sys.executable, *program, "--scorer", scorer]
        command += ["--port-file", str(port_file), "--parent", str(os.getpid())]
        with stderr.open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield _wait(process, port_file, stderr, scorer)
        finally:
            _stop(process)


def _wait(process: subprocess.Popen[bytes], port_file: Path, stderr: Path, scorer: str) -> Endpoint:
    deadline = time.monotonic() + READY_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        if port_file.exists():
            ready = json.loads(port_file.read_text(encoding="utf-8"))
            return Endpoint(ready["base_url"], ready["token"])
        time.sleep(0.01)
    found = "did not get ready in time" if process.poll() is None else f"ended with code {process.returncode}"
    tail = stderr.read_text(encoding="utf-8", errors="replace")[-STDERR_TAIL:].strip()
    raise UserError(
        f'the local judge with scorer "{scorer}" {found} (waited for up to {READY_WITHIN_S:.0f} s). '
        f"Its last words:\n{tail or '(none)'}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
