"""Hub ids: local stand-ins, the real client against a hub of our own, and no hub at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import COMMIT, hub

from prefrepro.data import hub as hub_module
from prefrepro.data.hub import checkpoint, local_files, resolve, stand_in
from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.specs.local import read_local

ASK = """
import json, sys
from prefrepro.data.hub import checkpoint, commit_of, resolve
from prefrepro.errors import UserError
from prefrepro.specs.local import read_local
name, kwargs = sys.argv[1], json.loads(sys.argv[2])
try:
    if name == "resolve":
        found = resolve(**kwargs)
        files = sorted(str(path.relative_to(found.paths)) for path in found.paths.rglob("*") if path.is_file())
        print(json.dumps({"record": found.record, "files": files}))
    else:
        folder = checkpoint(**kwargs)
        print(json.dumps({"commit": commit_of(folder), "files": sorted(path.name for path in folder.iterdir())}))
except UserError as error:
    print(json.dumps({"error": str(error)}))
"""


def ask(address: str, cache: Path, name: str, **kwargs: object) -> dict:
    """In a process of its own, because huggingface_hub reads its settings when it is imported."""
    settings = {
        "HF_ENDPOINT": address, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", ASK, name, json.dumps(kwargs)],
        env={**os.environ, **settings}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "local.yaml"
    monkeypatch.setattr(hub_module, "LOCAL", path)
    return path


def test_a_data_set_comes_at_its_pinned_commit_with_the_files_that_are_wanted(tmp_path: Path) -> None:
    served = tmp_path / "hub/datasets/Anthropic/hh-rlhf"
    for name in ("harmless-base/train.jsonl.gz", "harmless-base/test.jsonl.gz", "red-team-attempts/x.jsonl.gz"):
        (served / name).parent.mkdir(parents=True, exist_ok=True)
        (served / name).write_bytes(name.encode())
    with hub(tmp_path / "hub") as address:
        wanted = {"repo": "Anthropic/hh-rlhf", "patterns": ["harmless-base/*"]}
        found = ask(address, tmp_path / "cache", "resolve", revision=COMMIT, **wanted)
        assert found["record"] == {"repo": "Anthropic/hh-rlhf", "revision": COMMIT, "commit": COMMIT}
        assert found["files"] == ["harmless-base/test.jsonl.gz", "harmless-base/train.jsonl.gz"]
        # No revision pinned: the commit that main stood at is what the manifest will say.
        found = ask(address, tmp_path / "cache", "resolve", revision=None, **wanted)
        assert found["record"]["commit"] == COMMIT
        refused = ask(address, tmp_path / "other", "resolve", revision="f" * 40, **wanted)
        assert "Anthropic/hh-rlhf at revision fff" in refused["error"]
        assert "config/local.yaml" in refused["error"]
    # Once in the cache, no hub is needed.
    assert ask(address, tmp_path / "cache", "resolve", revision=COMMIT, **wanted)["files"]


def test_a_checkpoint_comes_without_pickles(tmp_path: Path) -> None:
    for repo, names in (("o/good", ["config.json", "model.safetensors", "tokenizer.json"]), ("o/bad", ["config.json"])):
        folder = tmp_path / "hub/models" / repo
        folder.mkdir(parents=True)
        for name in [*names, "pytorch_model.bin"]:
            (folder / name).write_text(name)
    with hub(tmp_path / "hub") as address:
        found = ask(address, tmp_path / "cache", "checkpoint", repo="o/good", revision=COMMIT)
        assert found == {"commit": COMMIT, "files": ["config.json", "model.safetensors", "tokenizer.json"]}
        refused = ask(address, tmp_path / "cache", "checkpoint", repo="o/bad", revision=COMMIT)
        assert "no *.safetensors" in refused["error"]


def test_without_a_hub_the_error_says_what_would_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused = ask("http://127.0.0.1:9", tmp_path, "resolve", repo="openai/summarize_from_feedback", revision="abc")
    assert "cannot be had from the hub" in refused["error"]
    assert "hub_files: {openai/summarize_from_feedback: PATH}" in refused["error"]


def test_local_files_stand_in_for_any_id(tmp_path: Path, local: Path) -> None:
    data, model = tmp_path / "hh", tmp_path / "model"
    data.mkdir()
    model.mkdir()
    (data / "train.jsonl").write_text("{}\n")
    (model / "model.safetensors").write_text("")
    assert stand_in("Anthropic/hh-rlhf") is None  # no config/local.yaml
    local.write_text(f"hub_files:\n  Anthropic/hh-rlhf: {data}\n  o/m: {model}\n  o/gone: {tmp_path / 'gone'}\n")
    found = resolve("Anthropic/hh-rlhf", "09be8c5")
    assert (found.paths, found.record) == (str(data), {"files": [str(data)], "stands_in_for": "Anthropic/hh-rlhf"})
    assert resolve("Anthropic/hh-rlhf", files="mine.jsonl").paths == "mine.jsonl"  # the data set's own key wins
    assert local_files({"repo": "Anthropic/hh-rlhf"}) == [data / "train.jsonl"]
    assert local_files({"repo": "o/else"}) == []
    assert local_files({"files": {"gpt4_turbo": str(data / "train.jsonl")}}) == [data / "train.jsonl"]
    assert checkpoint("o/m", "abc") == model
    assert checkpoint(str(model)) == model
    with pytest.raises(UserError, match=r"gone for o/gone, which is no folder"):
        checkpoint("o/gone")


@pytest.mark.parametrize("content", ["hub_files: [a]", "hubfiles: {a: b}", "hub_files: {a: b}\nmore: 1", "a: ["])
def test_a_faulty_local_yaml_is_one_message(local: Path, content: str) -> None:
    local.write_text(content)
    with pytest.raises(UserError, match=r"local\.yaml"):
        read_local(local)
