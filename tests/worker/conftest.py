"""One copy of the checkout, and one workflow, for the tests of a file that leave both as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import Checkout
from worker_helpers import Workflow, with_probe, workflow


@pytest.fixture
def probed(tmp_path: Path) -> Checkout:
    """A copy of the checkout with the probe."""
    return with_probe(Checkout(tmp_path))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workflow]:
    """A workflow with a worker, for jobs that leave it as it was."""
    with workflow(with_probe(Checkout(tmp_path_factory.mktemp("shared")))) as opened:
        yield opened
