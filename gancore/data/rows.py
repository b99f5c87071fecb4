"""Rows that a program gives in memory: a file in the run's own folder, so that any process finds them."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gancore.errors import ConfigError
from gancore.files import atomic_write, sha256

ROWS_NAME = re.compile(r"rows-[0-9a-f]{16}\.npy")
_KINDS = "biuf"
"""Of numpy: truth values, whole numbers, floats."""


@dataclass(frozen=True)
class GivenRows:
    """An array as an npy file: its ``name`` tells its sha256, so equal rows are the same source."""

    name: str
    content: bytes

    def keep(self, folder: Path) -> Path:
        """Write the file into ``folder``, where it is not there already."""
        path = folder / self.name
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            atomic_write(path, self.content)
        return path


def is_rows(value: object) -> bool:
    """Whether it is a tensor or an array, in place of a name or a path of data."""
    return hasattr(value, "__array__") and hasattr(value, "shape")


def as_rows(value: Any) -> GivenRows:
    """A tensor or an array, rows on its first axis, by its content.

    Raises:
        ConfigError: it holds no numbers that numpy knows, no rows, or values that are not finite.
    """
    import numpy as np

    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"data is a {type(value).__name__} that numpy cannot hold: {error}", "give numbers in float32"
        ) from None
    if array.dtype.kind not in _KINDS:
        raise ConfigError(f"data is an array of {array.dtype}", "give real numbers, as float32 or uint8")
    if array.ndim < 2 or not array.size:
        raise ConfigError(f"data has shape {array.shape}", "give rows on the first axis, as (rows, numbers)")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0, 0])
        raise ConfigError(f"row {row} of data is not finite", "leave such rows out")
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    content = file.getvalue()
    return GivenRows(f"rows-{sha256(content)[:16]}.npy", content)
