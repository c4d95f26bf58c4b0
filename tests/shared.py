"""What tests of several rooms share: the project's shared material, which may be absent, and a scale as checked."""

import os
from pathlib import Path
from typing import Any

from prefrepro.files import ROOT
from prefrepro.specs.files import read_mapping
from prefrepro.specs.scale import check_scale

SHARED = Path(os.environ.get("PREFREPRO_SHARED") or Path(__file__).parents[2] / "shared")


def read_scale(name: str) -> dict[str, Any]:
    """config/scales/<name>.yaml, checked."""
    where = f"config/scales/{name}.yaml"
    return check_scale(read_mapping(ROOT / where), where)
