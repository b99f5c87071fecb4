"""What the functions of an adversarial loss look at, found by calling them once on logits of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.runtime.randomness import Key, global_draws

Values = Callable[[Tensor, Tensor], Tensor]
"""A function of (real logits, fake logits), each (rows, ...), to one value a row."""

ROWS, CUT = 8, 3


def check_rows(values: object, rows: int, name: str) -> None:
    """Raises ConfigError where what a loss returned has not one value for each of ``rows`` rows."""
    if not isinstance(values, Tensor):
        raise ConfigError(
            f"the {name}'s loss returns {type(values).__name__}", "return a tensor, one value for each row"
        )
    if values.dim() == 0 or len(values) != rows:
        seen = "one number" if values.dim() == 0 else f"{len(values)} values"
        raise ConfigError(
            f"the {name}'s loss returns {seen} for a batch of {rows} rows",
            "return one value for each row: leave out .mean() or .sum()",
        )


def require_rows(function: Values, name: str) -> None:
    """:func:`check_rows` on logits of our own; a function that cannot take those is checked in training."""
    tried = _call(function, *_logits())
    if tried is not None:
        check_rows(tried, ROWS, name)


def reads_real(function: Values) -> bool:
    """Whether the function does anything with its first argument. True where it cannot be tried."""
    real, fake = _logits()
    watched = real.as_subclass(_Watched)
    watched.reads = []
    return _call(function, watched, fake) is None or bool(watched.reads)


def couples_rows(function: Values) -> bool:
    """Whether the values of a batch are others than those of its parts. False where it cannot be tried."""
    logits = _logits()
    first, second = [x[:CUT] for x in logits], [x[CUT:] for x in logits]
    whole, again = _call(function, *logits), _call(function, *logits, seed=1)
    parts = _call(function, first[0], first[1]), _call(function, second[0], second[1])
    if whole is None or again is None or not torch.equal(whole, again):
        return False  # it draws numbers of its own: nothing can be compared
    if parts[0] is None or parts[1] is None:
        return True
    joined = torch.cat([parts[0], parts[1]])
    return joined.shape != whole.shape or not torch.allclose(whole, joined, rtol=1e-4, atol=1e-5)


class _Watched(Tensor):
    """A tensor that notes whether torch was asked to do anything with it."""

    reads: list[str]

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            for each in _flat([*args, *(kwargs or {}).values()]):
                if isinstance(each, cls) and "reads" in each.__dict__:
                    each.reads.append(getattr(func, "__name__", ""))
            return func(*args, **(kwargs or {}))


def _flat(args: Sequence[Any]) -> list[Any]:
    return [part for arg in args for part in (_flat(arg) if isinstance(arg, list | tuple) else [arg])]


def _logits() -> tuple[Tensor, Tensor]:
    """(rows,) each, far enough apart that a mean over rows shows."""
    key = Key.of("loss", "trial")
    return 2 * (key / "real").normal(ROWS), 2 * (key / "fake").normal(ROWS)


@torch.no_grad()
def _call(function: Values, real: Tensor, fake: Tensor, seed: int = 0) -> Tensor | None:
    """What it returns, the caller's generators left alone; None where it takes no logits like these."""
    with global_draws(Key.of("loss", "call", seed)):
        try:
            return function(real, fake)
        except Exception:
            return None
