"""Properties of a loss, found by calling it on test logits: does it read real logits, does it couple rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gancore.errors import ConfigError
from gancore.random import evaluation_key, fork_global_rng

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""From (real logits, fake logits), each (rows, ...), to one value per row."""

PROBE_ROWS, PROBE_SPLIT = 8, 3


def require_value_per_row(values: object, rows: int, name: str) -> None:
    """Raises ConfigError unless ``values``, returned by a loss, has one value for each of ``rows`` rows."""
    if not isinstance(values, Tensor):
        raise ConfigError(
            f"the {name}'s loss returns {type(values).__name__}", "return a tensor with one value per row"
        )
    if values.dim() == 0 or len(values) != rows:
        found = "one number" if values.dim() == 0 else f"{len(values)} values"
        raise ConfigError(
            f"the {name}'s loss returns {found} for a batch of {rows} rows",
            "return one value per row: leave out .mean() or .sum()",
        )


def probe_values_per_row(function: LossFunction, name: str) -> None:
    """:func:`require_value_per_row` on test logits. A function that fails on them is checked in training."""
    values = _try_call(function, *_logits())
    if values is not None:
        require_value_per_row(values, PROBE_ROWS, name)


def reads_real(function: LossFunction) -> bool:
    """Whether the function uses its first argument. True if it fails on test logits."""
    real, fake = _logits()
    probe = real.as_subclass(_ProbeTensor)
    probe.reads = []
    return _try_call(function, probe, fake) is None or bool(probe.reads)


def couples_rows(function: LossFunction) -> bool:
    """Whether dividing a batch changes its values. False if the function fails on test logits."""
    logits = _logits()
    first, second = [x[:PROBE_SPLIT] for x in logits], [x[PROBE_SPLIT:] for x in logits]
    whole, again = _try_call(function, *logits), _try_call(function, *logits, seed=1)
    parts = _try_call(function, first[0], first[1]), _try_call(function, second[0], second[1])
    if whole is None or again is None or not torch.equal(whole, again):
        return False  # it draws random numbers, so nothing can be compared
    if parts[0] is None or parts[1] is None:
        return True
    joined = torch.cat([parts[0], parts[1]])
    return joined.shape != whole.shape or not torch.allclose(whole, joined, rtol=1e-4, atol=1e-5)


def is_sum(
    function: LossFunction, of_real: Callable[[Tensor], Tensor], of_fake: Callable[[Tensor], Tensor]
) -> bool:
    """Whether ``function(real, fake)`` is ``of_real(real) + of_fake(fake)`` on test logits."""
    real, fake = _logits()
    whole = _try_call(function, real, fake)
    parts = _try_call(lambda r, f: of_real(r) + of_fake(f), real, fake)
    return whole is not None and parts is not None and torch.allclose(whole, parts, rtol=1e-4, atol=1e-5)


class _ProbeTensor(Tensor):
    """A tensor that records the torch functions that were called with it."""

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
    """Test logits, (rows,) each, spread widely enough that a mean over rows is noticed."""
    key = evaluation_key("loss", "trial")
    return 2 * (key / "real").normal(PROBE_ROWS), 2 * (key / "fake").normal(PROBE_ROWS)


@torch.no_grad()
def _try_call(function: LossFunction, real: Tensor, fake: Tensor, seed: int = 0) -> Tensor | None:
    """What the function returns, or None if it raises; torch's global generators are restored."""
    with fork_global_rng(evaluation_key("loss", "call", seed)):
        try:
            return function(real, fake)
        except Exception:
            return None
