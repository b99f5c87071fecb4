"""IDX, the format of MNIST's files: two zeros, a type, the number of axes, their lengths, then the values."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from gancore.data.refusal import Refused

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_NAME = re.compile(r"[.-]idx\d(?:[.-]ubyte)?(?:\.gz)?$|\.idx(?:\.gz)?$")
MOST_BYTES = 1 << 34
MOST_AXES = 4


def is_idx(path: Path) -> bool:
    """Whether the name is one of those that such files have."""
    return bool(_NAME.search(path.name))


def label_partner(path: Path, files: Sequence[Path]) -> Path | None:
    """Of ``train-images-idx3-ubyte.gz`` the file ``train-labels-idx1-ubyte`` beside it, gzipped or not."""
    wanted = re.sub(r"idx\d", "idx1", path.name.removesuffix(".gz").replace("images", "labels"))
    near = {file.name: file for file in (*files, *path.parent.iterdir()) if file.parent == path.parent}
    return next(
        (near[name] for name in (wanted, f"{wanted}.gz") if name in near and near[name] != path), None
    )


def read_idx(path: Path) -> NDArray[np.generic]:
    """The array that the file holds.

    Raises:
        Refused: another format, cut short, longer than it says, or too large.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            zeros, kind, axes = struct.unpack(">HBB", _take(file, 4))
            if zeros or kind not in _TYPES or not 1 <= axes <= MOST_AXES:
                raise Refused("it does not begin as an IDX file does")
            shape = struct.unpack(f">{axes}I", _take(file, 4 * axes))
            size = math.prod(shape) * np.dtype(_TYPES[kind]).itemsize
            if size > MOST_BYTES:
                raise Refused(f"it promises {size:,} bytes, more than {MOST_BYTES:,}")
            content = _take(file, size)
            if file.read(1):
                raise Refused(f"it holds more than the {size:,} bytes that its head tells of")
    except (OSError, EOFError, zlib.error) as error:
        raise Refused(f"it cannot be read ({error})") from None
    return np.frombuffer(content, _TYPES[kind]).reshape(shape)


def _take(file: IO[bytes] | gzip.GzipFile, count: int) -> bytes:
    """Exactly so many bytes; in pieces, so that a promise alone takes no memory."""
    pieces, left = [], count
    while left and (piece := file.read(min(left, 1 << 24))):
        pieces.append(piece)
        left -= len(piece)
    if left:
        raise Refused(f"it is truncated: {count - left:,} of {count:,} bytes")
    return b"".join(pieces)
