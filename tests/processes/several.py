"""A function run by several processes that have met, and what each of them returned."""

from __future__ import annotations

import multiprocessing
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gancore.runtime.distributed import SINGLE_PROCESS, ProcessGroup, connect


def on(world: int, function: Callable[..., Any], *arguments: Any, patience: float = 60) -> list[Any]:
    """``function(processes, *arguments)`` on each of ``world`` processes, forked from this one."""
    if world == 1:
        return [function(SINGLE_PROCESS, *arguments)]
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        meeting = (Path(folder) / "meeting").as_uri()
        pipes = [context.Pipe(duplex=False) for _ in range(world)]
        workers = [
            context.Process(
                target=_work,
                args=(ProcessGroup(r, world, r), meeting, patience, pipes[r][1], function, arguments),
            )
            for r in range(world)
        ]
        for worker in workers:
            worker.start()
        answers = [pipe.recv() if pipe.poll(patience) else TimeoutError("no answer") for pipe, _ in pipes]
        for worker in workers:
            worker.join(10)
            worker.kill()
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


def _work(processes, meeting, patience, pipe, function, arguments) -> None:
    import torch

    torch.set_num_threads(1)
    try:
        with connect(processes, patience, init_method=meeting):
            answer = function(processes, *arguments)
    except BaseException as error:
        answer = RuntimeError(f"rank {processes.rank}: {''.join(traceback.format_exception(error))}")
    pipe.send(answer)
