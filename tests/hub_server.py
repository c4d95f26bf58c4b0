"""A hub of one's own: the part of Hugging Face's HTTP interface that downloads and commits use, serving a folder.

<root>/<datasets|models>/<owner>/<name>/… is the content of every repository; each has one commit. What is pushed to a
model's repository is written there.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
INFO = re.compile(r"/api/(?P<kind>datasets|models)/(?P<repo>[^/]+/[^/]+)/(?:revision|tree)/(?P<revision>[^/?]+)")
PREUPLOAD = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/preupload/main")
COMMITS = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/commit/main")
FILE = re.compile(r"/(?P<kind>datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


@contextlib.contextmanager
def hub(root: Path) -> Iterator[str]:
    """The address of a hub that serves `root` while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_POST(self) -> None:
            body, path = self.rfile.read(int(self.headers["Content-Length"])), self.path.split("?")[0]
            address = f"http://{self.headers['Host']}"
            if path == "/api/repos/create":
                given = json.loads(body)
                name = "/".join(filter(None, (given.get("organization"), given["name"])))
                (root / "models" / name).mkdir(parents=True, exist_ok=True)
                answer: object = {"url": f"{address}/{name}", "name": name}
            elif found := PREUPLOAD.fullmatch(path):
                files = [{"path": one["path"], "uploadMode": "regular"} for one in json.loads(body)["files"]]
                answer = {"files": [one | {"shouldIgnore": False, "oid": None} for one in files]}
            elif found := COMMITS.fullmatch(path):
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        file = root / "models" / found["repo"] / line["value"]["path"]
                        file.write_bytes(base64.b64decode(line["value"]["content"]))
                answer = {"commitUrl": f"{address}/{found['repo']}/commit/{COMMIT}", "commitOid": COMMIT}
            elif path == "/api/validate-yaml":  # of a model card
                answer = {"errors": [], "warnings": []}
            else:
                self._send(b"{}", with_body=True, status=404)
                return
            self._send(json.dumps(answer).encode(), with_body=True)

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, with_body: bool) -> None:
            path = self.path.split("?")[0]
            info, file = INFO.fullmatch(path), FILE.fullmatch(path)
            if info and info["revision"] in ("main", COMMIT):
                folder = root / info["kind"] / info["repo"]
                if folder.is_dir():
                    self._send(json.dumps(self._listing(folder, "/tree/" in path)).encode(), with_body)
                    return
            if file:
                content = root / (file["kind"] or "models/") / file["repo"] / file["file"]
                if content.is_file():
                    self._send(content.read_bytes(), with_body)
                    return
            self.send_response(404)
            self.send_header("X-Error-Code", "RevisionNotFound" if info else "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _listing(self, folder: Path, is_tree: bool) -> object:
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            if is_tree:
                return [
                    {"type": "file", "path": str(path.relative_to(folder)), "size": path.stat().st_size,
                     "oid": hashlib.sha1(path.read_bytes()).hexdigest()}
                    for path in files
                ]  # fmt: skip
            siblings = [{"rfilename": str(path.relative_to(folder))} for path in files]
            return {"id": "/".join(folder.parts[-2:]), "sha": COMMIT, "siblings": siblings, "tags": []}

        def _send(self, body: bytes, with_body: bool, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
