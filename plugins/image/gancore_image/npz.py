"""npy and npz files: which of their arrays are images, which are labels, which name the classes."""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from gancore.data import ARRAY_READ_ERRORS, SkipItem, SkippedItem, Split
from gancore_image.preprocess import Pixels, array_to_levels

MAX_BYTES = 1 << 34
_LABELS = re.compile(r"(?:^|_)(?:labels?|y|targets?|classes|class)(?:_|$)")
_SPLIT = r"(?:train|t10k|test|valid|validation|val)"
_CALLED_LABELS = re.compile(rf"(?:{_SPLIT}_)?(?:labels?|y|targets?)(?:_{_SPLIT})?")
"""With these names a wrong length is an error; with others (``n_classes``) it is another kind of array."""
_NAMES = re.compile(r"(?:class|label)_?names?|classes|categories")

NamedArray = tuple[str, Pixels, NDArray[np.generic] | None, list[str]]


def read_npz(
    path: Path, split_from_name: Callable[[str], Split | None], skipped: list[SkippedItem]
) -> list[NamedArray]:
    """(key, images, labels or None, class names) of each array of images: those of three or four axes.

    Labels are an array whose key speaks of labels (``labels``, ``y``) and of the same split: a whole number,
    also as a float, or a name for each image, or one-hot rows (n, classes). An array that is none of these,
    or of another length (``class_weights``), is added to ``skipped``; single numbers are ignored. Nothing is
    unpickled.

    Raises:
        SkipItem: not an npz file, damaged, encrypted, too large, pickled, without images, or with another
            number of labels than of images.
    """
    arrays = _load(path)
    images = {key: array for key, array in arrays.items() if array.ndim in (3, 4)}
    if not images:
        contents = ", ".join(f"{key} {array.shape}" for key, array in arrays.items()) or "nothing"
        raise SkipItem(f"it has no array of images, but {contents}")
    classes = _pop_class_names(arrays)
    return [
        (
            key,
            array_to_levels(array),
            _find_labels(key, len(array), arrays, split_from_name, skipped),
            classes,
        )
        for key, array in images.items()
    ]


def numeric_labels(path: Path) -> list[str]:
    """Names of the arrays of labels that are floats or have columns; none if the file is unreadable."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [member.filename for member in archive.infolist() if _is_numeric(archive, member)]
    except ARRAY_READ_ERRORS:
        return []


def _is_numeric(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    if not _LABELS.search(member.filename.lower().removesuffix(".npy")):
        return False
    with archive.open(member) as file:
        shape, dtype = _read_npy_header(file)
    return len(shape) in (1, 2) and (dtype.kind == "f" or shape[1:] not in ((), (1,)))


def read_npy(path: Path) -> NDArray[np.generic]:
    """The array of an npy file: three or four axes. Raises SkipItem. Nothing is unpickled."""
    try:
        with path.open("rb") as file:
            declared = _declared_bytes(file)
        if declared > MAX_BYTES:
            raise SkipItem(f"its array declares {declared:,} bytes, more than {MAX_BYTES:,}")
        array: NDArray[np.generic] = np.load(path, allow_pickle=False)
    except ARRAY_READ_ERRORS as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SkipItem(f"it cannot be read as npy without unpickling ({message})") from None
    if array.ndim not in (3, 4):
        raise SkipItem(f"it has no array of images, but one of shape {array.shape}")
    return array


def _pop_class_names(arrays: dict[str, NDArray[np.generic]]) -> list[str]:
    """Remove the class names from ``arrays`` and return them; empty if there are none."""
    for key, array in arrays.items():
        if _NAMES.fullmatch(key.lower()) and array.ndim == 1 and array.dtype.kind in "US":
            return [_text(name) for name in arrays.pop(key).tolist()]
    return []


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def _find_labels(
    key: str,
    count: int,
    arrays: dict[str, NDArray[np.generic]],
    split_from_name: Callable[[str], Split | None],
    skipped: list[SkippedItem],
) -> NDArray[np.generic] | None:
    for other, array in arrays.items():
        if not _LABELS.search(other.lower()) or split_from_name(other) != split_from_name(key):
            continue
        if array.ndim not in (1, 2):
            continue
        labels, description = _to_labels(array), f"{array.dtype} {array.shape}"
        if labels is None:
            skipped.append(
                (other, f"these are not labels ({description}): give whole numbers, names or one-hot rows")
            )
        elif len(labels) == count:
            return labels
        elif _CALLED_LABELS.fullmatch(other.lower()) and _is_column(array):
            raise SkipItem(f"{key} holds {count:,} images, {other} {len(labels):,} labels")
        else:
            skipped.append((other, f"these are not labels ({description}): {key} holds {count:,} images"))
    return None


def _is_column(array: NDArray[np.generic]) -> bool:
    """Whole numbers or names, (n) or (n, 1)."""
    return array.dtype.kind in "iuUS" and array.shape[1:] in ((), (1,))


def _to_labels(array: NDArray[np.generic]) -> NDArray[np.generic] | None:
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
        _check_size(path)
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except ARRAY_READ_ERRORS as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SkipItem(f"it cannot be read as npz without unpickling ({message})") from None


def _check_size(path: Path) -> None:
    """Before anything is unpacked: refuse arrays whose headers declare too many bytes."""
    total = 0
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                total += _declared_bytes(file)
    if total > MAX_BYTES:
        raise SkipItem(f"its arrays declare {total:,} bytes, more than {MAX_BYTES:,}")


def _declared_bytes(file: IO[bytes]) -> int:
    shape, dtype = _read_npy_header(file)
    return math.prod(shape) * dtype.itemsize


def _read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
