"""What the jobs of a scale ask a machine or a cluster for: config/scales/*.yaml, section `resources`."""

from __future__ import annotations

from typing import Annotated

from pydantic import with_config
from typing_extensions import TypedDict

from prefrepro.specs.values import CLOSED, Count, Seed, names_of


@with_config(CLOSED)
class Asked(TypedDict, total=False):
    gpus: Seed
    cpus: Count
    mem_mb: Count
    runtime_min: Count


ByKind = TypedDict(
    "ByKind",
    {
        "data": Asked, "base": Asked, "sft": Asked, "run": Asked, "reward_model": Asked, "reference": Asked,
        "embeddings": Asked, "reference_rewards": Asked, "sample": Asked, "import": Asked, "verdict": Asked,
        "table": Asked,
    },
    total=False,
)  # fmt: skip
"""By kind of node"""
with_config(CLOSED)(ByKind)


@with_config(CLOSED)
class AskedAtScale(ByKind, total=False):
    """`default`, then the kind of the node, then that kind of the node's model."""

    default: Asked
    models: Annotated[dict[str, ByKind], names_of("models")]
