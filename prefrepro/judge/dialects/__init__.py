"""What the local judge understands: each module here answers one kind of request.

A module `x.py` with a function `answer` (see `Dialect`) is enough to be asked; modules are asked by name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from prefrepro.judge.scorers import Scorer

Dialect = Callable[[dict[str, Any], Scorer, str], dict[str, Any] | None]
"""(request, score, seed_text) -> choices[0] (`message`, `finish_reason`, where asked for `logprobs`).

None where the messages are of another dialect. Raises ValueError where they are of this one and cannot be answered.
`seed_text` is all that the judge was shown: what a coin, where one must be tossed, is seeded with.
"""


@cache
def dialects() -> tuple[Dialect, ...]:
    """The `answer` of every module in this folder, by the modules' names."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    return tuple(importlib.import_module(f"{__name__}.{name}").answer for name in names)
