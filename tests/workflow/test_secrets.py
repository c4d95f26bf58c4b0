"""Keys: where they may come from, and that a planted one is in no file and on no terminal, also where judging fails."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkout import Checkout, Done
from tiny_world import make_tiny

from prefrepro.errors import UserError
from prefrepro.judge.connect import local_judge
from prefrepro.judge.endpoint import api_endpoint
from prefrepro.specs.judge import judge_config

ENV = "PREFREPRO_TEST_KEY"
API = {"kind": "api", "model": "judge", "price_usd_per_mtok": {"input": 1, "output": 1}}
TABLE = "paper_tables/rpo/table1.yaml"


class Echo(BaseHTTPRequestHandler):
    """A proxy gone wrong: shows the key that it was sent in a refusal, or in a reply that it gives all the same."""

    def do_GET(self) -> None:
        self.answer(200, b'{"data": []}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Authorization"].encode()
        if self.path.startswith("/refuses"):
            self.answer(401, b'{"error": {"message": "bad key: ' + key + b'"}}')
        else:
            message = b'{"role": "assistant", "content": "' + key + b'"}'
            self.answer(200, b'{"model": "judge", "choices": [{"message": ' + message + b"}]}")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def holds_no_key(root: Path, done: Done, key: str) -> None:
    files = [file for file in root.rglob("*") if file.is_file()]
    assert any(file.suffix == ".sqlite" for file in files), "a judge was asked"
    for form in (key.encode(), base64.b64encode(key.encode()), key.encode("utf-16-le")):
        assert not [str(file) for file in files if form in file.read_bytes()]
    assert key not in done.stdout + done.stderr


def test_a_planted_key_is_nowhere_after_a_whole_workflow(
    checkout: Checkout, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tiny(checkout)
    table = yaml.safe_load((checkout.root / TABLE).read_text(encoding="utf-8"))
    checkout.write_yaml(TABLE, table | {"rows": {"dpo": table["rows"]["dpo"]}, "baseline": None})
    with local_judge("world") as endpoint:
        key = endpoint.api_key
        monkeypatch.setenv(ENV, key)
        judge = {"name": "whole", "base_url": endpoint.base_url, "api_key_env": ENV, **API}
        checkout.write_yaml("config/judges/whole.yaml", judge)
        done = checkout.snakemake("table1", "--cores", "2", "--config", "judge=whole")
        assert done.returncode == 0, done.stdout + done.stderr
        holds_no_key(checkout.root, done, key)
        for name, said in (("refuses", "the key is refused"), ("tells", "verdicts are invalid")):
            judge |= {"name": name, "base_url": f"{echo}/{name}/v1", "max_retries": 0, "reasks": 0}
            checkout.write_yaml(f"config/judges/{name}.yaml", judge)
            (verdict,) = [node["id"] for node in checkout.nodes(judge=name) if node["kind"] == "verdict"]
            done = checkout.job(verdict, f"judge={name}")
            assert done.returncode == 2 and said in done.stderr, done.stderr
            assert "***" in done.stderr, "the judge did show the key"
            holds_no_key(checkout.root, done, key)


def api(**more: Any) -> Any:
    return judge_config({"name": "mine", "base_url": "https://judge.invalid/v1", **API, **more}, "mine.yaml")


def test_a_key_from_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-planted-key\n", encoding="utf-8")
    path.chmod(0o600)
    endpoint = api_endpoint(api(api_key_file=str(path)))
    assert endpoint.api_key == "sk-planted-key" and "planted" not in repr(endpoint)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o622])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_text("sk-planted-key", encoding="utf-8")
    path.chmod(mode)
    with pytest.raises(UserError, match=rf"has mode {mode:04o}.*chmod 600") as caught:
        api_endpoint(api(api_key_file=str(path)))
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "  \n", "two words", "line\nline", "clé-secrète"])
def test_what_is_no_key_is_refused_without_being_shown(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    monkeypatch.setenv(ENV, content)
    for config in (api(api_key_file=str(path)), api(api_key_env=ENV)):
        with pytest.raises(UserError) as caught:
            api_endpoint(config)
        assert not content.strip() or content not in str(caught.value)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no-such-key"):
        api_endpoint(api(api_key_file=str(tmp_path / "no-such-key")))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"api_key_env": ENV, "api_key_file": "key"}, "expected one of them"),
        ({"api_key": "sk-planted-key"}, '"api_key" is unknown'),
        ({"base_url": "https://user:sk-planted-key@judge.invalid/v1"}, "without user, password or query"),
    ],
)
def test_a_config_holds_no_key(more: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        api(**more)
