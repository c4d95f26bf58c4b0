"""make bench-first-gpu: the first hour with a card. Is what the docs claim of a GPU so? At most nine minutes.

Sections run one after another, most important first, each in a process of its own with a time limit. Every line is
written as soon as it is measured, to first_gpu.csv and as a page, first_gpu.md. What is measured already is not
measured again. `--device cpu --shape tiny` runs the same code where there is no GPU. Imports nothing heavy.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import multiprocessing
import os
import signal
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, get_args

from bench.stamp import RESULTS, STAMP, read_rows, stamp, write_rows
from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.files import ROOT, write_text

Verdict = Literal["confirmed", "refuted", "measured", "not measured"]
COLUMNS = (
    "device", "shape", "section", "line", "claim", "expected", "measured", "verdict", "note", "seconds", *STAMP,
)  # fmt: skip
MODULES = ("bench.first_gpu_right", "bench.first_gpu_fast")
WHOLE = "the section"
"""Its line where none of its own could be measured."""
RESTARTS = 3
"""Of a section whose process died of one line."""
SHORTEST = 8.0
"""Seconds: with less left, nothing new is begun."""


@dataclass(frozen=True, slots=True)
class Section:
    """A function of one of the modules that yields cases."""

    name: str
    title: str
    seconds: float
    """Its limit on a GPU"""


SECTIONS = (
    Section("device", "Versions and device", 30),
    Section("varlen", "Attention without padding, in bfloat16", 45),
    Section("methods", "Every method, CPU against the device", 90),
    Section("mixed", "One rank in mixed precision: stop, resume, save", 40),
    Section("steps", "A 7B step: memory, speed, idle time", 110),
    Section("peaks", "Peak memory of scale pocket's models", 45),
    Section("training", "The training benchmark and its peers", 130),
    Section("sampling", "Sampling", 75),
    Section("checkpoint", "Checkpoints", 50),
)


class Process:
    """One section's process: it imports at once, and works when told to."""

    def __init__(self, section: Section, out: Path, device: str, shape: str) -> None:
        # On a GPU each starts as a new interpreter; elsewhere from one that has the libraries loaded.
        context: Any = multiprocessing.get_context("spawn" if device == "cuda" else "forkserver")
        if device != "cuda":
            context.set_forkserver_preload(list(MODULES))
        self.section = section
        self.log = out / f"first_gpu-{section.name}.log"
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, self.log, out, section.name, device, shape))
        self.process.start()
        theirs.close()

    def next(self, seconds: float) -> tuple[Any, ...] | None:
        """The next message; None where none came in time. Raises EOFError where the process has ended."""
        try:
            return self.pipe.recv() if self.pipe.poll(max(seconds, 0)) else None
        except ConnectionResetError as error:
            raise EOFError from error

    def end(self) -> None:
        """Stop it and all that it started."""
        self.process.join(timeout=2)  # one that is through goes by itself
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()


def work(pipe: Connection, log: Path, out: Path, name: str, device: str, shape: str) -> None:
    """The section's side. It sends ("ready", machine) or ("absent",), waits for the lines to skip, then sends ("plan",
    cases), ("start", line) and ("found", line, …) of each, and ("end",); ("broken",) where the device is lost."""
    os.setsid()
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    torch.set_num_threads(1 if shape == "tiny" else 4)
    settle = importlib.import_module("bench.matmul").settle
    functions = {key: value for module in MODULES for key, value in vars(importlib.import_module(module)).items()}
    place = importlib.import_module("bench.first_gpu_cases").Place(torch.device(device), shape == "tiny", out)
    if device == "cuda" and not torch.cuda.is_available():
        pipe.send(("absent",))
        return
    pipe.send(("ready", importlib.import_module("bench.gpu").machine_of(place.device)))
    skipped: set[str] = pipe.recv()
    cases = list(functions[name](place))
    pipe.send(("plan", [(case.line, case.claim, case.expected) for case in cases]))
    for case in cases:
        if case.line in skipped:
            continue
        pipe.send(("start", case.line))
        started = time.perf_counter()
        try:
            found = case.run()
        except Exception as error:  # noqa: BLE001 -- it is this line's result; the next line is another's
            import traceback

            traceback.print_exc()
            text = (str(error).strip() or "no words").splitlines()[0]
            result = ("not measured", "", f"{type(error).__name__}: {text[:300]}")
        else:
            verdict = {True: "confirmed", False: "refuted", None: "measured"}[found.is_so]
            result = (verdict, found.measured, found.note)
        pipe.send(("found", case.line, *result, time.perf_counter() - started))
        try:
            settle(place.device)
        except RuntimeError:  # what follows would fail as well, here
            pipe.send(("broken",))
            return
    pipe.send(("end",))


class Results:
    """The lines of the CSV, and the page that is made of them."""

    def __init__(self, out: Path, device: str, shape: str) -> None:
        self.csv, self.page = out / "first_gpu.csv", out / "first_gpu.md"
        self.device, self.shape, self.stamp = device, shape, stamp("torch", "transformers", "trl")
        self.others = [row for row in read_rows(self.csv) if (row["device"], row["shape"]) != (device, shape)]
        self.rows: dict[tuple[str, str], dict[str, Any]] = {
            (row["section"], row["line"]): row
            for row in read_rows(self.csv)
            if (row["device"], row["shape"]) == (device, shape)
        }

    def done(self, section: str) -> set[str]:
        """Lines that were measured."""
        return {line for (name, line), row in self.rows.items() if name == section and row["verdict"] != "not measured"}

    def is_through(self, section: str) -> bool:
        """Whether it was begun, and every line of it was measured."""
        verdicts = [row["verdict"] for (name, _), row in self.rows.items() if name == section]
        return bool(verdicts) and "not measured" not in verdicts

    def forget(self, section: str) -> None:
        """A section that is to be measured anew."""
        self.rows = {key: row for key, row in self.rows.items() if key[0] != section}

    def put(self, section: str, line: str, **values: Any) -> None:
        """Change one line and write everything."""
        self._set(section, line, **values)
        self.write()

    def _set(self, section: str, line: str, **values: Any) -> None:
        empty = dict.fromkeys(COLUMNS, "") | {"device": self.device, "shape": self.shape}
        known = self.rows.get((section, line), empty | {"section": section, "line": line})
        self.rows[section, line] = {**known, **self.stamp, **values}

    def plan(self, section: str, cases: list[tuple[str, str, str]]) -> None:
        """The lines that a section has; those that are not measured yet say so."""
        self.rows.pop((section, WHOLE), None)
        for line, claim, expected in cases:
            if line not in self.done(section):
                note = self.rows.get((section, line), {}).get("note") or "not reached"
                self._set(section, line, claim=claim, expected=expected, verdict="not measured", note=note)
        self.write()

    def miss(self, section: str, line: str, why: str) -> None:
        """A line that could not be measured, or where it is `WHOLE` no line of its section."""
        print(f"{section}: {line}: not measured: {why}", flush=True)
        values = {"claim": "it runs"} if line == WHOLE else {}
        self.put(section, line, verdict="not measured", note=why, **values)

    def write(self) -> None:
        order = [section.name for section in SECTIONS]
        rows = sorted(self.rows.values(), key=lambda row: order.index(row["section"]))
        self.rows = {(row["section"], row["line"]): row for row in rows}
        write_rows(self.csv, COLUMNS, [*self.others, *rows])
        write_text(self.page, page(rows, self.device, self.shape))


def page(rows: list[dict[str, Any]], device: str, shape: str) -> str:
    """The lines as Markdown: first how many held, then section by section."""
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in get_args(Verdict)}
    lines = ["# The first hour with a card", ""]
    if device != "cuda" or shape != "full":
        lines += [f"Device {device}, shape {shape}: shows that the code runs; its figures say nothing of a GPU.", ""]
    lines += [", ".join(f"{number} {verdict}" for verdict, number in counts.items()) + ". Every line:", ""]
    for section in SECTIONS:
        own = [row for row in rows if row["section"] == section.name]
        if not own:
            continue
        lines += [
            f"## {section.title}",
            "",
            "| line | claim | expected | measured | verdict |",
            "|---|---|---|---|---|",
        ]
        for row in own:
            verdict = f"**{row['verdict']}**" if row["verdict"] == "refuted" else row["verdict"]
            note = f"; {row['note']}" if row["note"] and row["verdict"] != "not measured" else ""
            why = f": {row['note']}" if row["verdict"] == "not measured" else ""
            cells = row["line"], row["claim"], row["expected"], f"{row['measured']}{note}", f"{verdict}{why}"
            lines.append("| " + " | ".join(str(cell).replace("|", "¦").replace("\n", " ") for cell in cells) + " |")
        lines.append("")
    stamps = sorted({"; ".join(str(row[column]) for column in STAMP) for row in rows})
    return "\n".join([*lines, *stamps]) + "\n"


def measure(process: Process, results: Results, seconds: float) -> str:
    """One process of a section, to its end or its limit; returns the line that it died of, if it did."""
    name, running, line, deadline = process.section.name, "", "", time.monotonic() + seconds
    try:
        while (message := process.next(deadline - time.monotonic())) is not None:
            if message[0] == "plan":
                results.plan(name, message[1])
            elif message[0] == "start":
                running = line = message[1]
            elif message[0] == "found":
                _, line, verdict, measured, note, took = message
                results.put(name, line, verdict=verdict, measured=measured, note=note, seconds=took)
                print(f"{name}: {line}: {verdict} {measured or note}", flush=True)
                running = ""
            else:
                return line if message[0] == "broken" else ""
    except EOFError:
        process.process.join(timeout=5)
        results.miss(name, running or WHOLE, f"its process ended: code {process.process.exitcode}, {process.log.name}")
        return running
    results.miss(name, running or WHOLE, f"the section's {seconds:.0f} s were over")
    return ""


def run(names: list[str], results: Results, out: Path, minutes: float) -> None:
    """Every section that is not through, until the minutes are over. Raises UserError where there is no GPU."""
    ends = time.monotonic() + 60 * minutes
    sections = [section for section in SECTIONS if section.name in names and not results.is_through(section.name)]
    ahead: Process | None = None

    def begin(section: Section) -> Process:
        return Process(section, out, results.device, results.shape)

    try:
        for section, following in zip(sections, [*sections[1:], None], strict=False):
            tried = set[str]()
            for _ in range(1 + RESTARTS):
                if ends - time.monotonic() < SHORTEST:
                    results.miss(section.name, WHOLE, f"the {minutes:g} minutes were over; the next call goes on here")
                    break
                process, ahead = ahead or begin(section), None
                try:
                    if (answer := process.next(ends - time.monotonic())) is None:
                        continue
                    if answer[0] == "absent":
                        raise UserError("there is no CUDA device. --device cpu --shape tiny runs the same code without")
                    results.stamp["machine"] = answer[1]
                    if following is not None:
                        ahead = begin(following)  # its imports take some seconds of another core
                    process.pipe.send(results.done(section.name) | tried)
                    limit = section.seconds if results.device == "cuda" else 60 * minutes
                    died_of = measure(process, results, min(limit, ends - time.monotonic()))
                except EOFError:
                    results.miss(section.name, WHOLE, f"its process did not start: {process.log.name}")
                    died_of = ""
                finally:
                    process.end()
                if not died_of:
                    break
                tried.add(died_of)
                if ahead is not None:  # of the section that follows
                    ahead.end()
                    ahead = None
    finally:
        if ahead is not None:
            ahead.end()


def main() -> None:
    """The command."""
    names = [section.name for section in SECTIONS]
    parser = argparse.ArgumentParser(prog="python -m bench.first_gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: does it run? With --shape tiny")
    parser.add_argument("--shape", choices=["full", "tiny"], default="full", help="tiny: models of no size")
    parser.add_argument("--minutes", type=float, default=9, help="of all sections together (default: 9)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="SECTION", help=", ".join(names))
    parser.add_argument("--again", action="store_true", help="measure anew what is measured already")
    parser.add_argument("--out", type=Path, help="folder (default: bench/results; of the CPU one that is no result)")
    arguments = parser.parse_args()
    if arguments.device == "cpu" and arguments.shape != "tiny":
        raise UserError("--shape full takes days on a CPU; give --shape tiny, or --device cuda")
    is_result = arguments.device == "cuda" and arguments.shape == "full"
    out = (arguments.out or (RESULTS if is_result else Path(tempfile.gettempdir()) / "prefrepro-first-gpu")).resolve()
    out.mkdir(parents=True, exist_ok=True)
    results = Results(out, arguments.device, arguments.shape)
    for name in arguments.only if arguments.again else ():
        results.forget(name)
    os.chdir(ROOT)
    run(arguments.only, results, out, arguments.minutes)
    print(f"{results.page} is written")


if __name__ == "__main__":
    exit_on_user_error(main)
