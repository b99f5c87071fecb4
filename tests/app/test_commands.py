"""``gancore app`` and what it writes for a hosted page, as their users meet them."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest
import yaml
from tiny_runs import start

from gancore.app.launch import open_page
from gancore.app.space import requirements, write_space
from gancore.errors import ConfigError


def test_without_gradio_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for call in (lambda: open_page("model"), lambda: write_space("model", tmp_path / "space")):
        with pytest.raises(ConfigError) as raised:
            call()
        assert "gancore[app]" in raised.value.fix


def test_no_such_model(tmp_path):
    with pytest.raises(ConfigError, match="tides"):
        open_page("tides")


def test_requirements_name_what_the_model_needs():
    lines = requirements({"plugins": {"gancore-tides": "1.2"}}).splitlines()
    assert any(re.fullmatch(r"gancore\[app\]==[\d.]+", line) for line in lines)
    assert "gancore-tides==1.2" in lines


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def answered(process: subprocess.Popen[str]) -> str:
    """The page at the address that a process prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found, line + process.communicate(timeout=60)[1]
    with urllib.request.urlopen(found[0], timeout=60) as page:
        return page.read().decode()


@pytest.mark.slow
def test_ctrl_c_ends_the_page_and_leaves_nothing(tiny_model, tmp_path):
    run = tiny_model("synthetic", "mlpgan")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = start("app", run, "--port", 0, folder=tmp_path, env={**os.environ, "TMPDIR": str(temporary)})
    assert "mlpgan" in answered(process)
    assert end(process) == (130, "", "")
    assert list(temporary.iterdir()) == [] and sorted(tmp_path.iterdir()) == [temporary]


@pytest.mark.slow
def test_a_hosted_page_starts_from_its_folder(tiny_model, tmp_path):
    folder = tmp_path / "space"
    written = write_space(tiny_model("synthetic", "mlpgan"), folder)
    assert set(written) == {path for path in folder.rglob("*") if path.is_file()}
    front = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    assert (front["sdk"], front["app_file"]) == ("gradio", "app.py")
    with pytest.raises(ConfigError, match="not empty"):
        write_space(tiny_model("synthetic", "mlpgan"), folder)
    moved = folder.rename(tmp_path / "moved")
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=moved,
        env={**os.environ, "GRADIO_SERVER_PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "mlpgan" in answered(process)
    assert end(process) == (0, "", "")
    here = sorted(path.name for path in moved.iterdir())
    assert here == [".gitattributes", "README.md", "app.py", "model", "requirements.txt"]
