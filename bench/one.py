"""One candidate in a process of its own: python -m bench.one CANDIDATE SIZE K MODELS OUT writes one JSON file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from prefrepro.errors import exit_on_user_error
from prefrepro.jobs.threads import let_waiting_threads_sleep

IN_BFLOAT16 = ("ours_bf16", "trl_defaults")
MATRIX = 1024
"""Side of the product that gives the rate: what two cores do best."""


def main() -> None:
    """The candidate's clock and losses."""
    candidate, size_name, k, models, out = sys.argv[1:]
    let_waiting_threads_sleep()
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", CUDA_VISIBLE_DEVICES="")
    import torch

    from bench import ours, peers
    from bench.clock import Clock
    from bench.matmul import matmul_rate
    from bench.shapes import step_flops
    from bench.workload import BATCH, SIZES, THREADS, Workload, make_model

    torch.set_num_threads(THREADS)
    size = SIZES[size_name]
    workload = Workload(size, int(k))
    clock = Clock(size.warmup)
    train = getattr(peers if candidate.startswith("trl") else ours, candidate)
    rows_per_step = train(workload, make_model(size, Path(models) / size_name), clock) or BATCH
    figures = clock.result(rows_per_step)
    rows = [row.lengths for row in workload.rows()]
    bound = step_flops(size.shape, rows) / len(rows)
    dtype = torch.bfloat16 if candidate in IN_BFLOAT16 else torch.float32
    rate = matmul_rate(torch.device("cpu"), MATRIX, dtype)
    figures |= {"flops_share": figures["pairs_per_s"] * bound / rate, "matmul_tflops": rate / 1e12}
    result = {"candidate": candidate, **figures, "losses": clock.losses}
    Path(out).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    exit_on_user_error(main)
