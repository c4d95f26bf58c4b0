"""make fuzz, second half: atheris looks for bytes that a parser of tests/fuzz/parsers.py fails on, led by coverage.

    python tests/fuzz/guided.py [PARSER ...] [--runs N] [--seconds S]

One process for each parser, since a found fault ends it. An input that failed is written to tests/fuzz/kept/PARSER;
test_parsers.py reads all of them from then on.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
LONGEST = 20_000
"""Bytes of an input: more digits than Python reads as one number."""
WORDS = ['"', "'", "{", "}", "[", "]", ": ", "- ", "\\n", "null", "NaN", "1e999", "\\ud800", "!!", "&a", "*a", "<<: "]


def _planted(content: bytes) -> None:
    if content[:1] == b"a":
        assert content[1:2] != b"!", "a fault that is meant to be found"


def fuzz(name: str, runs: int, seconds: int, found: Path) -> None:
    """Never returns: atheris ends the process, with another code than 0 where something failed."""
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["prefrepro"]):
        from parsers import PARSERS

        parser = PARSERS.get(name)
    planted = atheris.instrument_func(_planted)
    work = Path(tempfile.mkdtemp(prefix="prefrepro-fuzz-"))
    corpus = work / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(parser.seeds if parser else [b"ab"]):
        (corpus / str(number)).write_bytes(seed)
    words = work / "words"
    escaped = ["".join(rf"\x{byte:02x}" for byte in word.encode()) for word in WORDS]
    words.write_text("".join(f'"{word}"\n' for word in escaped))

    def one(content: bytes) -> None:
        if parser is not None:
            parser(work, content)
        else:
            planted(content)

    options = {
        "runs": runs,
        "max_total_time": seconds,
        "max_len": LONGEST,
        "timeout": 60,
        "rss_limit_mb": 4096,
        "seed": 0 if parser else 1,  # 0: another each time
        "dict": words,
        "artifact_prefix": f"{found}/",
        "print_final_stats": 1,
        "verbosity": 0,
    }
    atheris.Setup([sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), str(corpus)], one)
    atheris.Fuzz()


def main() -> None:
    """Every parser in turn; exit code 1 where one failed."""
    words = argparse.ArgumentParser(prog="python tests/fuzz/guided.py", description="Fuzz the parsers with atheris.")
    words.add_argument("parsers", nargs="*", help="of tests/fuzz/parsers.py; default: all")
    words.add_argument("--runs", type=int, default=5000, help="inputs tried on each parser (default 5000)")
    words.add_argument("--seconds", type=int, default=60, help="the most that one parser is given (default 60)")
    words.add_argument("--one", metavar="PARSER", help=argparse.SUPPRESS)
    words.add_argument("--found", type=Path, help=argparse.SUPPRESS)
    arguments = words.parse_args()
    if find_spec("atheris") is None:
        sys.exit("error: atheris is not installed. Next: make fuzz, which does it.")
    sys.path[:0] = [str(TESTS / "fuzz"), str(TESTS), str(TESTS / "judge"), str(TESTS.parent)]
    if arguments.one:
        fuzz(arguments.one, arguments.runs, arguments.seconds, arguments.found)
    from parsers import KEPT, PARSERS

    if unknown := set(arguments.parsers) - set(PARSERS):
        sys.exit(f"error: no parser {', '.join(sorted(unknown))}. Known: {', '.join(PARSERS)}.")
    failed, total, start = [], 0, time.monotonic()
    for name in arguments.parsers or PARSERS:
        found = KEPT / name
        found.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, __file__, "--one", name, "--runs", str(arguments.runs)]
        command += ["--seconds", str(arguments.seconds), "--found", str(found)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        tried = int(next(iter(re.findall(r"^stat::number_of_executed_units: +(\d+)", done.stderr, re.MULTILINE)), 0))
        total += tried
        print(f"{name}: {tried} inputs, {'FAILED' if done.returncode else 'no fault'}", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stdout + done.stderr, flush=True)
        elif not any(found.iterdir()):
            found.rmdir()
    print(f"{total} inputs in {time.monotonic() - start:.0f} s; failed: {', '.join(failed) or 'none'}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
