"""Whether this machine can do a job: the devices it was leased, and libraries that are new enough. Imports no torch
unless devices were leased.
"""

from __future__ import annotations

import os
from importlib.metadata import version

from prefrepro.errors import UserError
from prefrepro.plan.nodes import Graph, Node

LEASED = "PREFREPRO_LEASED"
"""Environment variable of workflow/scripts/gpu_slot.py: the devices of this job alone."""
OLDEST = {"torch": (2, 11), "transformers": (5, 17)}


def check_machine(graph: Graph, node: Node) -> None:
    """Raise UserError where leased devices cannot be used, are too small, or a library is too old."""
    for name, oldest in OLDEST.items():
        found = version(name)
        if tuple(int(part) for part in found.split(".")[:2]) < oldest:
            raise UserError(
                f"{name} {found} is installed; expected at least {'.'.join(map(str, oldest))}. Next: make setup, or "
                f"pip install -U {name}"
            )
    if not (leased := os.environ.get(LEASED)):
        return
    import torch

    from prefrepro.plan.memory import GIB, check_fit

    if not torch.cuda.is_available():
        raise UserError(
            f"this job was leased the devices {leased}, and torch {torch.__version__} cannot start CUDA on them; it "
            "would run on the CPU for days. Next: nvidia-smi, and python -c 'import torch; torch.zeros(1).cuda()', say "
            "why; without a GPU, gpus: 0 in `resources` of config/scales/<scale>.yaml"
        )
    memory = torch.cuda.get_device_properties(0).total_memory / GIB
    check_fit(graph.nodes, node, int(os.environ.get("WORLD_SIZE", "1")), graph.runtime["engine"], memory)
