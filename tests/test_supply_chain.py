"""What is installed and loaded: pinned by hash, under a named licence, no pickle, no code from a checkpoint."""

from __future__ import annotations

import ast
import re
import subprocess
from fnmatch import fnmatch
from importlib.metadata import distribution
from pathlib import Path

import pytest

from prefrepro.data.hub import CHECKPOINT

ROOT = Path(__file__).parents[1]
FOLDERS = ("prefrepro", "methods", "workflow", "bench", "tests")
SOURCES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


def test_every_pinned_package_has_hashes() -> None:
    lock = re.sub(r"^#.*\n", "", (ROOT / "requirements.lock").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = {entry.split("==")[0]: entry for entry in re.split(r"\n(?=[A-Za-z0-9])", lock) if "==" in entry}
    assert len(named) > 100
    assert not [name for name, entry in named.items() if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)]
    assert set(pinned()) == {*map(canonical, named), "torch"}, "requirements.txt is requirements.lock and torch"
    assert "--require-hashes" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_page_of_licences_lists_what_is_pinned() -> None:
    """`make licences` writes it; a package pinned since then is missing, one that is no longer pinned is left over."""
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([A-Za-z0-9._-]+) +\| ([^ +]+)\S* +\| (.+?) +\|$", text, re.MULTILINE)
    assert {canonical(name): version for name, version, _ in rows if name != "Name"} == pinned()
    unnamed = [name for name, _, licence in rows if licence == "UNKNOWN"]
    assert unnamed and all("MIT License" in licence_file(name) for name in unnamed), "the page says so of UNKNOWN"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    return {
        canonical(name): version for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\n]+)", text, re.MULTILINE)
    }


def licence_file(name: str) -> str:
    files = distribution(name).files or []
    return next(file.read_text("utf-8") for file in files if re.match(r"LICEN[CS]E", file.name))


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


WEAK = """Found 1 known vulnerability in 1 package
Name Version ID    Fix Versions
---- ------- ----- ------------
b    2       CVE-1 2.1,3
"""
SKIPPED = """Name Skip Reason
---- ---------------------------------------------------------------
c    Dependency not found on PyPI and could not be audited: c (1)
"""


@pytest.mark.parametrize(
    ("printed", "code", "arguments", "fails", "said"),
    [
        ("No known vulnerabilities found\n", 0, "", False, "No known weakness"),
        (WEAK, 1, "", True, "b    2       CVE-1 2.1,3"),
        (WEAK + SKIPPED, 1, "--offline-ok", True, "b    2       CVE-1 2.1,3"),
        ("No known vulnerabilities found\n" + SKIPPED, 0, "", True, "NOT AUDITED"),
        ("No known vulnerabilities found\n" + SKIPPED, 0, "--offline-ok", False, "NOT AUDITED"),
        ("ERROR: connection refused\n", 1, "", True, "NOT AUDITED"),
        ("ERROR: connection refused\n", 1, "--offline-ok", False, "NOT AUDITED"),
    ],
)
def test_what_an_audit_says(tmp_path: Path, printed: str, code: int, arguments: str, fails: bool, said: str) -> None:
    """`make audit-deps`, given what pip-audit 2.10.1 prints."""
    script = tmp_path / "bin" / "pip-audit"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{printed}END\nexit {code}\n", encoding="utf-8")
    script.chmod(0o755)
    command = ["make", "audit-deps", "-o", "setup", "-o", str(script), f"AUDIT={tmp_path}", f"ARGS={arguments}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode != 0, said in done.stdout) == (fails, True), done.stdout + done.stderr
