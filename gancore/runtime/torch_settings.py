"""Sets the settings of torch that change results while gancore computes, and restores them afterwards.

A model is a function of its configuration and seed, not of the settings of the caller. Some settings are
those of a thread, others those of the process. The last thread that needs settings of the process restores
them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class TorchSetting:
    """One setting of the process. ``value`` is the value for gancore, or a function of the former value."""

    read: Callable[[], Any]
    write: Callable[[Any], None]
    value: Any

    def pin(self) -> Any:
        """Set the value; return the former value."""
        before = self.read()
        self.set(self.value(before) if callable(self.value) else self.value)
        return before

    def set(self, value: Any) -> None:
        if self.read() != value:
            self.write(value)


def _attribute(home: Any, name: str, value: Any) -> TorchSetting:
    return TorchSetting(lambda: getattr(home, name), lambda new: setattr(home, name, new), value)


def _is_deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _precision_backends() -> list[Any]:
    """The objects with torch's precision of float32 products; the first is global and changes the others."""
    mkldnn = [getattr(torch.backends.mkldnn, kind) for kind in ("matmul", "conv", "rnn")]
    return [torch.backends, *mkldnn, torch.backends.cuda.matmul]


def _read_matmul_precision() -> tuple[str, ...]:
    """The older setting of torch (empty if the newer one was used and it cannot be read), then the newer."""
    try:
        old = torch.get_float32_matmul_precision()
    except RuntimeError:
        old = ""
    return old, *(home.fp32_precision for home in _precision_backends())


def _write_matmul_precision(values: tuple[str, ...]) -> None:
    old, *new = values
    if old:
        torch.set_float32_matmul_precision(old)
    for home, value in zip(_precision_backends(), new, strict=True):
        home.fp32_precision = value


def _pin_matmul_precision(values: tuple[str, ...]) -> tuple[str, ...]:
    """The values for float32 products without tf32 and bf16."""
    if values[0] == "highest" and not {"tf32", "bf16"} & set(values):
        return values
    return "highest", *("none" for _ in values[1:])


SETTINGS = (
    TorchSetting(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    TorchSetting(_read_matmul_precision, _write_matmul_precision, _pin_matmul_precision),
    TorchSetting(_is_deterministic, _set_deterministic, (False, False)),
    _attribute(torch.backends.cudnn, "benchmark", False),
    _attribute(torch.backends.cudnn, "deterministic", False),
)


class _ProcessSettings:
    """Settings of the process, which are set while at least one thread needs them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._before: list[Any] = []

    @contextlib.contextmanager
    def pinned(self) -> Iterator[None]:
        with self._lock:
            if self._depth == 0:
                self._before = [setting.pin() for setting in SETTINGS]
            self._depth += 1
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0:
                    for setting, value in zip(SETTINGS, self._before, strict=True):
                        setting.set(value)


_PROCESS = _ProcessSettings()
_TRAINING = threading.RLock()
_BUILDING = threading.RLock()


@contextlib.contextmanager
def pinned_settings() -> Iterator[None]:
    """Context manager with float32 and CPU as defaults, no tf32, no autocast and no inference mode."""
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
def one_training_at_a_time(announce: Callable[[str], None]) -> Iterator[None]:
    """Context manager that lets one thread train at a time; it announces if it waits for another thread.

    The autocast cache and the generators of torch and ``train.deterministic`` are those of the process:
    two trainings at the same time would end with other weights than one after the other.
    """
    if not _TRAINING.acquire(blocking=False):
        announce(
            "waiting for the training of another thread: a process trains one model at a time; "
            "to train several at once, start several processes or use `gancore compare --jobs`"
        )
        _TRAINING.acquire()
    try:
        with pinned_settings(), torch.enable_grad():
            yield
    finally:
        _TRAINING.release()


@contextlib.contextmanager
def torch_seed(seed: int) -> Iterator[None]:
    """Context manager that seeds torch's global generators and restores them, for one thread at a time."""
    with _BUILDING, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
