"""Seeds by axis: two runs that should share an order share its axis, and nothing else."""

from __future__ import annotations

import hashlib


def seed_for(seed: int, axis: str) -> int:
    """A 32-bit seed for one purpose (« order», «head», «sampling») of a run with this seed."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{axis}".encode()).digest()[:4], "big")
