"""make bench-train: pairs per second, CPU time and memory of this trainer beside its peers, in one run.

Every candidate of every round trains the same rows in the same order in a process of its own; rounds are interleaved,
so that what disturbs the machine disturbs all. Medians over rounds; start-up, imports and reference log-probs that are
computed beforehand are not timed. Imports nothing heavy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.stamp import RESULTS, STAMP, read_rows, stamp, write_rows
from prefrepro.errors import UserError, exit_on_user_error

OURS = ("ours", "ours_bf16", "ours_packed", "ours_padded", "padded_live")
TRL = ("trl_live", "trl_precomputed", "trl_defaults", "trl_padding_free")
CANDIDATES = {2: (*OURS, *TRL), 4: (*OURS, *TRL[1:], "trl_precomputed_cover")}
"""trl_live is there for its losses, which of groups are another method's; precomputed is the same and sooner done."""
SMOLLM2 = ("ours", "ours_bf16", "trl_precomputed", "trl_defaults")
"""Of a real shape unless `--only` names others: what else there is takes minutes a step."""
VOCABULARIES = {"smollm2": 49152, "2k": 2048, "32k": 32000, "tiny": 64}
FIGURES = ("pairs_per_s", "cpu_s_per_pair", "peak_rss_mb", "flops_share", "matmul_tflops", "other_cores")
EXACT = {2: (*OURS, "trl_live", "trl_precomputed"), 4: OURS}
"""Candidates that train the same loss: step by step it must be the same number, but for rounding in ours_bf16."""
BUSY = 0.2
"""Cores: a round in which other processes used more is counted in `busy_rounds`."""
COLUMNS = (
    "vocab", "k", "candidate", "pairs_per_s", "pairs_per_s_min", "pairs_per_s_max", "cpu_s_per_pair", "peak_rss_mb",
    "ratio_to_best_trl", "ratio_to_padded", "rss_ratio_to_best_trl", "flops_share", "matmul_tflops",
    "rounds", "steps", "loss_first", "loss_last",
    "max_loss_difference", "other_cores", "busy_rounds", *STAMP,
)  # fmt: skip
PACKAGES = ("torch", "transformers", "trl", "accelerate")


@dataclass(frozen=True, slots=True)
class Failed:
    """A candidate that gave no figure, and its last words."""

    reason: str


def run_one(candidate: str, size: str, k: int, models: Path, trl: Path | None) -> dict[str, Any] | Failed:
    """One process. `trl`: a folder on the import path of the peers only, so that nothing else sees what is in it."""
    environment = dict(os.environ)
    if trl is not None and candidate.startswith("trl"):
        environment["PYTHONPATH"] = os.pathsep.join([str(trl), *filter(None, [environment.get("PYTHONPATH")])])
    out = models / "result.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "bench.one", candidate, size, str(k), str(models), str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not out.exists():
        words = (done.stderr.strip() or f"it ended with code {done.returncode}").splitlines()[-1]
        return Failed(words.removeprefix("error: "))
    return json.loads(out.read_text(encoding="utf-8"))


def summary(size: str, k: int, found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row per candidate of a size and k: medians over rounds, and ratios of the medians.

    max_loss_difference: to the plain padded loop with a live reference, or to `ours` where that was not run, the
    largest over all steps and rounds; empty where the candidate trains something else (other comparisons, autocast).
    """
    median = {
        name: {key: statistics.median(run[key] for run in runs) for key in FIGURES} for name, runs in found.items()
    }
    trl = [name for name in median if name.startswith("trl")]
    best = max(trl, key=lambda name: median[name]["pairs_per_s"]) if trl else None
    plain = found.get("padded_live", found.get("ours") if len(found) > 1 else None)
    rows = []
    for name, values in median.items():
        speeds = [run["pairs_per_s"] for run in found[name]]
        losses = found[name][0]["losses"]
        row: dict[str, Any] = {
            "vocab": VOCABULARIES[size], "k": k, "candidate": name, **values,
            "pairs_per_s_min": min(speeds), "pairs_per_s_max": max(speeds),
            "busy_rounds": sum(run["other_cores"] > BUSY for run in found[name]),
            "rounds": len(speeds), "steps": len(losses), "loss_first": losses[0], "loss_last": losses[-1],
        }  # fmt: skip
        if best is not None:
            row["ratio_to_best_trl"] = values["pairs_per_s"] / median[best]["pairs_per_s"]
            row["rss_ratio_to_best_trl"] = values["peak_rss_mb"] / median[best]["peak_rss_mb"]
        if "padded_live" in median:
            row["ratio_to_padded"] = values["pairs_per_s"] / median["padded_live"]["pairs_per_s"]
        if plain is not None and name in EXACT[k]:
            row["max_loss_difference"] = max(
                abs(a - b) for run in found[name] for a, b in zip(run["losses"], plain[0]["losses"], strict=True)
            )
        rows.append(row)
    return rows


def run(
    sizes: Sequence[str], ks: Sequence[int], only: Sequence[str], rounds: int, trl: Path | None, out: Path
) -> list[str]:
    """Measure, writing `out` after every round; returns what was skipped and why. Raises UserError where ours fails.

    Rows of other sizes and ks that `out` held stay: the long benchmark can be made in parts, each within one run.
    """
    stamped = _stamp(trl)
    places = {(VOCABULARIES[size], k) for size in sizes for k in ks}
    kept = [row | {"vocab": int(row["vocab"]), "k": int(row["k"])} for row in read_rows(out)]
    kept = [row for row in kept if (row["vocab"], row["k"]) not in places]
    found: dict[tuple[str, int], dict[str, list[dict[str, Any]]]] = {}
    skipped: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="prefrepro-bench-") as folder:
        for number in range(rounds):
            for size in sizes:
                for k in ks:
                    wanted = only or (SMOLLM2 if size == "smollm2" else CANDIDATES[k])
                    for candidate in CANDIDATES[k]:
                        label = f"{candidate}, size {size}, k = {k}"
                        if candidate not in wanted or label in skipped:
                            continue
                        result = run_one(candidate, size, k, Path(folder), trl)
                        if isinstance(result, Failed):
                            if not candidate.startswith("trl"):
                                raise UserError(f"{label}: {result.reason}")
                            skipped[label] = result.reason
                            print(f"skipped: {label}: {result.reason}", flush=True)
                            continue
                        found.setdefault((size, k), {}).setdefault(candidate, []).append(result)
                        print(
                            f"round {number + 1}/{rounds}  {label}: {result['pairs_per_s']:.2f} pairs/s, "
                            f"{result['cpu_s_per_pair']:.3f} CPU-s a pair, {result['peak_rss_mb']:.0f} MB, "
                            f"others {result['other_cores']:.2f} cores"
                            f"{': too many' if result['other_cores'] > BUSY else ''}",
                            flush=True,
                        )
            rows = [row | stamped for (size, k), runs in found.items() for row in summary(size, k, runs)]
            write_rows(out, COLUMNS, sorted([*kept, *rows], key=_place))
    return [f"{label}: {reason}" for label, reason in skipped.items()]


def _place(row: dict[str, Any]) -> tuple[int, int, int]:
    return row["vocab"], row["k"], CANDIDATES[row["k"]].index(row["candidate"])


def _stamp(trl: Path | None) -> dict[str, str]:
    """The peers' versions too, where they stand in a folder of their own."""
    if trl is not None:
        sys.path.append(str(trl))
    return stamp(*PACKAGES)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.train", description="Training speed beside peers'.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--size", "--vocab", nargs="+", choices=VOCABULARIES, default=["2k", "32k"],
        help="2k, 32k: 4 layers and this vocabulary; smollm2: SmolLM2-135M's shape",
    )  # fmt: skip
    parser.add_argument("--k", nargs="+", type=int, choices=CANDIDATES, default=[2, 4])
    parser.add_argument(
        "--only", nargs="+", choices=[*CANDIDATES[2], CANDIDATES[4][-1]], default=[], help="these candidates"
    )
    parser.add_argument("--smoke", action="store_true", help="one round of a model of no size: does everything run?")
    parser.add_argument("--trl", type=Path, help="folder with TRL (pip install --target)")
    parser.add_argument("--out", type=Path, default=RESULTS / "train.csv")
    arguments = parser.parse_args()
    sizes, rounds = (["tiny"], 1) if arguments.smoke else (arguments.size, arguments.rounds)
    if arguments.smoke and arguments.out == RESULTS / "train.csv":
        raise UserError("--smoke measures nothing; name another file: --out /tmp/train.csv")
    skipped = run(sizes, arguments.k, arguments.only, rounds, arguments.trl and arguments.trl.resolve(), arguments.out)
    print(f"{arguments.out} is written; skipped: {len(skipped)}")


if __name__ == "__main__":
    exit_on_user_error(main)
