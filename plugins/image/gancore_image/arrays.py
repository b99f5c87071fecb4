"""IDX, the format of MNIST's files: two zeros, a type, the number of axes, their lengths, then the values."""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from gancore.data import SkipItem, SkippedItem, Split, split_from_name
from gancore.errors import DataError
from gancore.text import clean_label
from gancore_image.npz import read_npy, read_npz
from gancore_image.preprocess import ImageItem, Pixels, array_to_levels, item_from_array

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_NAME = re.compile(r"[.-]idx\d(?:[.-]ubyte)?(?:\.gz)?$|\.idx(?:\.gz)?$")
MAX_BYTES = 1 << 34
MAX_AXES = 4


def is_idx(path: Path) -> bool:
    """Whether the file name is that of an IDX file."""
    return bool(_NAME.search(path.name))


def label_file(path: Path, files: Sequence[Path]) -> Path | None:
    """Of ``train-images-idx3-ubyte.gz`` the file ``train-labels-idx1-ubyte`` beside it, gzipped or not."""
    wanted = re.sub(r"idx\d", "idx1", path.name.removesuffix(".gz").replace("images", "labels"))
    near = {file.name: file for file in (*files, *path.parent.iterdir()) if file.parent == path.parent}
    return next(
        (near[name] for name in (wanted, f"{wanted}.gz") if name in near and near[name] != path), None
    )


def read_idx(path: Path) -> NDArray[np.generic]:
    """The array that the file holds.

    Raises:
        SkipItem: another format, truncated, longer than declared, or too large.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            zeros, type_code, n_axes = struct.unpack(">HBB", _read_exactly(file, 4))
            if zeros or type_code not in _TYPES or not 1 <= n_axes <= MAX_AXES:
                raise SkipItem("it does not begin like an IDX file")
            shape = struct.unpack(f">{n_axes}I", _read_exactly(file, 4 * n_axes))
            size = math.prod(shape) * np.dtype(_TYPES[type_code]).itemsize
            if size > MAX_BYTES:
                raise SkipItem(f"it declares {size:,} bytes, more than {MAX_BYTES:,}")
            content = _read_exactly(file, size)
            if file.read(1):
                raise SkipItem(f"it has more than the {size:,} bytes that its header declares")
    except (OSError, EOFError, zlib.error) as error:
        raise SkipItem(f"it cannot be read ({error})") from None
    return np.frombuffer(content, _TYPES[type_code]).reshape(shape)


def _read_exactly(file: IO[bytes] | gzip.GzipFile, count: int) -> bytes:
    """Read exactly ``count`` bytes, in pieces, so that a false header takes no memory."""
    pieces, left = [], count
    while left and (piece := file.read(min(left, 1 << 24))):
        pieces.append(piece)
        left -= len(piece)
    if left:
        raise SkipItem(f"it is truncated: {count - left:,} of {count:,} bytes")
    return b"".join(pieces)


CIFAR_SIDE = 32
_CIFAR_FILE = re.compile(r"(data_batch|test_batch).*\.bin$")


@dataclass(frozen=True)
class ImageArray:
    """Images of one size, (n, height, width) or (n, height, width, channels), with labels and split if known.

    ``labels`` (n): class names, or numbers that ``classes`` may name.
    """

    name: str
    pixels: Pixels
    labels: NDArray[np.generic] | None = None
    split: Split | None = None
    classes: Sequence[str] = ()


def find_array_files(path: Path) -> list[Path]:
    """``path``, or the files in it, that hold arrays of images; of a file and its gzipped copy the file.

    An npy file counts only if it is named itself: next to images it is mostly something else.
    """
    if path.is_file():
        return [path] if _holds_arrays(path) or path.suffix == ".npy" else []
    files = sorted(file for file in path.iterdir() if file.is_file() and _holds_arrays(file))
    names = {path.name for path in files}
    return [
        path for path in files if path.name.removesuffix(".gz") == path.name or path.name[:-3] not in names
    ]


def _holds_arrays(path: Path) -> bool:
    return path.suffix == ".npz" or bool(_CIFAR_FILE.match(path.name)) or is_idx(path)


def read_arrays(files: Sequence[Path], classes: Sequence[str]) -> tuple[list[ImageArray], list[SkippedItem]]:
    """All images of ``files``, train first, and which files were refused; ``classes`` name numbers.

    Raises:
        DataError: none of the files can be used.
    """
    arrays: list[ImageArray] = []
    skipped: list[SkippedItem] = []
    for path in files:
        try:
            arrays += _read(path, files, skipped)
        except SkipItem as refused:
            skipped.append((path.name, str(refused)))
        except MemoryError:
            skipped.append((path.name, "it takes more memory than available"))
    if not arrays:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped) or "they hold only labels"
        raise DataError(
            f"{files[0].parent} has no array of images: {reasons}",
            "give arrays of shape (n, height, width) or (n, height, width, channels)",
        )
    order = ["train", None, "valid", "test"]
    named = [s if s.classes else ImageArray(s.name, s.pixels, s.labels, s.split, classes) for s in arrays]
    return sorted(named, key=lambda array: order.index(array.split)), skipped


def _read(path: Path, files: Sequence[Path], skipped: list[SkippedItem]) -> list[ImageArray]:
    """Adds to ``skipped`` arrays of labels that cannot be used."""
    if path.suffix == ".npz":
        return [
            ImageArray(
                f"{path.stem}/{key}",
                pixels,
                labels,
                split_from_name(key) or split_from_name(path.stem),
                classes,
            )
            for key, pixels, labels, classes in read_npz(path, split_from_name, skipped)
        ]
    if path.suffix == ".npy":
        return [ImageArray(path.stem, array_to_levels(read_npy(path)), None, split_from_name(path.stem))]
    if path.suffix == ".bin":
        return [_read_cifar(path)]
    return _read_idx_pair(path, files)


def _read_idx_pair(path: Path, files: Sequence[Path]) -> list[ImageArray]:
    values = read_idx(path)
    if values.ndim == 1:  # labels: read with the file of their images
        return []
    partner = label_file(path, files)
    labels = read_idx(partner) if partner else None
    if partner and labels is not None and labels.shape != values.shape[:1]:
        raise SkipItem(f"it holds {len(values):,} images, {partner.name} {labels.shape} labels")
    return [ImageArray(path.name.split(".")[0], array_to_levels(values), labels, split_from_name(path.name))]


def _read_cifar(path: Path) -> ImageArray:
    """Records of a label and 3 x 32 x 32 levels, by colour (Krizhevsky 2009)."""
    record = 1 + 3 * CIFAR_SIDE**2
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise SkipItem(f"it cannot be read ({error.strerror})") from None
    if not len(content) or len(content) % record:
        raise SkipItem(f"its {len(content):,} bytes are not a whole number of records of {record:,} bytes")
    rows = content.reshape(-1, record)
    pixels = rows[:, 1:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE).transpose(0, 2, 3, 1)
    return ImageArray(path.stem, pixels, rows[:, 0], "test" if path.name.startswith("test") else "train")


def iterate_images(arrays: Sequence[ImageArray]) -> Iterator[ImageItem]:
    for array in arrays:
        labels = [None] * len(array.pixels) if array.labels is None else label_names(array)
        width = len(str(len(array.pixels) - 1))
        for number, (pixels, label) in enumerate(zip(array.pixels, labels, strict=True)):
            yield item_from_array(f"{array.name}/{number:0{width}d}", pixels, label, array.split)


def label_names(array: ImageArray) -> list[str]:
    """The class name of each image: the name of its number, or the number itself."""
    assert array.labels is not None
    if array.labels.dtype.kind not in "iu":
        return [clean_label(label) for label in array.labels.tolist()]
    known = {number: clean_label(name) for number, name in enumerate(array.classes)}
    return [str(known.get(label, label)) for label in array.labels.tolist()]
