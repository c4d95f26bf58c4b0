"""prefrepro watch: show the jobs as they run: progress, loss, time left."""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live

from prefrepro.cli.parser import plan_and_targets, write_json
from prefrepro.errors import UserError
from prefrepro.inspect.watch.follow import Follower
from prefrepro.inspect.watch.state import GRACE_S
from prefrepro.inspect.watch.view import lines, picture

PAUSE_S = 0.5
SHOWN = 20
"""Last lines of a command that failed"""


def run(arguments: argparse.Namespace) -> None:
    """Show the jobs until all are done, or the command ends. Raises UserError for unknown targets."""
    plan, targets = plan_and_targets(arguments)
    follower = Follower(plan, plan.needed_by(targets), time.time(), arguments.jobs)
    if arguments.json:
        write_json(follower.glance(time.time()).as_json())
        return
    console = Console(highlight=False)
    title = " ".join(word for word in arguments.words if "=" not in word) or "tables"
    if arguments.once:
        console.print(picture(follower.glance(time.time()), title))
    elif arguments.run:
        sys.exit(_around(console, follower, title, arguments.run))
    else:
        with _screen(console, follower, title) as show:  # until every job is done, or Ctrl-C
            while not show():
                time.sleep(PAUSE_S)


def _around(console: Console, follower: Follower, title: str, command: list[str]) -> int:
    """Until the command ends; its exit code. What it says goes to a file, whose end is shown where it fails."""
    said = follower.plan.results / "logs" / "watch.log"
    said.parent.mkdir(parents=True, exist_ok=True)
    with said.open("wb") as file:
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        except FileNotFoundError:
            message = f'"{command[0]}" is no command here. Next: source .venv/bin/activate'
            raise UserError(message) from None
    # Ctrl-C reaches the command too, and it is for it to end; what is sent to us alone is handed on.
    before = [signal.signal(signal.SIGINT, signal.SIG_IGN), signal.signal(signal.SIGTERM, lambda *_: child.terminate())]
    try:
        with _screen(console, follower, title) as show:
            while child.poll() is None:
                show()
                time.sleep(PAUSE_S)
            show(is_last=True)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    if child.returncode:
        last = said.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN:]
        console.print("\n".join([*last, f"(all that it said: {said})"]), markup=False, soft_wrap=True)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


@contextlib.contextmanager
def _screen(console: Console, follower: Follower, title: str) -> Iterator[Callable[..., bool]]:
    """Yield what looks and shows, a picture on a terminal, lines elsewhere, and says whether everything is done.

    At the last look, what is not done and does not run has failed.
    """
    with Live(console=console, auto_refresh=False) if console.is_terminal else contextlib.nullcontext() as live:

        def show(is_last: bool = False) -> bool:
            glance = follower.glance(time.time(), 0.0 if is_last else GRACE_S)
            if live:
                live.update(picture(glance, title), refresh=True)
            else:
                for line in lines(glance):
                    console.print(line, markup=False, soft_wrap=True)
            return glance.is_over

        yield show
