"""What is posted is what is logged."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from http_logger import HTTPLogger, gancore_loggers


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words):
        """Nothing is printed."""


def test_every_step_is_posted(monkeypatch):
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.seen = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("GANCORE_POST", f"http://127.0.0.1:{server.server_port}/")
        HTTPLogger(Path("runs/first")).scalars(20, {"loss": 0.5, "norm": float("nan")})
        server.shutdown()
    assert server.seen == [{"run": "first", "step": 20, "loss": 0.5, "norm": None}]


def test_without_a_url_there_is_no_logger(monkeypatch):
    monkeypatch.delenv("GANCORE_POST", raising=False)
    assert gancore_loggers() == []
    monkeypatch.setenv("GANCORE_POST", "http://127.0.0.1:1/")
    assert [entry.name for entry in gancore_loggers()] == ["http"]
