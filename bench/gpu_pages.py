"""python -m bench.gpu_pages --write: put what the memory model and the scales' rates say of GPUs into the docs.

What fits on which cards stands in docs/cluster.md, the hours of scale pocket in docs/pocket.md. Arithmetic alone.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.page import table, with_block
from prefrepro.cli.parser import parse_config
from prefrepro.errors import exit_on_user_error
from prefrepro.files import ROOT, write_text
from prefrepro.inspect.forecast.jobs import Forecaster
from prefrepro.plan.build import make_plan
from prefrepro.plan.memory import GIB, Shape, shapes, training_bytes

CARDS = {24: 23.5, 80: 79.0, 141: 139.0}
"""GB of a card as it is sold -> GiB that a process finds"""
MOST = 8
"""Cards of one machine"""
MODELS = {
    "SmolLM2-360M": "HuggingFaceTB/SmolLM2-360M",
    "Qwen2.5-0.5B": "Qwen/Qwen2.5-0.5B",
    "Qwen2.5-1.5B": "Qwen/Qwen2.5-1.5B",
    "LLaMA2-7B": "NousResearch/Llama-2-7b-hf",
    "Mistral-7B": "mistralai/Mistral-7B-v0.1",
    "LLaMA2-13B": "NousResearch/Llama-2-13b-hf",
}
SETTINGS = {
    "dtype": "float32", "compute_dtype": "bfloat16", "optimizer": "rmsprop", "max_length": 512, "micro_batch": 16,
    "micro_batch_tokens": 8192,
}  # fmt: skip
"""Of both scales; with activation checkpointing"""
WAYS: dict[str, dict[str, Any]] = {
    "pairs and single responses: SFT, DPO, RPO, IPO, KTO, BCO, PPO offline, reward model (RMSprop)": {},
    "groups: Swepo, InfoNCA, NCA (AdamW)": {"optimizer": "adamw", "max_length": 1024},
    "PPO, own responses": {"rollout": {"responses": "policy"}, "micro_batch": 64},
    "LoRA 64": {"lora_rank": 64},
}

VIEWS = ("table1", "tables rows=-ppo", "tables reading=code", "tables")
"""What is made: a target, and what follows --config"""


def needs(shape: Shape, change: Mapping[str, Any], gpus: int) -> float:
    """GiB on each of so many GPUs."""
    return sum(training_bytes(shape, {**SETTINGS, **change}, gpus, is_checkpointed=True).values()) / GIB


def fits() -> str:
    """Model × method: GiB on one GPU, and how many cards of each size hold it."""
    rows = []
    for name, repo in MODELS.items():
        cells = [name]
        for change in WAYS.values():
            most = 1 if change.get("lora_rank") else MOST
            counts = [n for n in (1, 2, 4, 8) if n <= most]
            held = [
                next((str(n) for n in counts if needs(shapes()[repo], change, n) <= gib), "–") for gib in CARDS.values()
            ]
            cells.append(f"{needs(shapes()[repo], change, 1):.1f}: {' / '.join(held)}")
        rows.append(cells)
    return table(["GiB on one GPU: cards of 24 / 80 / 141 GB that hold it", *WAYS], rows)


def pocket_hours() -> str:
    """Hours of one card at scale pocket, of each view; by the scale's rates, whatever was measured on this machine."""
    rows = []
    for words in VIEWS:
        target, *config = words.split()
        plan = make_plan(parse_config(["scale=pocket", "judge=vllm", *config]))
        plan = replace(plan, results=Path("nothing-measured"))
        forecaster, hours = Forecaster(plan), defaultdict[str, list[float]](list)
        for node in plan.needed_by(plan.targets([target])):
            if node.kind != "verdict":
                hours[node.kind].append(forecaster.hours(node) or 0.0)
        every = sum(map(sum, hours.values()))
        trainings = [value for kind in ("sft", "reward_model", "run") for value in hours[kind]]
        figures = (sum(trainings), sum(hours["sample"]), every)
        rows.append([f"`{words}`", str(len(trainings)), *(f"{value:.1f}" for value in figures)])
    head = ["`prefrepro forecast … scale=pocket judge=vllm`", "trainings", "of which they take, h", "answers, h"]
    return table([*head, "all jobs, h"], rows)


BLOCKS: dict[str, tuple[Path, Callable[[], str]]] = {
    "fits": (ROOT / "docs" / "cluster.md", fits),
    "hours": (ROOT / "docs" / "pocket.md", pocket_hours),
}
"""Name of a block -> its page, and what makes it"""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_pages", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into the pages; else onto the terminal")
    write = parser.parse_args().write
    for name, (page, make) in BLOCKS.items():
        if write:
            write_text(page, with_block(page.read_text(encoding="utf-8"), name, make()))
        else:
            print(make(), end="\n\n")


if __name__ == "__main__":
    exit_on_user_error(main)
