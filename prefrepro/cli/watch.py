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

from prefrepro.cli.parser import plan_and_targets, results_folder, write_json
from prefrepro.errors import UserError
from prefrepro.inspect.watch.follow import Follower
from prefrepro.inspect.watch.state import GRACE_S
from prefrepro.inspect.watch.view import lines, picture
from prefrepro.plan.store import FILE, read_plan

PAUSE_S = 0.5
SHOWN = 20
"""Last lines of a command that failed"""


def run(arguments: argparse.Namespace) -> None:
    """Show the jobs until all are done, or the command ends. Raises UserError for unknown targets."""
    if not arguments.run:
        arguments.words += _settings_of_last(arguments)
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


def _settings_of_last(arguments: argparse.Namespace) -> list[str]:
    """KEY=VALUE of the command whose plan stands in the results folder, where this command line has none."""
    given = [word for word in arguments.words if "=" in word and not word.startswith("scale=")]
    path = results_folder([word for word in arguments.words if "=" in word], arguments.scale) / FILE
    settings: list[str] = []
    with contextlib.suppress(UserError):  # none there, or of another version
        settings = [] if given else read_plan(path)["arguments"]
    if settings:
        sys.stderr.write(f"as {path} has it: {' '.join(settings)}\n")
    return settings


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
    stops: list[int] = []
    handlers = {signal.SIGINT: lambda *_: stops.append(1), signal.SIGTERM: lambda *_: child.terminate()}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        with _screen(console, follower, title) as show:
            while child.poll() is None:
                show()
                time.sleep(PAUSE_S)
            show(is_last=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stops:
        console.print("Interrupted; what is done is kept. Next: the same command goes on.")
    elif child.returncode:
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
