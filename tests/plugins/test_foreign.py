"""What the code of a plugin does at its import reaches neither stdout nor the end of the program."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest
from refusals import names, refused

from gancore import CommandEntry, LossEntry, PluginError
from gancore.plugins import imports
from gancore.plugins.faults import ExitCalledError, PluginId
from gancore.plugins.plugin import MAX_ENTRIES

HEAD = "from gancore import hookimpl, LossEntry, DomainEntry\n"
LOSSES = (
    HEAD + "@hookimpl\ndef gancore_losses():\n    {deed}\n    return [LossEntry('good', 'reef:GOOD', '')]\n"
)
PLUGIN = PluginId("reef", "reef", "gancore-reef", "1.2")


@pytest.mark.parametrize("place", ["import", "hook", "target", "class"])
def test_what_a_plugin_prints_goes_to_stderr(site, capsys, place):
    said = f"print({place!r})"
    modules = {
        "reef": f"{said if place == 'import' else ''}\n"
        + LOSSES.format(deed=said if place == "hook" else ""),
        "reef_domain": (said if place == "target" else "")
        + "\nfrom gancore import Domain\nclass Reef(Domain):\n    name = 'reef'\n"
        + f"    def __init__(self):\n        {said if place == 'class' else 'pass'}\n",
    }
    modules["reef"] += (
        "@hookimpl\ndef gancore_domains():\n    return [DomainEntry('reef', 'reef_domain:Reef', '')]\n"
    )
    site.install("gancore-reef", modules)
    assert site.plugins(strict=True).load_domain("reef").name == "reef"
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", f"{place}\n")
    print("after")
    assert capsys.readouterr().out == "after\n"


def test_stdout_is_back_when_the_last_of_several_threads_is_done(capsys):
    inside, go = threading.Event(), threading.Event()

    def other() -> None:
        with imports.stdout_to_stderr():
            inside.set()
            go.wait(10)

    thread = threading.Thread(target=other)
    with imports.stdout_to_stderr():
        thread.start()
        inside.wait(10)
    print("still")
    go.set()
    thread.join()
    print("again")
    output = capsys.readouterr()
    assert (output.out, output.err) == ("again\n", "still\n")


@pytest.mark.parametrize("source", ["import os\nos._exit(0)", LOSSES.format(deed="import os; os._exit(0)")])
def test_a_plugin_cannot_end_the_program(site, capsys, source):
    site.install("gancore-reef", {"reef": source})
    site.install_tides()
    plugins = site.plugins()
    assert plugins.load_domain("tides").name == "tides"
    plugins.load_all()
    (output,) = capsys.readouterr().err.splitlines()
    for word in ("gancore-reef", "os._exit", "reef.py"):
        assert names(output, word)


def test_os_exit_is_itself_elsewhere():
    """In forks, in other threads, and once the plugin is imported."""
    with imports.forbid_exit():
        kept = os._exit
        with pytest.raises(ExitCalledError):
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    pid = os.fork()
    if pid == 0:
        kept(8)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 8


def test_an_import_that_hangs_is_told_of_and_can_be_interrupted(site, capsys, monkeypatch):
    monkeypatch.setattr(imports, "LIGHT_SECONDS", 0.05)
    site.install("gancore-reef", {"reef": "import time\ntime.sleep(60)"})

    def interrupt() -> None:
        deadline = time.monotonic() + 30
        while "reef" not in sys.modules and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        site.plugins().load_all()
    assert time.monotonic() - began < 30
    (output,) = capsys.readouterr().err.splitlines()
    for word in ("gancore-reef", "1.2", "GANCORE_DISABLE_PLUGINS"):
        assert names(output, word)


@pytest.mark.parametrize(("kind", "advised"), [(CommandEntry, False), (LossEntry, True)])
def test_a_slow_import_of_what_the_user_runs_does_not_advise_to_disable_it(
    site, capsys, monkeypatch, kind, advised
):
    monkeypatch.setattr(imports, "HEAVY_SECONDS", 0.05)
    module = f"slow_{kind.__name__}"
    (site.folder / f"{module}.py").write_text("import time\ntime.sleep(0.3)\nTARGET = 1\n")
    assert imports.import_object(kind("reef", f"{module}:TARGET", ""), PLUGIN) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert names(line, module) and ("GANCORE_DISABLE_PLUGINS" in line) is advised


def test_a_quick_import_is_not_told_of(capsys):
    with imports.plugin_import(PLUGIN, 0.2):
        pass
    time.sleep(0.3)
    assert capsys.readouterr().err == ""


def test_an_endless_generator_of_records_ends(site, capsys):
    endless = "from itertools import count\nfor n in count(): yield LossEntry(f'loss{n}', 'reef:LOSS', '')"
    source = HEAD + "@hookimpl\ndef gancore_losses():\n    " + endless.replace("\n", "\n    ")
    site.install("gancore-reef", {"reef": source})
    site.install_tides()
    plugins = site.plugins()
    assert plugins.entries("gancore_losses") == []
    (output,) = capsys.readouterr().err.splitlines()
    for word in ("gancore-reef", f"{MAX_ENTRIES:,}", "gancore_losses"):
        assert names(output, word)
    assert plugins.load_domain("tides").name == "tides"


@pytest.mark.parametrize("raised", ["ValueError('no text')", "SystemExit(0)"])
def test_an_error_without_a_text_loses_only_its_plugin(site, capsys, raised):
    source = f"class MuteError(Exception):\n    def __str__(self):\n        raise {raised}\nraise MuteError"
    site.install("gancore-reef", {"reef": source})
    site.install_tides()
    plugins = site.plugins()
    plugins.load_all()
    (output,) = capsys.readouterr().err.splitlines()
    for word in ("gancore-reef", "1.2", "MuteError", "reef.py:4"):
        assert names(output, word)
    assert plugins.load_domain("tides").name == "tides"


def test_strict_says_it_too(site):
    site.install("gancore-reef", {"reef": "import os\nos._exit(0)"})
    with refused(PluginError, "gancore-reef", "os._exit"):
        site.plugins(strict=True).load_all()
