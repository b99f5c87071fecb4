"""Every error is one line on stderr and an exit code that says whose mistake it is."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import gancore
from gancore.cli import main
from gancore.errors import BusyError, DataError, ExitCode, TrainingError
from gancore.run_folder import RunFolder, RunStatus
from gancore.runtime.signals import STOP_SIGNALS, signal_exit_code


@pytest.fixture
def failing(monkeypatch):
    """`gancore train` that ends in this error."""

    def end_in(error: BaseException) -> None:
        def train(domain, **arguments):
            raise error

        monkeypatch.setattr(gancore, "api", SimpleNamespace(train=train), raising=False)

    return end_in


@pytest.fixture
def complaint(capsys):
    def run(*words: str) -> tuple[int, str]:
        code = main(words)
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.endswith("\n")
        assert len(output.err.splitlines()) == 1, output.err
        return code, output.err.rstrip("\n")

    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "error: No such command 'trian'. Did you mean 'train'?; see `gancore --help`"),
        (["train", "--stesp", "3"], "--steps"),
        (["train", "--print-config", "--domain", "toy", "--steps", "many"], "train.steps: 'many' (--steps)"),
        (["train", "--print-config", "--domain", "toy", "--time", "3 days"], "unknown unit 'days' of time"),
        (["train", "--seconds", "3"], "No such option: --seconds"),
        (["train", "--print-config", "--domain", "toy", "--set", "upkeep.keep=3"], "'checkpoint.keep'"),
        (["train", "--steps"], "'--steps' requires an argument"),
        (["train", "extra"], "extra"),
        (["generate"], "no model is given"),
        (["generate", "a", "-n", "0"], "Invalid value for '-n'"),
        (["train", "--print-config"], "no domain is given; give --domain"),
        (["train", "--print-config", "--domain", "toi"], "did you mean 'toy'?"),
        (["train", "--print-config", "--domain", "toy", "--recipe", "lit"], "did you mean 'lite'?"),
        (["train", "--print-config", "--domain", "toy", "--set", "model.widht=3"], "did you mean 'width'?"),
        (["train", "--print-config", "--domain", "toy", "--config", "no.yaml"], "no.yaml: No such file"),
        (["train", "--print-config", "--domain", "toy", "--steps", "3", "--time", "4"], "one budget"),
        (["runs", "nowhere"], "runs folder nowhere: No such file or directory"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(complaint, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, line = complaint(*words)
    assert code == 2
    assert line.startswith("error: ")
    assert said in line


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            DataError("folder x: no\nrecordings", "name another"),
            2,
            "error: folder x: no recordings; name another",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), 75, "error: a/b: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "c"), 2, "error: c: Permission denied"),
        (MemoryError(), 4, "error: out of memory; make model.batch_size"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            4,
            "error: out of memory",
        ),
        (RuntimeError("DefaultCPUAllocator: you tried to allocate 3200000000 bytes"), 4, "of 3.2 GB"),
        (TrainingError("no finite gradient", "lower the rate"), 4, "error: no finite gradient; lower"),
        (BusyError("in use", "wait"), 75, "error: in use; wait"),
        (
            ZeroDivisionError("by\nzero"),
            1,
            "internal error: ZeroDivisionError: by zero; "
            "run again with --traceback (or GANCORE_TRACEBACK=1) and report it",
        ),
    ],
)
def test_what_goes_wrong_within_is_one_line_too(complaint, failing, error, code, said):
    failing(error)
    got, line = complaint("train", "--domain", "toy")
    assert got == code
    assert said in line


@pytest.mark.parametrize("requested", ["before", "after", "environment"])
def test_a_traceback_is_shown_to_those_who_ask(failing, capsys, monkeypatch, requested):
    failing(ZeroDivisionError("by zero"))
    words = ["train", "--domain", "toy"]
    if requested == "environment":
        monkeypatch.setenv("GANCORE_TRACEBACK", "1")
    else:
        words.insert(0 if requested == "before" else len(words), "--traceback")
    assert main(words) == 1
    output = capsys.readouterr().err
    assert "Traceback (most recent call last)" in output
    assert output.splitlines()[-1].startswith("internal error: ZeroDivisionError")


def test_an_interrupt_says_nothing_more(failing, capsys):
    failing(KeyboardInterrupt())
    assert main(["train", "--domain", "toy"]) == 130
    assert capsys.readouterr().err == ""


PROGRAM = "import sys; from gancore.cli import main; sys.exit(main(sys.argv[1:]))"


def test_what_a_terminal_cannot_show_is_escaped(tmp_path):
    RunFolder.create(tmp_path, "波").write_status(RunStatus("done"))

    def run(*words):
        environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
        return subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, env=environment)

    listed = run("runs", str(tmp_path))
    assert (listed.returncode, listed.stderr) == (0, b"")
    assert b"\\u6ce2" in listed.stdout
    refused = run(b"train", b"--print-config", b"--domain", b"\xff\xe9")
    assert refused.returncode == 2
    problem = b"error: domain: '\\udcff\\udce9' (--domain) is not a name"
    assert refused.stderr == problem + b"; give a domain's name\n"


def test_a_reader_that_goes_away_is_no_error():
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "train", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child.stdout.close()
    _, errors = child.communicate()
    assert errors == b""


def test_the_documented_exit_codes_are_those_of_the_code():
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    rows = re.findall(r"^\| ([\d, ]+) \|", page.partition("## Exit codes")[2], re.MULTILINE)
    documented = {int(code) for row in rows for code in row.split(",")}
    assert documented == {*ExitCode, *(signal_exit_code(number) for number in STOP_SIGNALS)}
