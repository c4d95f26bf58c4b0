"""A copy of this checkout in which a test may edit methods, config and results, and run the real commands."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PARTS = ("methods", "prefrepro", "config", "paper_tables", "workflow", "profiles", "Snakefile", "pyproject.toml")
NODES = """
import json, sys
from prefrepro.plan.build import make_plan
plan = make_plan(json.loads(sys.argv[1]))
print(json.dumps([{"kind": n.kind, "id": n.id, "spec": n.spec, "inputs": n.inputs, "folder": n.folder, "done": n.done}
                  for n in plan.needed_by(["table1"])]))
"""

JOB = ("-m", "prefrepro.jobs.main", "results/embedded/plan.json")

Done = subprocess.CompletedProcess[str]
Nodes = list[dict[str, Any]]


class Checkout:
    """Commands run in `root` with this Python, and import the copy's prefrepro and methods."""

    def __init__(self, root: Path, *, copy: bool = True) -> None:
        self.root = root
        self.results = root / "results" / "embedded"
        for part in PARTS if copy else ():
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(ROOT / part, root / part)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """Ours, without what would lead imports or Snakemake elsewhere or change how output is buffered.

        Nor is coverage measured: the report would list every file of every copy.
        """
        return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SNAKEMAKE_", "COVERAGE_"))}

    def python(self, *arguments: str, timeout_s: float = 900) -> Done:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def prefrepro(self, *arguments: str) -> Done:
        return self.python("-m", "prefrepro", *arguments)

    def job(self, node_id: str, *config: str) -> Done:
        """Do one node, as the workflow does: of the plan that is written first, where it can be planned."""
        planned = self.prefrepro("plan", "table1", *config, "--write")
        return planned if planned.returncode else self.python(*JOB, node_id)

    def snakemake(self, *arguments: str, timeout_s: float = 900) -> Done:
        return self.python("-m", "snakemake", *arguments, timeout_s=timeout_s)

    def nodes(self, **config: Any) -> Nodes:
        """Every node that table1 needs, inputs first, as a new process in the copy plans it."""
        done = self.python("-c", NODES, json.dumps(config))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace the first `old` in a file of the copy."""
        text = (self.root / path).read_text(encoding="utf-8")
        assert old in text, f"{path} holds no {old!r}"
        (self.root / path).write_text(text.replace(old, new, 1), encoding="utf-8")

    def edit_yaml(self, path: str, changes: dict[str, Any]) -> None:
        """Merge `changes` into a YAML file of the copy, mapping by mapping."""
        file = self.root / path
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        _merge(content, changes)
        self.write_yaml(path, content)

    def write_yaml(self, path: str, content: Any) -> None:
        (self.root / path).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _merge(into: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def ids(nodes: Nodes, *kinds: str) -> set[str]:
    """Ids of all nodes, or of those of these kinds."""
    return {node["id"] for node in nodes if not kinds or node["kind"] in kinds}


def counts(nodes: Nodes) -> Counter[str]:
    """Nodes of each kind."""
    return Counter(node["kind"] for node in nodes)


def changed(before: Nodes, after: Nodes) -> set[tuple[str, str]]:
    """(kind, readable name) of what `after` plans and `before` did not."""
    return {(node["kind"], readable(node["id"])) for node in after if node["id"] not in ids(before)}


def readable(node_id: str) -> str:
    """The id without its digest."""
    return node_id.rpartition("_")[0]


def hh_rows(n: int) -> list[dict[str, str]]:
    """n comparisons as Anthropic released theirs: two whole transcripts each."""
    return [
        {"chosen": f"\n\nHuman: {k}?\n\nAssistant: Yes.", "rejected": f"\n\nHuman: {k}?\n\nAssistant: No."}
        for k in range(n)
    ]


def write_hh(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows as a released *.jsonl.gz."""
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), mtime=0))
    return path
