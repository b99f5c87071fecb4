"""npy and npz files: which of their arrays are pictures, which are labels, which name the classes."""

from __future__ import annotations

import lzma
import math
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from gancore.data.refusal import Refusal, Refused
from gancore.data.splits import Split
from gancore_image.preparing import Pixels
from gancore_image.scaling import to_levels

MOST_BYTES = 1 << 34
_LABELS = re.compile(r"(?:^|_)(?:labels?|y|targets?|classes|class)(?:_|$)")
_SPLIT = r"(?:train|t10k|test|valid|validation|val)"
_CALLED_LABELS = re.compile(rf"(?:{_SPLIT}_)?(?:labels?|y|targets?)(?:_{_SPLIT})?")
"""Of arrays with these names a wrong number is a mistake, of others (``n_classes``) another kind of array."""
_NAMES = re.compile(r"(?:class|label)_?names?|classes|categories")
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,  # encrypted; NotImplementedError: an unknown compression
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)

Part = tuple[str, Pixels, NDArray[np.generic] | None, list[str]]


def read_npz(path: Path, split_named: Callable[[str], Split | None], notes: list[Refusal]) -> list[Part]:
    """(key, pictures, labels or None, class names) of each array of pictures: those of three or four axes.

    Labels are an array whose key speaks of labels (``labels``, ``y``) and of the same split: a whole number,
    also as a float, or a name for each picture, or one-hot rows (n, classes). One that is none of these, or
    not as many (``class_weights``), is added to ``notes``; single numbers are passed over. Nothing is
    unpickled.

    Raises:
        Refused: not an npz file, damaged, encrypted, too large, pickled, without pictures, or with another
            number of labels than of pictures.
    """
    arrays = _load(path)
    pictures = {key: array for key, array in arrays.items() if array.ndim in (3, 4)}
    if not pictures:
        told = ", ".join(f"{key} {array.shape}" for key, array in arrays.items()) or "nothing"
        raise Refused(f"it holds no array of pictures, but {told}")
    classes = _take_names(arrays)
    return [
        (key, to_levels(array), _labels_for(key, len(array), arrays, split_named, notes), classes)
        for key, array in pictures.items()
    ]


def numeric_labels(path: Path) -> list[str]:
    """The arrays of labels that are floats or have columns, by their heads; none of what cannot be read."""
    try:
        with zipfile.ZipFile(path) as bundle:
            return [member.filename for member in bundle.infolist() if _is_numeric(bundle, member)]
    except _UNREADABLE:
        return []


def _is_numeric(bundle: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    if not _LABELS.search(member.filename.lower().removesuffix(".npy")):
        return False
    with bundle.open(member) as file:
        shape, dtype = _head(file)
    return len(shape) in (1, 2) and (dtype.kind == "f" or shape[1:] not in ((), (1,)))


def read_npy(path: Path) -> NDArray[np.generic]:
    """The array of an npy file: three or four axes. Raises Refused. Nothing is unpickled."""
    try:
        with path.open("rb") as file:
            promised = _promised(file)
        if promised > MOST_BYTES:
            raise Refused(f"its array promises {promised:,} bytes, more than {MOST_BYTES:,}")
        array: NDArray[np.generic] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Refused(f"it cannot be read as npy without unpickling ({told})") from None
    if array.ndim not in (3, 4):
        raise Refused(f"it holds no array of pictures, but one of shape {array.shape}")
    return array


def _take_names(arrays: dict[str, NDArray[np.generic]]) -> list[str]:
    """The class names, which leave ``arrays``; empty where there are none."""
    for key, array in arrays.items():
        if _NAMES.fullmatch(key.lower()) and array.ndim == 1 and array.dtype.kind in "US":
            return [_text(name) for name in arrays.pop(key).tolist()]
    return []


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def _labels_for(
    key: str,
    count: int,
    arrays: dict[str, NDArray[np.generic]],
    split_named: Callable[[str], Split | None],
    notes: list[Refusal],
) -> NDArray[np.generic] | None:
    for other, array in arrays.items():
        if not _LABELS.search(other.lower()) or split_named(other) != split_named(key):
            continue
        if array.ndim not in (1, 2):
            continue
        labels, what = _as_labels(array), f"{array.dtype} {array.shape}"
        if labels is None:
            notes.append((other, f"these are no labels ({what}): give whole numbers, names or one-hot rows"))
        elif len(labels) == count:
            return labels
        elif _CALLED_LABELS.fullmatch(other.lower()) and _is_column(array):
            raise Refused(f"{key} holds {count:,} pictures, {other} {len(labels):,} labels")
        else:
            notes.append((other, f"these are no labels ({what}): {key} holds {count:,} pictures"))
    return None


def _is_column(array: NDArray[np.generic]) -> bool:
    """Whole numbers or names, (n) or (n, 1)."""
    return array.dtype.kind in "iuUS" and array.shape[1:] in ((), (1,))


def _as_labels(array: NDArray[np.generic]) -> NDArray[np.generic] | None:
    """(n) whole numbers or names, from these, from floats that are whole, or from one-hot rows (n, k)."""
    if array.ndim == 2 and array.shape[1] > 1:
        hot = array == 1
        one_hot = array.dtype.kind in "iufb" and bool(((array == 0) | hot).all() and (hot.sum(1) == 1).all())
        return hot.argmax(1) if one_hot else None
    flat = array.reshape(-1)
    if flat.dtype.kind == "f":
        values = flat.astype(np.float64)
        return values.astype(np.int64) if bool((values == np.rint(values)).all()) else None
    if flat.dtype.kind == "S":
        return np.array([_text(value) for value in flat.tolist()])
    return flat if flat.dtype.kind in "iuU" else None


def _load(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        _require_room(path)
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except _UNREADABLE as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Refused(f"it cannot be read as npz without unpickling ({told})") from None


def _require_room(path: Path) -> None:
    """Before anything is unpacked: what the heads of the arrays promise."""
    total = 0
    with zipfile.ZipFile(path) as bundle:
        for member in bundle.infolist():
            with bundle.open(member) as file:
                total += _promised(file)
    if total > MOST_BYTES:
        raise Refused(f"its arrays promise {total:,} bytes, more than {MOST_BYTES:,}")


def _promised(file: IO[bytes]) -> int:
    shape, dtype = _head(file)
    return math.prod(shape) * dtype.itemsize


def _head(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
