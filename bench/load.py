"""make bench-load: speed and memory of what must hold many rows: data, cache, verdicts, cells, table.

Each scenario is a process of its own, so that its peak memory is its own; `base_mib` is what imports alone take.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.stamp import RESULTS, STAMP, stamp, write_rows

COLUMNS = (
    "scenario",
    "rows",
    "unit",
    "seconds",
    "cpu_s",
    "per_s",
    "base_mib",
    "peak_mib",
    "lost",
    "load_average",
    *STAMP,
)
PROCESSES = 8
GOOD, BAD = "good " * 40, "bad " * 40
Found = dict[str, Any]


def preference_rows(folder: Path, n: int) -> Found:
    """Build a data node of n comparisons of 500,000 and more prompts: read, check, split, write, hash."""
    from prefrepro.data.build import build

    file = folder / "train.jsonl"
    with file.open("w", encoding="utf-8") as out:
        for number in range(n):
            prompt = f"Question {number % (n // 2 + 1)}: what should be said about this, and why is it so?"
            row = {
                "prompt": prompt,
                "chosen": f"Answer {number}. " + "good " * 40,
                "rejected": f"No {number}. " + "bad " * 40,
            }
            out.write(json.dumps(row) + "\n")
    source = {
        "kind": "rows", "form": "pairs", "files": [str(file)], "on_bad_row": "stop", "splits": {"train": None},
        "parts": {"train": 0.9, "eval": 0.1}, "pretrain": False, "n_prompts": 256, "prompt_batch": 32, "order_seed": 1,
    }  # fmt: skip
    return timed(n, "rows", lambda: build({"source": source}, {}, folder / "data"))


def training_rows(folder: Path, n: int) -> Found:
    """Read and encode the rows of a built data node as a trainer does, and go through them once in its order."""
    from methods.contract import Needs
    from prefrepro.model.batches import Inputs, sequences_of, step_rows, steps_per_epoch
    from prefrepro.model.examples import Limits, RowFile, encode_pairs
    from prefrepro.model.pretrain import build_tokenizer

    question = "What should be said about this, and why?"
    tokenizer = build_tokenizer([f"{question} {GOOD} {BAD} {number}" for number in range(99)], 400, 512)
    file, prompt = folder / "train.jsonl", [{"role": "user", "content": question}]
    with file.open("w", encoding="utf-8") as out:
        for number in range(n):
            row = {"prompt_id": hashlib.sha256(b"%d" % number).hexdigest(), "prompt": prompt}
            out.write(json.dumps(row | {"chosen": f"{number} {GOOD}", "rejected": f"{number} {BAD}"}) + "\n")

    def work() -> None:
        inputs, needs = Inputs(encode_pairs(RowFile(file), tokenizer, Limits(512, 256, "keep_end"))), Needs("paired")
        order = step_rows(inputs.prompt_ids, needs, 64, 1)
        for step in range(steps_per_epoch(inputs.prompt_ids, needs, 64)):
            sequences_of(order(step), inputs, needs)

    return timed(n, "rows", work)


def verdict_frame(n: int, set_id: str = "set") -> Any:
    """n verdicts of one set, all different."""
    import pandas as pd

    ids = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(n)]
    wins = [number % 3 != 0 for number in range(n)]
    return pd.DataFrame(
        {
            "verdict_set_id": set_id, "prompt_id": ids, "draw": 0, "order": "candidate_first",
            "verdict": ["win" if one else "loss" for one in wins], "score": [float(one) for one in wins], "weight": 1.0,
            "judge_asked": "judge", "judge_served": "judge", "protocol": "paper", "prompt_sha256": "a" * 64,
            "request_sha256": ids, "raw_reply": [f"Response {1 + one} {number}" for number, one in enumerate(wins)],
            "prompt_tokens": 300, "completion_tokens": 3, "cost_usd": 0.001, "created": "2026-11-21T04:00:00Z",
        }
    )  # fmt: skip


def verdicts(folder: Path, n: int) -> Found:
    """Write a set of n verdicts, read it back, make its number and compare it with a baseline's."""
    from prefrepro.csv_schema.schema import read_csv, write_csv
    from prefrepro.stats.metrics import VerdictSet, compare, summarise

    frame = verdict_frame(n)

    def work() -> None:
        write_csv(frame, folder / "verdicts.csv", "verdicts")
        own = VerdictSet(read_csv(folder / "verdicts.csv", "verdicts"), {})
        difference = compare("win_rate_pct", [own], [VerdictSet(frame.assign(verdict="loss"), {})], "paper")
        assert summarise("win_rate_pct", [own], "paper").n == n
        assert difference is not None and difference.n == n

    return timed(n, "verdicts", work)


def cells(folder: Path, n: int) -> Found:
    """n cells of one table from ten verdict sets of 256: rows, intervals, paired tests, Holm, all formats."""
    from prefrepro.csv_schema.schema import read_csv, write_csv
    from prefrepro.stats.metrics import VerdictSet
    from prefrepro.tables.cells import build_cells
    from prefrepro.tables.render import table_meta, write_table

    sets = {str(number): VerdictSet(verdict_frame(256, str(number)), {}) for number in range(10)}
    columns = 100
    planned = [
        {
            "paper": "load", "table": "table1", "row": f"row{place // columns}", "column": f"column{place % columns}",
            "row_label": f"Row {place // columns}", "column_label": f"Column {place % columns}",
            "metric": "win_rate_pct", "evaluation": "pairwise", "reported": 50.0, "where": "nowhere",
            "baseline": "row0", "protocol": "paper", "judge": "judge", "judge_is_substitute": False, "comparable": True,
            "verdict_ids": [str(place % 10)], "sample_ids": ["s"], "run_ids": ["r"], "is_cited": False,
            "scale": "load", "reading": "paper", "commit": "0" * 7,
        }
        for place in range(n)
    ]  # fmt: skip

    def work() -> None:
        frame = build_cells(planned, sets.__getitem__)
        write_csv(frame, folder / "cells.csv", "cells")
        write_table(read_csv(folder / "cells.csv", "cells"), table_meta(planned, "Load"), folder)

    return timed(n, "cells", work)


def collected(folder: Path, n: int) -> Found:
    """The four CSVs of a results folder that holds n verdicts in sets of 1,000."""
    from prefrepro.csv_schema.schema import read_csv, write_csv
    from prefrepro.tables.collect import collect

    for number in range(n // 1000):
        write_csv(
            verdict_frame(1000, f"set{number}"), folder / "verdicts" / f"set{number}" / "verdicts.csv", "verdicts"
        )
    found = timed(n, "verdicts", lambda: collect(folder))
    return found | {"lost": n - len(read_csv(folder / "verdicts.csv", "verdicts"))}


def _put(path: Path, first: int, n: int, durable: bool, ready: Any) -> None:
    from prefrepro.judge.cache import ReplyCache, Row

    cache = ReplyCache(path, durable=durable)
    body = json.dumps({"choices": [{"message": {"role": "assistant", "content": "Response 1"}}]})
    ready.wait()
    for number in range(first, first + n):
        key = hashlib.sha256(b"%d" % number).hexdigest()
        cache.put(key, "load", 0, {"messages": [{"content": f"question {number}"}]}, Row(body, 0.001, 1, "now"))
    cache.close()


def _cache(folder: Path, n: int, durable: bool) -> Found:
    from prefrepro.judge.cache import ReplyCache

    path, each = folder / "cache.sqlite", n // PROCESSES
    start = multiprocessing.get_context("spawn")
    ReplyCache(path, durable=durable).close()
    ready = start.Barrier(PROCESSES + 1)
    writers = [start.Process(target=_put, args=(path, each * k, each, durable, ready)) for k in range(PROCESSES)]
    for writer in writers:
        writer.start()
    ready.wait()

    def work() -> None:
        for writer in writers:
            writer.join()

    found = timed(each * PROCESSES, "replies", work)
    cache = ReplyCache(path)
    kept = sum(cache.get(hashlib.sha256(b"%d" % k).hexdigest()) is not None for k in range(each * PROCESSES))
    cache.close()
    return found | {"lost": each * PROCESSES - kept}


def cache(folder: Path, n: int) -> Found:
    """n replies of a free judge stored by 8 processes in one file, once all have opened it."""
    return _cache(folder, n, durable=False)


def cache_paid(folder: Path, n: int) -> Found:
    """The same of a paid judge: each reply is on the disk when `put` returns."""
    return _cache(folder, n, durable=True)


def judging(folder: Path, n: int) -> Found:
    """n pairwise questions through cache, threads and HTTP to the local judge's server, to verdicts."""
    from prefrepro.judge.client import JudgeClient
    from prefrepro.judge.connect import local_judge
    from prefrepro.judge.pairwise import judge_items
    from prefrepro.specs.judge import JudgeConfig

    items = [
        {
            "prompt_id": str(k),
            "history": f"\n<|user|>\nWhat is {k}?",
            "response": f"It is {k}.",
            "baseline": f"{k} it is, yes.",
        }
        for k in range(n + 32)
    ]
    config = JudgeConfig("load", "local", "judge", scorer="length", concurrency=8)
    how: Any = {"protocol": "paper", "template": "dialogue", "progress": False}
    with (
        local_judge("length") as endpoint,
        JudgeClient(config, folder / "c.sqlite", "load", lambda: endpoint) as client,
    ):
        judge_items(items[:32], client, **how)
        found = timed(n, "requests", lambda: judge_items(items[32:], client, **how))
        return found | {"lost": n + 32 - client.asked}


SCENARIOS: dict[str, tuple[Callable[[Path, int], Found], int]] = {
    "preference_rows": (preference_rows, 1_000_000),
    "training_rows": (training_rows, 1_000_000),
    "verdicts": (verdicts, 100_000),
    "collected": (collected, 100_000),
    "cells": (cells, 10_000),
    "cache": (cache, 40_000),
    "cache_paid": (cache_paid, 40_000),
    "judging": (judging, 3_000),
}
"""Name -> what is done, and with how many rows."""


def timed(rows: int, unit: str, work: Callable[[], object]) -> Found:
    """Seconds, processor time, speed, and the most memory that this process has held before and in all."""
    before, cpu, started = _peak_mib(), _cpu_s(), time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    return {
        "rows": rows, "unit": unit, "seconds": seconds, "cpu_s": _cpu_s() - cpu, "per_s": rows / seconds,
        "base_mib": before, "peak_mib": _peak_mib(), "lost": 0,
    }  # fmt: skip


def _cpu_s() -> float:
    """Processor time of this process and of children that have ended: what a busy machine changes least."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run every scenario, or the ones named, and write the CSV."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("scenarios", nargs="*", help="default: all")
    parser.add_argument("--share", type=float, default=1.0, help="of the rows: a trial")
    parser.add_argument("--out", type=Path, default=RESULTS / "load.csv")
    parser.add_argument("--one", choices=SCENARIOS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        scenario, rows = SCENARIOS[arguments.one]
        with tempfile.TemporaryDirectory(prefix="prefrepro-load-") as folder:
            json.dump(scenario(Path(folder), int(rows * arguments.share)), sys.stdout)
        return
    stamped, found = stamp("pandas", "openai"), []
    for name in arguments.scenarios or SCENARIOS:
        load = f"{os.getloadavg()[0]:.1f}"
        command = [sys.executable, "-m", "bench.load", "--one", name, "--share", str(arguments.share)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found.append({"scenario": name, **json.loads(done.stdout), "load_average": load, **stamped})
        row = found[-1]
        speed = f"{row['seconds']:.1f} s ({row['cpu_s']:.1f} CPU), {row['per_s']:.0f}/s"
        memory = f"{row['base_mib']:.0f} -> {row['peak_mib']:.0f} MiB"
        print(f"{name}: {row['rows']} {row['unit']} in {speed}, {memory}, lost {row['lost']}", flush=True)
    write_rows(arguments.out, COLUMNS, found)
    print(f"{arguments.out} is written")


if __name__ == "__main__":
    main()
