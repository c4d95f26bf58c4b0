"""What this machine says of itself: config/local.yaml, which git ignores."""

from __future__ import annotations

from pathlib import Path

from prefrepro.files import show
from prefrepro.specs.files import checked, read_mapping
from prefrepro.specs.values import Spec, Text


class Local(Spec):
    hub_files: dict[Text, Text]
    """Hub id -> the local files that stand in for it: a file, a folder or a glob"""


def read_local(path: Path) -> Local:
    """Raises UserError with every problem."""
    return checked(Local, read_mapping(path), show(path))
