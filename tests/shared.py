"""Where the project's shared material lies, if it is there: tests that want it skip where it is absent."""

import os
from pathlib import Path

SHARED = Path(os.environ.get("PREFREPRO_SHARED") or Path(__file__).parents[2] / "shared")
