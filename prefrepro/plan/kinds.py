"""The kinds of nodes that a plan is made of. All that is said of a kind as such stands in kinds.yaml, once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True)
class Kind:
    """What is the same for all nodes of one kind."""

    name: str
    """What a spec, a record and `resources` of a scale call it."""
    title: str
    """What a person reads."""
    rule: str
    """The rule in workflow/rules, which also names the folders of logs and benchmarks."""
    folder: str
    """Below results/<scale>/; each node has its own folder in it."""
    done: str
    """The file of a node's folder that is written last."""
    work: str
    """module:function that does the work: (spec, inputs, out, runtime)."""
    code: str
    """The module whose code, with all that it imports, can move a number: what code_digest.py reads."""
    is_training: bool = False
    """Trains a model on all devices that it is given, and leaves it in its folder."""


_WRITTEN = yaml.safe_load(Path(__file__).with_name("kinds.yaml").read_text(encoding="utf-8"))
KINDS = {name: Kind(name, **fields) for name, fields in _WRITTEN.items()}
"""In the order of the work."""

VERDICTS = tuple(name for name, kind in KINDS.items() if kind.folder == "verdicts")
"""What gives the verdicts that tables count."""
TRAININGS = tuple(name for name, kind in KINDS.items() if kind.is_training)
