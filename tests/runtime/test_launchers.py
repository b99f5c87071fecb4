"""Variables that a launcher left, processes that do not come, cores not allowed, parents that are gone."""

from __future__ import annotations

import os
import socket
import threading

import pytest
from torch.distributed import HashStore

from gancore.errors import ConfigError, ExitCode, LostProcessError
from gancore.runtime import distributed as module
from gancore.runtime.distributed import (
    ProcessGroup,
    available_cores,
    broadcast_by_store,
    exit_with_parent,
    launcher_store,
)
from gancore.training.launch import launch

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture
def launched(monkeypatch):
    """``launched(RANK=0, WORLD_SIZE=2)``: what stands in the environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return lambda **values: [monkeypatch.setenv(name, str(value)) for name, value in values.items()]


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("", 0))
        return free.getsockname()[1]


def never():
    raise AssertionError("nothing is to be trained")


def test_variables_without_a_place_to_meet_are_refused_with_the_fix(launched):
    launched(RANK=0, WORLD_SIZE=2)
    with pytest.raises(ConfigError) as error:
        launch(never, None)
    assert "MASTER_ADDR" in error.value.message and "unset RANK" in error.value.fix


@pytest.mark.parametrize(
    "left", [{"RANK": 0, "WORLD_SIZE": 1}, {"RANK": 3}, {"RANK": "x", "WORLD_SIZE": "y"}]
)
def test_variables_that_say_nothing_are_ignored(launched, left):
    launched(**left)
    with pytest.raises(AssertionError, match="nothing is to be trained"):
        launch(never, None)


def test_processes_that_do_not_come_are_said_in_time(launched, port):
    launched(RANK=0, WORLD_SIZE=2, MASTER_ADDR="localhost", MASTER_PORT=port)
    with pytest.raises(LostProcessError) as error:
        launcher_store(ProcessGroup(0, 2), timeout_seconds=0.5)
    assert "WORLD_SIZE=2" in error.value.message and "unset RANK" in error.value.fix
    assert error.value.exit_code == ExitCode.TEMPORARY_FAILURE


def test_a_port_that_is_taken_is_named(launched):
    with socket.socket() as used:
        used.bind(("", 0))
        used.listen()
        number = used.getsockname()[1]
        launched(RANK=0, WORLD_SIZE=2, MASTER_ADDR="localhost", MASTER_PORT=number)
        with pytest.raises(ConfigError, match=f"MASTER_PORT={number} is used"):
            launcher_store(ProcessGroup(0, 2), timeout_seconds=5)


@pytest.mark.parametrize("number", ["99999999", "abc"])
def test_a_port_that_is_none_is_named(launched, number):
    launched(RANK=0, WORLD_SIZE=2, MASTER_ADDR="localhost", MASTER_PORT=number)
    with pytest.raises(ConfigError, match="MASTER_PORT"):
        launcher_store(ProcessGroup(0, 2), timeout_seconds=1)


def test_what_the_first_process_makes_is_read_by_all():
    store, result = HashStore(), []
    thread = threading.Thread(
        target=lambda: result.append(broadcast_by_store(store, ProcessGroup(1, 2), never))
    )
    thread.start()
    assert broadcast_by_store(store, ProcessGroup(0, 2), lambda: {"seed": 3}) == {"seed": 3}
    thread.join()
    assert result == [{"seed": 3}]


def test_a_mistake_of_the_first_process_ends_the_others():
    def mistaken():
        raise ConfigError("no such key")

    store = HashStore()
    with pytest.raises(ConfigError):
        broadcast_by_store(store, ProcessGroup(0, 2), mistaken)
    with pytest.raises(LostProcessError):
        broadcast_by_store(store, ProcessGroup(1, 2), never)


@pytest.mark.parametrize(
    ("cpuset", "quota", "cores"),
    [
        (1, "max 100000", 1),
        (8, "max 100000", 8),
        (8, "200000 100000", 2),
        (8, "250000 100000", 3),
        (8, "10000 100000", 1),
        (8, "-1 100000", 8),
        (8, "nonsense", 8),
    ],
)
def test_cores_are_those_allowed(tmp_path, monkeypatch, cpuset, quota, cores):
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(module, "CGROUP_FILES", (("/no/such/file",), (str(tmp_path / "cpu.max"),)))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cpuset)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert available_cores() == cores


def test_a_process_whose_parent_went_before_it_was_watched_ends():
    pid = os.fork()
    if pid == 0:
        try:
            exit_with_parent(os.getppid() + 1)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
