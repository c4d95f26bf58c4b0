"""What is installed and loaded: pinned by hash, under a named licence, no pickle, no code from a checkpoint."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from prefrepro.data.hub import CHECKPOINT
from prefrepro.licences import licence_of, page, pinned

ROOT = Path(__file__).parents[1]
FOLDERS = ("prefrepro", "methods", "workflow", "bench", "tests")
SOURCES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


def test_every_pinned_package_has_hashes() -> None:
    lock = re.sub(r"^#.*\n", "", (ROOT / "requirements.lock").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = {entry.split("==")[0]: entry for entry in re.split(r"\n(?=[A-Za-z0-9])", lock) if "==" in entry}
    assert len(named) > 100
    assert not [name for name, entry in named.items() if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)]
    assert set(pinned()) == {*named, "torch"}, "requirements.txt is requirements.lock and torch"
    assert "--require-hashes" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_pinned_package_names_its_licence() -> None:
    assert not [name for name in pinned() if not re.search(r"[A-Za-z]", licence_of(name))]


def test_the_page_of_licences_lists_what_is_pinned() -> None:
    """`make licences` writes it; a package that was pinned since is missing, one that went is there in vain."""
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([A-Za-z0-9._-]+) +\| ([^ ]+) +\| (.+?) +\|$", text, re.MULTILINE)
    assert {name: version for name, version, _ in rows if name != "package"} == pinned()
    assert all(licence.strip() for _, _, licence in rows)
    assert page().startswith("# Licences\n")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_loaded_that_could_run(path: Path) -> None:
    """No pickle in any form, torch.load with weights_only alone, and no code that a checkpoint brings along."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        where = f"{path.relative_to(ROOT)}:{node.lineno}"
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        trusted = named.get("trust_remote_code")
        assert trusted is None or (isinstance(trusted, ast.Constant) and trusted.value is False), where
        if not isinstance(node.func, ast.Attribute):
            continue
        owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        assert owner not in PICKLES or node.func.attr not in ("load", "loads", "open"), where
        assert node.func.attr not in ("read_pickle", "Unpickler"), where
        if (owner, node.func.attr) == ("torch", "load"):
            safe = named.get("weights_only")
            assert isinstance(safe, ast.Constant) and safe.value is True, where
        if node.func.attr == "load" and owner in ("np", "numpy"):
            assert "allow_pickle" not in named, where


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "modeling_x.py", "training_args.bin"])
def test_a_hub_checkpoint_brings_no_pickle(name: str) -> None:
    """Neither weights in torch's old format nor code are among the files that are fetched."""
    assert not any(fnmatch(name, pattern) for pattern in CHECKPOINT)


SEEN = {"name": "a", "version": "1", "vulns": []}
WEAK = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1", "3"]}]}
SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "arguments", "code", "said"),
    [
        ([SEEN], [], 0, "No known weakness"),
        ([SEEN, WEAK], [], 1, "weak: b 2: CVE-1, mended in 2.1, 3"),
        ([WEAK, SKIPPED], ["--offline-ok"], 1, "weak: b 2"),
        ([SEEN, SKIPPED], [], 1, "NOT AUDITED: 1 packages, the first c: not found"),
        ([SEEN, SKIPPED], ["--offline-ok"], 0, "NOT AUDITED"),
        (None, [], 1, "NOT AUDITED"),
        (None, ["--offline-ok"], 0, "NOT AUDITED"),
        ([{}], [], 2, "is not what pip-audit writes"),
    ],
)
def test_what_an_audit_says(
    tmp_path: Path, packages: list[Any] | None, arguments: list[str], code: int, said: str
) -> None:
    report = tmp_path / "found.json"
    if packages is not None:
        report.write_text(json.dumps({"dependencies": packages}), encoding="utf-8")
    command = [sys.executable, "-m", "prefrepro.weaknesses", str(report), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
