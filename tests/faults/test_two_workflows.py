"""Two Snakemakes on one results folder: the second says so and leaves."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable

from checkout import Checkout

Tell = Callable[..., None]


def test_the_second_says_so_and_leaves(checkout: Checkout, tell: Tell) -> None:
    """The first is stopped while it holds the folder, and goes on when the second has left."""
    data = next(node for node in checkout.nodes() if node["kind"] == "data")
    command = ["-m", "snakemake", f"results/embedded/{data['done']}", "--cores", "1"]
    first = subprocess.Popen(
        checkout.command(*command), cwd=checkout.root, env=checkout.environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not any((checkout.root / ".snakemake" / "locks").glob("*.lock")):
            assert first.poll() is None, "the first ended before it was met"
            time.sleep(0.002)
        first.send_signal(signal.SIGSTOP)
        second = checkout.python(*command)
        assert second.returncode != 0
        said = second.stdout + second.stderr
        assert "Directory cannot be locked" in said and "no other Snakemake process" in said and "--unlock" in said
        assert not (checkout.results / data["done"]).exists()
    finally:
        first.send_signal(signal.SIGCONT)
    assert first.wait(600) == 0
    assert (checkout.results / data["done"]).is_file()
    tell("a second Snakemake on the same results", 1, refused=1)
