"""The downloader against a server of its own, which cuts, lies, redirects and forgets."""

import contextlib
import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from refusals import refused

from gancore.data.download import download
from gancore.errors import DataError

BODY = bytes(range(256)) * 4000  # about 1 MB
SHA256 = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """``/cut`` breaks off every transfer after 300,000 bytes; ``/plain`` knows no ranges."""

    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get("Range")))
        if self.path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/missing":
            self.send_error(404)
        elif self.path == "/busy" and len(self.server.seen) < 3:
            self.send_error(503)
        else:
            self.send_body()

    def send_body(self):
        start = 0
        wanted = self.headers.get("Range")
        if wanted and self.path != "/plain":
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(BODY):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(BODY)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(BODY) - start))
        self.end_headers()
        body = BODY[start:]
        self.wfile.write(body[:300_000] if self.path == "/cut" else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.seen, server.redirects = [], {}
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(url, target, **options):
    return download(url, target, options.pop("sha256", SHA256), pause_seconds=0.001, **options)


def test_a_file_arrives_whole_and_its_size_is_shown(server, tmp_path):
    lines, steps = [], []
    target = get(
        f"{server.url}/file",
        tmp_path / "new" / "f",
        announce=lines.append,
        progress=lambda *p: steps.append(p),
    )
    assert target.read_bytes() == BODY
    assert "1.0 MB" in lines[0] and steps[-1] == (len(BODY), len(BODY))
    assert [path.name for path in target.parent.iterdir()] == ["f"]


def test_what_is_there_already_is_not_fetched_again(server, tmp_path):
    (tmp_path / "f").write_bytes(BODY)
    get(f"{server.url}/file", tmp_path / "f")
    assert server.seen == []


def test_a_broken_transfer_is_carried_on_where_it_ended(server, tmp_path):
    assert get(f"{server.url}/cut", tmp_path / "f").read_bytes() == BODY
    assert [wanted for _, wanted in server.seen] == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_a_later_call_carries_on_too(server, tmp_path):
    (tmp_path / "f.part").write_bytes(BODY[:1000])
    assert get(f"{server.url}/file", tmp_path / "f").read_bytes() == BODY
    assert server.seen == [("/file", "bytes=1000-")]


def test_a_server_without_ranges_sends_it_all_again(server, tmp_path):
    (tmp_path / "f.part").write_bytes(BODY[:1000])
    assert get(f"{server.url}/plain", tmp_path / "f").read_bytes() == BODY


def test_a_whole_part_needs_only_its_name(server, tmp_path):
    (tmp_path / "f.part").write_bytes(BODY)
    assert get(f"{server.url}/file", tmp_path / "f").read_bytes() == BODY


@pytest.mark.parametrize("size", [1000, len(BODY), len(BODY) + 10])
def test_a_part_of_something_else_is_thrown_away(server, tmp_path, size):
    (tmp_path / "f.part").write_bytes(b"x" * size)
    assert get(f"{server.url}/file", tmp_path / "f").read_bytes() == BODY


def test_a_wrong_hash_names_both_and_keeps_nothing(server, tmp_path):
    with pytest.raises(DataError) as error:
        get(f"{server.url}/file", tmp_path / "f", sha256="0" * 64)
    assert SHA256 in str(error.value) and "0" * 64 in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_not_tried_again(server, tmp_path):
    with refused(DataError, 404):
        get(f"{server.url}/missing", tmp_path / "f")
    assert len(server.seen) == 1


def test_a_busy_server_is_tried_again(server, tmp_path):
    assert get(f"{server.url}/busy", tmp_path / "f").read_bytes() == BODY
    assert len(server.seen) == 3


def test_redirects_are_followed(server, tmp_path):
    server.redirects["/old"] = "/file"
    assert get(f"{server.url}/old", tmp_path / "f").read_bytes() == BODY


@pytest.mark.parametrize("elsewhere", ["file:///etc/hostname", "ftp://127.0.0.1/file"])
def test_redirects_out_of_the_web_are_refused(server, tmp_path, elsewhere):
    server.redirects["/old"] = elsewhere
    with pytest.raises(DataError):
        get(f"{server.url}/old", tmp_path / "f")


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/f", "/etc/hostname"])
def test_only_the_web_is_downloaded(tmp_path, url):
    with refused(DataError, url, fix="http"):
        get(url, tmp_path / "f")


def test_no_server_is_one_clear_line(server, tmp_path):
    lines = []
    with refused(DataError, "downloaded"):
        get("http://127.0.0.1:9/f", tmp_path / "f", attempts=3, announce=lines.append)
    assert len(lines) == 2


def test_an_unwritable_target_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    with refused(DataError, tmp_path / "file" / "f"):
        get(f"{server.url}/file", tmp_path / "file" / "f")


class Hostile(BaseHTTPRequestHandler):
    """A server that means no good, or is broken; by path."""

    def do_GET(self):
        self.server.seen.append(self.path)
        getattr(self, self.path.strip("/").partition("?")[0])()

    def answer(self, code, *headers, body=b""):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def malformed(self):
        self.answer(302, ("Location", "http://[::1"))

    def no_port(self):
        self.answer(302, ("Location", "http://127.0.0.1:port/x"))

    def foreign_letters(self):
        self.answer(302, ("Location", "http://127.0.0.1:1/\xff\xfe"))

    def endless_number(self):
        self.answer(200, ("Content-Length", "9" * 5000), body=b"x" * 100)

    def superscript(self):
        self.answer(200, ("Content-Length", "\xb2"), body=b"x" * 100)

    def alternating(self):
        sent = 2000 if len(self.server.seen) % 2 else 1000
        self.answer(200, ("Content-Length", "5000"), body=b"x" * sent)

    def unsatisfiable(self):
        self.answer(416)

    def too_large(self):
        self.answer(200, ("Content-Length", str(10**12)), body=b"x" * 100)

    def without_end(self):
        self.answer(200)
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(bytes(100_000))

    def dripping(self):
        self.answer(200, ("Content-Length", str(len(BODY))))
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"x")
                time.sleep(0.02)

    def control(self):
        self.send_response(404, "\x1b]0;owned\x07")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def hostile(server):
    server.RequestHandlerClass = Hostile
    return server


@pytest.mark.parametrize(
    "path",
    ["malformed", "no_port", "foreign_letters", "endless_number", "superscript", "unsatisfiable", "control"],
)
def test_an_answer_that_makes_no_sense_is_one_clear_line(hostile, tmp_path, path):
    with refused(DataError, path):
        get(f"{hostile.url}/{path}", tmp_path / "f", attempts=2)
    assert not (tmp_path / "f").exists()


def test_an_answer_416_to_no_range_does_not_speak_of_the_disk(hostile, tmp_path):
    with refused(DataError, 416, fix="URL"):
        get(f"{hostile.url}/unsatisfiable", tmp_path / "f")
    assert hostile.seen == ["/unsatisfiable"]


@pytest.mark.parametrize("url", ["http://[::1", "http://exa mple:80x/", "https://\x00/"])
def test_an_address_that_is_none_is_one_clear_line(tmp_path, url):
    with refused(DataError):
        get(url, tmp_path / "f", attempts=1)


def test_an_address_of_any_letters_is_fetched(server, tmp_path):
    assert get(f"{server.url}/fil\u00e9 \u4e2d", tmp_path / "f").read_bytes() == BODY
    assert server.seen == [("/fil%C3%A9%20%E4%B8%AD", None)]


def test_lengths_that_go_up_and_down_are_no_headway(hostile, tmp_path):
    with refused(DataError, "alternating"):
        get(f"{hostile.url}/alternating", tmp_path / "f", attempts=3)
    assert len(hostile.seen) <= 4


@pytest.mark.parametrize("path", ["too_large", "without_end"])
def test_a_file_larger_than_was_expected_is_not_taken(hostile, tmp_path, path):
    with refused(DataError, path, "larger"):
        get(f"{hostile.url}/{path}", tmp_path / "f", most_bytes=3_000_000)
    assert list(tmp_path.iterdir()) == []


def test_a_transfer_that_would_not_end_is_given_up(hostile, tmp_path, monkeypatch):
    monkeypatch.setattr("gancore.data.download.MIN_TIMEOUT_SECONDS", 0.2)
    with refused(DataError, "dripping"):
        get(f"{hostile.url}/dripping", tmp_path / "f")
    assert len(hostile.seen) == 1
