"""One training on one process or on several: here, in processes started here, or in those of a launcher.

The first process of several lives the run's :class:`Lifetime`; the others follow it round by round.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from gancore.config import RunConfig
from gancore.errors import ConfigError, printable
from gancore.plugins.foreign import on_stderr
from gancore.runtime.signals import Interrupted, pass_on, unhandled
from gancore.training.lifetime import Lifetime, RunResult
from gancore.training.placing import check_config
from gancore.training.progress import Mode, open_progress
from gancore.training.run import RunFolder

if TYPE_CHECKING:
    from gancore.domain import Data
    from gancore.runtime.processes import Processes


@dataclass(frozen=True)
class Order:
    """What is to be trained, where, and how it is shown.

    ``data``: rows at hand, for one process; else those that the configuration names are opened.
    """

    run: RunFolder
    config: RunConfig
    data_root: Path | None = None
    init_from: Path | None = None
    force: bool = False
    progress: Mode = "plain"
    strict_plugins: bool = False
    data: Data | None = None


def carry_out(make_order: Callable[[], Order], devices: int | None) -> RunResult:
    """Train on ``devices`` processes; under a launcher (it sets RANK) on those that it started."""
    launcher = _launcher()
    if launcher is not None:
        _check_launcher(launcher, devices)
        return _join_launcher(launcher, make_order)
    order = make_order()
    if devices is None or devices == 1:
        return play(order)
    from gancore.training.workers import spawn

    return spawn(order, devices)


def play(
    order: Order, processes: Processes | None = None, asked: Callable[[], str] | None = None
) -> RunResult:
    """This process's part of the training; one at a time in a process."""
    from gancore.plugins import plugins

    plugins().strict = order.strict_plugins
    if processes is not None and not processes.first:
        from gancore.training.follower import follow

        with _alone(order), _showing(order):
            return follow(order.run, order.config, order.data_root, processes)
    plugins().load_all()  # before the run has a folder: one may hang
    with order.run.lock() as lock, _alone(order), _showing(order) as stream:
        check_config(order.run, order.config, order.force)
        progress = open_progress(order.progress, stream)
        return Lifetime(
            run=order.run,
            lock=lock,
            config=order.config,
            progress=progress,
            data_root=order.data_root,
            init_from=order.init_from,
            force=order.force,
            processes=processes,
            asked=asked,
            data=order.data,
        ).play()


@contextmanager
def _showing(order: Order) -> Iterator[IO[str] | None]:
    """The stream of the progress; that of JSON is stdout, where nothing else is printed meanwhile."""
    if order.progress != "json":
        yield sys.stderr
        return
    stdout = sys.stdout
    with on_stderr():
        yield stdout


def _alone(order: Order) -> AbstractContextManager[None]:
    from gancore.runtime.ambient import training_alone

    say = order.progress not in ("none", "json")

    def tell(line: str) -> None:
        if say:
            print(printable(f"{order.run.path} {line}"), file=sys.stderr)

    return training_alone(tell)


def heed(result: RunResult) -> RunResult:
    """The result of a training; a signal that stopped it now reaches whom it was meant for.

    Raises:
        Interrupted: Python's own handler of Ctrl-C, or the program's handler, ends the program.
        SystemExit: the signal that nobody handles ends the program.
    """
    if result.stopped_by:
        number = signal.Signals[result.stopped_by]
        try:
            pass_on(number)
        except KeyboardInterrupt as error:
            raise Interrupted(number, result) from error
    return result


def _launcher() -> tuple[int, int, int] | None:
    """(rank, world, local rank) as torchrun and its like set them; None: there is no launcher.

    Raises:
        ConfigError: the variables say that there is one, and do not say where its processes meet.
    """
    try:
        rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        local = int(os.environ.get("LOCAL_RANK", rank))
    except (KeyError, ValueError):
        return None
    if world <= 1:
        return None
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise ConfigError(
            f"RANK={rank} and WORLD_SIZE={world} are set, {' and '.join(missing)} not: no launcher started"
            " this process",
            "unset RANK and WORLD_SIZE, or start the processes with torchrun",
        )
    return rank, world, local


def _check_launcher(launcher: tuple[int, int, int], devices: int | None) -> None:
    world = launcher[1]
    if devices not in (None, 1, world):
        raise ConfigError(
            f"--devices {devices}, but the launcher started {world} processes", "leave --devices out"
        )


def _join_launcher(launcher: tuple[int, int, int], make_order: Callable[[], Order]) -> RunResult:
    """The first process decides what is trained; the others read it from the store, and then they join."""
    from gancore.runtime.processes import Processes, joining, watch_parent
    from gancore.runtime.rendezvous import launcher_store, tell_by_store

    processes = Processes(*launcher)
    watch_parent(os.getppid())
    store = launcher_store(processes)
    order: Order = tell_by_store(store, processes, make_order)
    with ExitStack() as stack:
        with unhandled():
            stack.enter_context(joining(processes, order.config.upkeep.peer_seconds, store=store))
        return play(order, processes)
