"""A results folder of the papers' scale, small: nodes, specs and ids of the real plan, texts and verdicts made here.

Tables and CSVs are built by the code that builds them in a run. Whatever a model or a judge may write is hostile.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from prefrepro.csv_schema.schema import write_csv
from prefrepro.files import write_json, write_text
from prefrepro.inspect.report.folder import Folder, read_folder
from prefrepro.inspect.report.page import document
from prefrepro.jobs.record import now, record_job
from prefrepro.plan.build import make_plan
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan
from prefrepro.tables import build
from prefrepro.tables.escape import markdown_text

TARGETS = ["table1", "swepo_mtbench", "table5"]
PROMPTS = 24
HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<!-- <script> \u2028 \u2029 ]]> & &lt;b&gt;",
)
BENCHMARK_S = 30
FIRST_END = 1_000_000_000


@pytest.fixture(scope="session")
def plan() -> Plan:
    return make_plan({"scale": "paper", "seeds": 2})


@pytest.fixture(scope="session")
def finished(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tables and all that is behind them. Read only: copy it to change it."""
    folder = tmp_path_factory.mktemp("report") / "results" / "paper"
    needed = plan.needed_by(TARGETS)
    for rank, node in enumerate(node for node in needed if node.kind != "table"):
        _make(node, folder)
        _benchmark(folder, node, rank)
    for node in needed:
        if node.kind == "table":
            build.run(_judged_as_printed(node.spec), {}, folder / node.folder)
    with contextlib.chdir(folder.parents[1]):
        for node in needed:
            record_job(plan, node, now(), 1.5)
    write_text(folder / "audit.md", f"# Audit\n\n- {markdown_text(HOSTILE[1])}\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    return folder


@pytest.fixture(scope="session")
def folder(finished: Path) -> Folder:
    return read_folder(finished, {})


@pytest.fixture(scope="session")
def content(folder: Folder) -> dict[str, Any]:
    return document(folder)


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(finished, tmp_path / "results" / "paper"))


def prompt_id(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def _judged_as_printed(spec: dict[str, Any]) -> dict[str, Any]:
    """Table 1 as if the paper's judge had judged it, so that its cells are consistent or differ."""
    is_first = spec["paper"] == "rpo" and spec["table"] == "table1"
    return spec | {"cells": [cell | {"judge_is_substitute": False} for cell in spec["cells"]]} if is_first else spec


def _make(node: Node, folder: Path) -> None:
    """What a node's stage would have left, as far as a report reads it."""
    out = folder / node.folder
    manifest: dict[str, Any] = {"spec": node.spec, "wall_s": 1.5}
    if node.kind in ("run", "sft", "reward_model"):
        manifest["row"] = _run_row(node)
        lines = [
            f"{step},{3 / step},{step / 100},0.5,{'' if node.kind == 'run' else 0.1}" for step in range(10, 60, 10)
        ]
        head = "step,loss,rewards/margins,rewards/accuracies,objective/kl"
        write_text(out / "metrics.csv", "\n".join([head, *lines]) + "\n")
    elif node.kind == "sample":
        rows = [_sample(number, node.id) for number in range(PROMPTS)]
        write_text(out / "samples.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    elif node.kind == "verdict":
        frame = _verdicts(node)
        write_csv(frame, out / "verdicts.csv", "verdicts")
        words = {str(word): int(n) for word, n in frame["verdict"].value_counts().items()}
        manifest |= {
            "judge_asked": "gpt-4-0613",
            "cost_usd": 0.25,
            "verdicts": words,
            "metrics": {},
            "note": HOSTILE[0],
            "groups": [[prompt_id(number), f"topic {number // 6} {HOSTILE[0]}"] for number in range(PROMPTS)],
        }
        if node.spec["evaluation"] == "pairwise":
            words = (["win"] * 4, ["win", "loss", "win", "win"], ["loss"] * 4)
            scores = [[float(word == "win") for word in own] for own in words]
            manifest["repeats"] = [
                {"verdict": own, "score": score, "weight": [1.0] * 4} for own, score in zip(words, scores, strict=True)
            ]
    elif node.kind == "data":
        manifest["sha256"] = {"train": "d" * 64}
    write_json(folder / node.done, manifest)


def _run_row(node: Node) -> dict[str, Any]:
    keys = ("scale", "reading", "dataset", "model", "method", "seed", "code_digest")
    return {key: node.spec.get(key) for key in keys} | {
        "run_id": node.id, "hparams": json.dumps(node.spec["hparams"]), "steps": 50, "pairs": 100, "tokens": 9000,
        "wall_s": 3.0, "gpu_h": 0.5, "peak_mem_gb": None, "final_loss": 0.1, "reward_accuracy": None,
        "commit": "0123abc", "dirty": False, "data_hash": "d" * 64, "versions": "{}",
    }  # fmt: skip


def _sample(number: int, node_id: str) -> dict[str, Any]:
    """Answers grow with the prompt's number; a set's own word is in each, and every third text is hostile."""
    text = HOSTILE[number // 3 % len(HOSTILE)] if number % 3 == 0 else "word " * (number + 1)
    row = {
        "prompt_id": prompt_id(number),
        "prompt": [{"role": "user", "content": f"Question {number}? {text}"}],
        "response": f"{text} of {node_id}",
        "draw": 0,
    }
    if "mt-bench" in node_id:
        return row | {
            "turns": [f"Question {number}?", "And then?"],
            "responses": ["first turn's answer", row["response"]],
        }
    return row | {"baseline": f"Baseline {number} {text}"}


def _verdicts(node: Node) -> pd.DataFrame:
    """Long answers win; how often differs by method, so that some are consistent with the print and some differ."""
    is_rated = node.spec["evaluation"] == "mt_bench"
    lost = {"dpo": 6, "rpo-paired": 20}.get(node.id.partition("_")[0], 9)
    rows = []
    for number in range(PROMPTS):
        word = "invalid" if number == 5 else "win" if number >= lost else "loss"
        for order in ("turn_1", "turn_2") if is_rated else ("candidate_first",):
            rated = ("rated", 1.0 + number % 9)
            verdict, score = rated if is_rated else (word, {"win": 1.0, "loss": 0.0, "invalid": None}[word])
            rows.append({"prompt_id": prompt_id(number), "order": order, "verdict": verdict, "score": score})
    return pd.DataFrame(rows).assign(
        verdict_set_id=node.id, draw=0, weight=1.0, judge_asked="gpt-4-0613", judge_served=HOSTILE[1],
        protocol="paper", prompt_sha256="a" * 64, request_sha256="b" * 64, raw_reply=f"Response 1 {HOSTILE[0]}",
        prompt_tokens=300, completion_tokens=3, cost_usd=0.01, created="2026-11-21T04:00:00Z",
    )  # fmt: skip


def _benchmark(folder: Path, node: Node, rank: int) -> None:
    """Jobs one after the other, each ended when its benchmark was written."""
    path = folder / "benchmarks" / node.kind / f"{node.id}.tsv"
    write_text(path, f"s\th:m:s\n{BENCHMARK_S}\t0:00:30\n")
    os.utime(path, (FIRST_END, FIRST_END + BENCHMARK_S * rank))
