"""What ``--data`` means, and where a named set is looked for."""

import hashlib
import io
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from refusals import refused

from gancore.data.cache import cache_folder, data_folder
from gancore.data.sources import fetch, resolve_source
from gancore.entries import SourceEntry
from gancore.errors import DataError

MADE = SourceEntry("rings", "made on the spot", "CC0-1.0")
BY_HAND = SourceEntry("rocks", "to be fetched by hand", "CC0-1.0", homepage="https://example.org/rocks")
ENTRIES = {entry.name: entry for entry in (BY_HAND, MADE)}


@pytest.fixture(autouse=True)
def no_home(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GANCORE_DATA", raising=False)


def find(given, root=None, entries=ENTRIES):
    lines = []
    return resolve_source(given, entries, root, lines.append), lines


def test_nothing_given_is_the_built_in_default():
    source, _ = find(None)
    assert (source.name, source.path, source.entry) == ("rings", None, MADE)
    assert find("rings")[0] == source


def test_a_path_is_a_path(tmp_path):
    source, _ = find(str(tmp_path))
    assert (source.name, source.path, source.entry) == (tmp_path.name, tmp_path, None)


@pytest.mark.parametrize("given", ["rigns", "no/such/place", "", "x" * 5000, "nul\0l"])
def test_what_is_neither_name_nor_path_is_refused(given):
    with refused(DataError, "folder"):
        find(given)


def test_the_nearest_name_is_told():
    with refused(DataError, "rigns", fix="rings"):
        find("rigns")


def test_a_data_root_that_is_not_there_is_refused(tmp_path):
    with refused(DataError, "nowhere"):
        find("rocks", tmp_path / "nowhere")


def test_a_name_is_looked_for_in_the_data_root_then_the_environment_then_the_cache(tmp_path, monkeypatch):
    places = [tmp_path / "root", tmp_path / "environment", data_folder()]
    monkeypatch.setenv("GANCORE_DATA", str(places[1]))
    places[0].mkdir()
    for place in reversed(places):
        (place / "rocks").mkdir(parents=True)
        assert find("rocks", places[0])[0].path == place / "rocks"


def test_a_sample_stands_in_and_says_so(tmp_path):
    (tmp_path / "rocks_sample").mkdir()
    source, lines = find("rocks", tmp_path)
    assert source.path == tmp_path / "rocks_sample" and "sample" in lines[0]
    (tmp_path / "rocks").mkdir()
    assert find("rocks", tmp_path)[0].path == tmp_path / "rocks"


def test_a_set_that_cannot_be_downloaded_says_where_it_is_from(tmp_path):
    with refused(DataError, "rocks", fix="https://example.org/rocks"):
        find("rocks", tmp_path)


def test_the_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("GANCORE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "gancore"


def test_without_a_home_the_cache_is_asked_for(tmp_path, monkeypatch):
    def unknown(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("GANCORE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", unknown)
    with pytest.raises(DataError) as error:
        cache_folder()
    assert "GANCORE_CACHE" in error.value.fix
    (tmp_path / "rocks").mkdir()
    assert find("rocks", tmp_path)[0].path == tmp_path / "rocks"  # what is found needs no cache


def test_sources_that_share_a_folder_are_found_in_it(tmp_path):
    sand = SourceEntry("sand", "finer", "CC0-1.0", homepage="https://example.org/rocks", folder="rocks")
    with refused(DataError, "sand", tmp_path / "rocks"):
        find("sand", tmp_path, entries={"rocks": BY_HAND, "sand": sand})
    (tmp_path / "rocks").mkdir()
    for name in ("rocks", "sand"):
        source = find(name, tmp_path, entries={"rocks": BY_HAND, "sand": sand})[0]
        assert source.path == tmp_path / "rocks" and source.name == name


@pytest.fixture
def served(tmp_path):
    """An entry whose archive, with one folder at its top, a local server holds; and what was asked of it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        bundle.writestr("pebbles-1.0/a.txt", "a")
    body = buffer.getvalue()
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}/pebbles.zip"
        files = {url: hashlib.sha256(body).hexdigest()}
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield SourceEntry("pebbles", "small stones", "CC-BY-4.0", files, 0.1, "https://example.org"), requests
        server.shutdown()
        thread.join()


def test_a_named_set_is_downloaded_once_with_its_licence_shown(served):
    entry, requested = served
    source, lines = find("pebbles", entries={"pebbles": entry})
    assert source.path == data_folder() / "pebbles"
    assert (source.path / "a.txt").read_text() == "a"
    assert "CC-BY-4.0" in lines[0]
    find("pebbles", entries={"pebbles": entry})
    assert requested == ["/pebbles.zip"]
    assert sorted(path.name for path in data_folder().iterdir()) == ["pebbles", "pebbles.lock"]


def test_nothing_is_downloaded_unless_asked_for_by_name(served):
    entry, requested = served
    find(None, entries={"pebbles": entry, **ENTRIES})
    with pytest.raises(DataError):
        find("pebble", entries={"pebbles": entry})
    assert requested == []


def test_an_interrupted_unpacking_is_not_taken_for_the_set(served, tmp_path):
    entry, _ = served
    (tmp_path / "x.part" / "content").mkdir(parents=True)
    (tmp_path / "x.part" / "content" / "half").write_text("")
    folder = fetch(entry, tmp_path / "x", lambda line: None)
    assert [path.name for path in folder.iterdir()] == ["a.txt"]
