"""How fast a device multiplies large matrices: what the speed of a trainer is held against."""

from __future__ import annotations

import time

import torch


def matmul_rate(device: torch.device, size: int, dtype: torch.dtype) -> float:
    """FLOP/s of a square product, the best of ten."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(13):
        settle(device)
        started = time.perf_counter()
        torch.mm(a, b)
        settle(device)
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds[3:])


def settle(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
