"""Ends work that takes too long to be measured."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook


class TooSlowError(Exception):
    """What ran under a :func:`deadline` did not end in time."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Within, the first call of a module after ``seconds`` raises TooSlowError.

    Samplers that walk step by step call modules at every step, so they are stopped soon after.
    """
    end = time.perf_counter() + seconds

    def check(module: nn.Module, inputs: object) -> None:
        if time.perf_counter() > end:
            raise TooSlowError

    handle = register_module_forward_pre_hook(check)
    try:
        yield
    finally:
        handle.remove()
