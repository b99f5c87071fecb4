"""Trained models that a plugin brings: a folder, or the address of an archive."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from kit_site import Change
from refusals import names, refused

import gancore
from gancore.cli import main
from gancore.errors import ConfigError, DataError, PluginError
from gancore.model_lookup import find_model
from gancore.plugins import plugins
from gancore.testing import CheckResult, ConformanceKit

LIGHT = '    return [DomainEntry("tides", "gancore_tides.domain:TidesDomain", "series of values")]'
HOOK = """
from gancore import PretrainedModelEntry

@hookimpl
def gancore_models():
    return [PretrainedModelEntry("tides/harbour", {target!r}, "one gauge", domain={domain!r}, {rest})]
"""


@pytest.fixture
def brings(site, monkeypatch, tmp_path):
    """The scaffold's plugin with a model of this target."""
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))

    def call(target: str, rest: str = 'licence="CC0-1.0"', domain: str = "tides") -> None:
        site.install(
            Change("__init__.py", LIGHT, LIGHT + HOOK.format(target=target, rest=rest, domain=domain))
        )

    return call


@pytest.fixture
def harbour(site, tmp_path) -> Path:
    """A model folder."""
    site.install()
    settings = {"recipe": "dense", "steps": 2, "overrides": ["data.length=16"], "progress": "none"}
    return gancore.train("tides", **settings, out=tmp_path / "run").model


@pytest.fixture
def server(tmp_path):
    """Serves a folder, and counts what it is asked for."""
    folder = tmp_path / "served"
    folder.mkdir()
    requests: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *arguments: object) -> None:
            requests.append(self.path)

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{served.server_port}", requests
        served.shutdown()
        thread.join()


def check_of_models() -> CheckResult:
    """What the kit says of the models; and that it goes on behind it."""
    checked = ConformanceKit.for_name("tides").run()
    result = next(r for r in checked if r.check == "opens_models")
    assert next(checked).subject == "tides"
    return result


def test_a_folder_is_sampled_started_from_and_checked(brings, harbour, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    brings(str(harbour))
    assert main(["generate", "tides/harbour", "-n", "2", "--out", "samples", "--quiet"]) == 0
    words = ["--domain", "tides", "--recipe", "dense", "--set", "data.length=16", "--steps", "1"]
    assert main(["train", *words, "--init-from", "tides/harbour", "--out", "more"]) == 0
    assert names(capsys.readouterr().err, str(harbour))
    assert main(["models", "--json"]) == 0
    assert "tides/harbour" in [model["id"] for model in json.loads(capsys.readouterr().out)]
    assert check_of_models().state == "ok"


def test_an_archive_is_fetched_once(brings, harbour, server, tmp_path):
    folder, url, requested = server
    archive = Path(shutil.make_archive(str(folder / "harbour"), "zip", harbour.parent, "model"))
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    brings(f"{url}/harbour.zip", f'licence="CC0-1.0", sha256="{sha256}"')
    for _ in range(2):
        assert len(gancore.load("tides/harbour").sample(2)) == 2
    assert requested == ["/harbour.zip"]
    assert check_of_models().state == "ok"
    assert len(requested) == 1, "a check downloads nothing"
    (kept,) = (path for path in (tmp_path / "cache" / "models").iterdir() if path.is_dir())
    os.utime(kept, (0, 0))
    kept.with_name(f"{kept.name}.lock").unlink()
    messages: list[str] = []
    assert find_model("tides/harbour", messages.append) == kept
    assert messages == [] and not kept.with_name(f"{kept.name}.lock").exists(), (
        "it may lie where none is written"
    )
    assert kept.stat().st_mtime > 0, "reading it is using it"


def test_an_archive_of_another_content_is_refused(brings, server):
    folder, url, _ = server
    (folder / "harbour.zip").write_bytes(b"something else")
    brings(f"{url}/harbour.zip", f'sha256="{"0" * 64}"')
    with refused(DataError, f"{url}/harbour.zip"):
        find_model("tides/harbour")


@pytest.mark.parametrize(
    ("target", "rest", "named"),
    [
        ("harbour", "", "harbour"),
        ("gancore_tides.models:HARBOUR", "", "gancore_tides.models:HARBOUR"),
        ("https://example.org/a.zip", "", "sha256"),
        ("https://example.org/a.zip", "sha256='abc'", "sha256"),
        ("file:///etc", f"sha256={'0' * 64!r}", "file:///etc"),
    ],
)
def test_what_is_neither_is_told_when_the_plugin_is_loaded(brings, capsys, target, rest, named):
    brings(target, rest)
    assert plugins().entries("gancore_models") == []
    (output,) = capsys.readouterr().err.splitlines()
    for word in ("gancore-tides", "0.1.0", "tides/harbour", named):
        assert names(output, word)


def test_a_folder_that_holds_no_model_names_the_plugin(brings, tmp_path):
    brings(str(tmp_path / "nothing"))
    with refused(PluginError, "gancore-tides", "0.1.0", "tides/harbour", tmp_path / "nothing"):
        gancore.load("tides/harbour")
    assert names(check_of_models().text, "tides/harbour")


@pytest.mark.parametrize(
    ("rest", "domain", "word"), [("", "tides", "licence"), ('licence="CC0"', "audio", "audio")]
)
def test_a_record_that_says_other_things_than_the_model_is_a_breach(brings, harbour, rest, domain, word):
    brings(str(harbour), rest, domain)
    result = check_of_models()
    assert result.state == "failed" and names(result.text, word)


def test_a_model_of_a_domain_that_is_not_installed_is_not_looked_at(brings, harbour):
    config = json.loads((harbour / "config.json").read_text())
    (harbour / "config.json").write_text(json.dumps({**config, "domain": "ebb"}))
    brings(str(harbour), domain="ebb")
    result = check_of_models()
    assert result.state == "skipped" and names(result.reason, "ebb")


def test_a_name_that_no_plugin_has_is_a_users_mistake(brings, harbour, tmp_path):
    brings(str(harbour))
    with refused(ConfigError, "tides/harbor", fix="tides/harbour"):
        gancore.train("tides", init_from="tides/harbor", out=tmp_path / "other", progress="none")
    assert not (tmp_path / "other").exists()
