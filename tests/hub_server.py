"""A small hub on this machine: the requests that models and data sets make, and no others."""

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
from urllib.parse import unquote


@dataclass
class Hub:
    """Repositories by name (of data sets ``datasets/OWNER/NAME``): commits by revision, each its files.

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
        path = self.path.partition("?")[0].lstrip("/")
        if path.startswith("api/datasets/"):
            return self._describe(*path.split("/", 6)[2:])
        if path.startswith("api/"):
            return self._answer(404, {"error": "no"})
        kind = "datasets/" if path.startswith("datasets/") else ""
        owner, name, _, revision, file = unquote(path.removeprefix(kind)).split("/", 4)
        repo = f"{kind}{owner}/{name}"
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

    def _describe(
        self, owner: str, name: str, what: str = "", revision: str = "main", folder: str = ""
    ) -> None:
        """A data set (its files), or the content of a folder of it."""
        repo = f"datasets/{owner}/{name}"
        if revision not in self.hub.repos.get(repo, {}):
            return self._answer(401, {"error": "no"}, {"X-Error-Code": "RepoNotFound"})
        files, commit = self.hub.repos[repo][revision], self.hub.commit_of(repo, revision)
        if what != "tree":
            siblings = [{"rfilename": file, "size": len(data)} for file, data in files.items()]
            return self._answer(200, {"id": f"{owner}/{name}", "sha": commit, "siblings": siblings})
        below = {file: data for file, data in files.items() if file.startswith(folder and f"{folder}/")}
        if not below:
            return self._answer(404, {"error": "no"}, {"X-Error-Code": "EntryNotFound"})
        return self._answer(200, _tree(below, folder, "recursive=True" in self.path))

    def _answer(self, code: int, content: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(content).encode()
        self.send_response(code)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _tree(files: dict[str, bytes], folder: str, recursive: bool) -> list[dict[str, Any]]:
    """The files below a folder, and the folders there; without ``recursive`` only those in it."""
    start = f"{folder}/" if folder else ""
    found: dict[str, dict[str, Any]] = {}
    for name, data in files.items():
        parts = name.removeprefix(start).split("/")
        for depth in range(1, len(parts)):
            path = start + "/".join(parts[:depth])
            found[path] = {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
        found[name] = {"type": "file", "path": name, "oid": hashlib.sha1(data).hexdigest(), "size": len(data)}
    return [each for path, each in found.items() if recursive or "/" not in path.removeprefix(start)]


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
