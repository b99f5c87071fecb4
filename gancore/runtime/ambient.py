"""Settings of torch that change results are pinned while gancore works, and restored afterwards.

A model is a function of its configuration and seed, not of what its caller has set. Some settings belong to
the thread, others to the whole process; these are restored by the last of the threads that need them pinned.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Setting:
    """One setting of the whole process. ``value``: what gancore works under, or a function of what was."""

    read: Callable[[], Any]
    write: Callable[[Any], None]
    value: Any

    def pin(self) -> Any:
        """Write the value; returns the one before."""
        before = self.read()
        self.put(self.value(before) if callable(self.value) else self.value)
        return before

    def put(self, value: Any) -> None:
        if self.read() != value:
            self.write(value)


def _attribute(home: Any, name: str, value: Any) -> Setting:
    return Setting(lambda: getattr(home, name), lambda new: setattr(home, name, new), value)


def _is_deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _homes_of_precision() -> list[Any]:
    """Where torch keeps the precision of float32 products, the one for all first: it shows in the others."""
    mkldnn = [getattr(torch.backends.mkldnn, kind) for kind in ("matmul", "conv", "rnn")]
    return [torch.backends, *mkldnn, torch.backends.cuda.matmul]


def _read_products() -> tuple[str, ...]:
    """torch's older setting (empty where it refuses: both interfaces were used), then each of the newer."""
    try:
        old = torch.get_float32_matmul_precision()
    except RuntimeError:
        old = ""
    return old, *(home.fp32_precision for home in _homes_of_precision())


def _write_products(values: tuple[str, ...]) -> None:
    old, *new = values
    if old:
        torch.set_float32_matmul_precision(old)
    for home, value in zip(_homes_of_precision(), new, strict=True):
        home.fp32_precision = value


def _pin_products(values: tuple[str, ...]) -> tuple[str, ...]:
    """Exact products: no tf32, no bf16."""
    if values[0] == "highest" and not {"tf32", "bf16"} & set(values):
        return values
    return "highest", *("none" for _ in values[1:])


SETTINGS = (
    Setting(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    Setting(_read_products, _write_products, _pin_products),
    Setting(_is_deterministic, _set_deterministic, (False, False)),
    _attribute(torch.backends.cudnn, "benchmark", False),
    _attribute(torch.backends.cudnn, "deterministic", False),
)


class _Process:
    """The settings of the process, pinned from the first that asks to the last."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._users = 0
        self._before: list[Any] = []

    @contextlib.contextmanager
    def pinned(self) -> Iterator[None]:
        with self._guard:
            if self._users == 0:
                self._before = [setting.pin() for setting in SETTINGS]
            self._users += 1
        try:
            yield
        finally:
            with self._guard:
                self._users -= 1
                if self._users == 0:
                    for setting, value in zip(SETTINGS, self._before, strict=True):
                        setting.put(value)


_PROCESS = _Process()
_TRAINING = threading.RLock()
_BUILDING = threading.RLock()


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """Within: float32 by default, on the CPU, exact products, no autocast, gradients where they are due."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_PROCESS.pinned())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        yield


@contextlib.contextmanager
def training_alone(announce: Callable[[str], None]) -> Iterator[None]:
    """One training at a time in this process; waits, and says so, while another thread trains.

    torch's cache of autocast, its generators and ``train.deterministic`` belong to the whole process: two
    trainings at once would end with other weights than one after the other.
    """
    if not _TRAINING.acquire(blocking=False):
        announce(
            "waits for the training of another thread: a process trains one model at a time; "
            "to train several at once start several processes, or use `gancore compare --jobs`"
        )
        _TRAINING.acquire()
    try:
        with pinned(), torch.enable_grad():
            yield
    finally:
        _TRAINING.release()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's own generator at ``seed``, for one thread at a time; afterwards as it was."""
    with _BUILDING, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
