"""A data set larger than the memory that building it may have: the rows wait on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS, LENGTH = 10_000, 5_000
ROOM = 50 * 2**20
"""Bytes beyond what the process has when it begins; the rows alone are 100 MB of text."""
SCRIPT = """
import json, resource, sys
from pathlib import Path
from prefrepro.data.build import build

source = json.loads(sys.argv[1])
build({"source": source | {"files": [sys.argv[2]]}}, {}, Path(sys.argv[3]))  # the imports of a build, and its memory
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[5]),) * 2)
build({"source": source | {"files": [sys.argv[4]]}}, {}, Path(sys.argv[3]))
"""


def write(path: Path, n: int) -> Path:
    with path.open("w", encoding="utf-8") as file:
        for number in range(n):
            text = f"{number} " + "x" * LENGTH
            file.write(json.dumps({"prompt": f"Question {number}?", "chosen": text, "rejected": f"No. {text}"}) + "\n")
    return path


def test_a_data_set_that_does_not_fit_into_memory_is_built(tmp_path: Path) -> None:
    source = {
        "kind": "rows", "form": "pairs", "on_bad_row": "stop", "splits": {"train": None},
        "parts": {"train": 0.5, "eval": 0.5}, "pretrain": False, "n_prompts": 8, "prompt_batch": 8, "order_seed": 1,
    }  # fmt: skip
    small, large = write(tmp_path / "small.jsonl", 100), write(tmp_path / "large.jsonl", ROWS)
    out = tmp_path / "data"
    command = [sys.executable, "-c", SCRIPT, json.dumps(source), str(small), str(out), str(large), str(ROOM)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["rows"]
    assert rows["train"] + rows["eval"] == ROWS and rows["prompts"] == 8
    size = (out / "train.jsonl").stat().st_size + (out / "eval.jsonl").stat().st_size
    assert size > 1.9 * ROOM
