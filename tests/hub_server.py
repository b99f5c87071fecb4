"""A small hub on this machine: the requests of huggingface_hub that sharing a model makes, and no others."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar


@dataclass
class Hub:
    """Repositories by name: commits by revision, each the bytes of its files by name.

    ``private``: those that need the token ``secret``. ``sizes``: what the hub says in place of the true size.
    """

    address: str = ""
    repos: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def add(self, repo: str, files: dict[str, bytes], *revisions: str) -> str:
        """A commit, and the branches and tags that name it; returns its id."""
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        for revision in (commit, *(revisions or ("main",))):
            self.repos.setdefault(repo, {})[revision] = files
        return commit

    def commit_of(self, repo: str, revision: str) -> str:
        files = self.repos[repo][revision]
        return next(name for name, each in self.repos[repo].items() if each is files and len(name) == 40)


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[Hub]

    def log_message(self, *words: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._give_file(with_body=False)

    def do_GET(self) -> None:
        self._give_file(with_body=True)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.requests.append(f"POST {self.path}")
        if self.headers.get("Authorization") != "Bearer secret":
            return self._answer(401, {"error": "Invalid username or password."})
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}"
            if asked.get("visibility") == "private" or asked.get("private"):
                self.hub.private.add(repo)
            if repo in self.hub.repos:
                return self._answer(409, {"error": "exists", "url": f"{self.hub.address}/{repo}"})
            self.hub.add(repo, {})
            return self._answer(200, {"url": f"{self.hub.address}/{repo}", "name": repo})
        if self.path == "/api/validate-yaml":
            return self._answer(200, {"errors": [], "warnings": []})
        _, _, _, owner, name, what, revision = self.path.partition("?")[0].split("/", 6)
        if what == "preupload":
            modes = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for each in json.loads(body)["files"]
            ]
            return self._answer(200, {"files": modes})
        return self._commit(f"{owner}/{name}", revision, body)

    def _commit(self, repo: str, revision: str, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines()]
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"])
            for line in lines
            if line["key"] == "file"
        }
        commit = self.hub.add(repo, {**self.hub.repos[repo].get(revision, {}), **files}, revision)
        url = f"{self.hub.address}/{repo}/commit/{commit}"
        self._answer(200, {"success": True, "commitOid": commit, "commitUrl": url})

    def _give_file(self, with_body: bool) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        if self.path.startswith("/api/"):
            return self._answer(404, {"error": "no"})
        owner, name, _, revision, file = self.path.lstrip("/").partition("?")[0].split("/", 4)
        repo = f"{owner}/{name}"
        may_read = repo not in self.hub.private or self.headers.get("Authorization") == "Bearer secret"
        if repo not in self.hub.repos or not may_read:
            return self._answer(401, {"error": "no"}, {"X-Error-Code": "RepoNotFound"})
        if revision not in self.hub.repos[repo]:
            return self._answer(404, {"error": "no"}, {"X-Error-Code": "RevisionNotFound"})
        commit = {"X-Repo-Commit": self.hub.commit_of(repo, revision)}
        data = self.hub.repos[repo][revision].get(file)
        if data is None:
            return self._answer(404, {"error": "no"}, {"X-Error-Code": "EntryNotFound", **commit})
        self.send_response(200)
        for key, value in {**commit, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(self.hub.sizes.get(file, len(data))))
        self.end_headers()
        if with_body:
            self.wfile.write(data)
        return None

    def _answer(self, code: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(content).encode()
        self.send_response(code)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def local_hub() -> Iterator[Hub]:
    """A hub at a port of 127.0.0.1."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
