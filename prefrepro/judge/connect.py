"""A client for a judge's config; a local judge is a process of its own, started when the first reply is missing."""

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
from prefrepro.judge.client import JudgeClient
from prefrepro.judge.endpoint import Endpoint, api_endpoint
from prefrepro.specs.judge import JudgeConfig

READY_WITHIN_S = 600.0
"""A loaded machine may need minutes to import torch and load a reward model."""
TOLD_EVERY_S = 30.0
STOP_WITHIN_S = 5.0
STDERR_TAIL = 2000


@contextlib.contextmanager
def judge_client(
    config: JudgeConfig, cache: Path, *, identity: str = "", scorer: str | None = None
) -> Iterator[JudgeClient]:
    """Yield a client; its server, if it has one, ends with it.

    An API judge is named by its base URL in the cache, a local one (its port changes) by `identity`, a released reward
    model by its commit or weights. `scorer` replaces that of a local judge's config: a reward model's wants its folder.
    Raises UserError.
    """
    scorer = scorer or config.scorer
    if scorer == "reward-model":
        raise UserError(
            f'judge "{config.name}": scorer reward-model wants the folder of a trained reward model, which a table '
            "trains. Next: a judge file with scorer: classifier and weights: results/<scale>/runs/<id>/model."
        )
    if scorer == "classifier":
        from prefrepro.judge.classifier import located  # torch takes seconds to import

        folder, content = located(str(config.weights), config.revision)
        scorer, identity = f"classifier:{folder}", f"local:classifier:{content}"
    is_api = config.kind == "api"
    with contextlib.ExitStack() as stack:

        def connect() -> Endpoint:
            return api_endpoint(config) if is_api else stack.enter_context(local_judge(str(scorer)))

        identity = (config.base_url or "").rstrip("/") if is_api else identity or f"local:{scorer}"
        yield stack.enter_context(JudgeClient(config, cache, identity, connect))


@contextlib.contextmanager
def forgetful_client(config: JudgeConfig) -> Iterator[JudgeClient]:
    """A client for a look at a judge: no reply is kept."""
    with (
        tempfile.TemporaryDirectory(prefix="prefrepro-judge-") as folder,
        judge_client(config, Path(folder) / "replies.sqlite") as client,
    ):
        yield client


@contextlib.contextmanager
def local_judge(scorer: str, program: Sequence[str] = ("-m", "prefrepro.judge.server")) -> Iterator[Endpoint]:
    """Yield the endpoint of a server that scores with `scorer`; it is stopped in any case.

    `program` is what Python runs, with the server's options. Raises UserError with the end of its stderr where the
    server is not ready within ten minutes.
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
    started = told = time.monotonic()
    deadline = started + READY_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        if port_file.exists():
            ready = json.loads(port_file.read_text(encoding="utf-8"))
            return Endpoint(ready["base_url"], ready["token"])
        if (now := time.monotonic()) - told > TOLD_EVERY_S:
            told = now
            sys.stderr.write(f"waiting for the local judge, which still starts: {now - started:.0f} s\n")
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
