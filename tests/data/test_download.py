"""The downloader against a server of its own, which cuts, lies, redirects and forgets."""

import hashlib
import threading
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
    with refused(DataError, "downloaded"):
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
