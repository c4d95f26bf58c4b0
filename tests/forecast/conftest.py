"""Every test works in a folder of its own: results/<scale> stands below the working directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from prefrepro.inspect.forecast.sizes import read_json


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    read_json.cache_clear()  # of files of the same relative name
    yield tmp_path
    read_json.cache_clear()
