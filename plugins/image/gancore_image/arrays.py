"""Pictures as arrays: IDX files (gzipped or not), npy and npz files, CIFAR's binary batches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gancore.data.refusal import Refusal, Refused
from gancore.data.splits import Split, split_named
from gancore.errors import DataError
from gancore.texts import label_text
from gancore_image.idx import is_idx, label_partner, read_idx
from gancore_image.npz import read_npy, read_npz
from gancore_image.preparing import Picture, Pixels, array_picture
from gancore_image.scaling import to_levels

CIFAR_SIDE = 32
_CIFAR_FILE = re.compile(r"(data_batch|test_batch).*\.bin$")


@dataclass(frozen=True)
class Stack:
    """Pictures of one size, (n, height, width) or (n, height, width, channels), with what is known of them.

    ``labels`` (n): class names, or numbers that ``classes`` may name.
    """

    name: str
    pixels: Pixels
    labels: NDArray[np.generic] | None = None
    split: Split | None = None
    classes: Sequence[str] = ()


def find_array_files(place: Path) -> list[Path]:
    """``place``, or those in it, that hold arrays of pictures; of a file and its gzipped twin the file.

    An npy file counts where it is named itself: among pictures it is mostly something else.
    """
    if place.is_file():
        return [place] if _holds_arrays(place) or place.suffix == ".npy" else []
    files = sorted(path for path in place.iterdir() if path.is_file() and _holds_arrays(path))
    names = {path.name for path in files}
    return [
        path for path in files if path.name.removesuffix(".gz") == path.name or path.name[:-3] not in names
    ]


def _holds_arrays(path: Path) -> bool:
    return path.suffix == ".npz" or bool(_CIFAR_FILE.match(path.name)) or is_idx(path)


def read_stacks(files: Sequence[Path], classes: Sequence[str]) -> tuple[list[Stack], list[Refusal]]:
    """All pictures of ``files``, train first, and which files were refused; ``classes`` name numbers.

    Raises:
        DataError: none of the files can be used.
    """
    stacks: list[Stack] = []
    skipped: list[Refusal] = []
    for path in files:
        try:
            stacks += _read(path, files, skipped)
        except Refused as refused:
            skipped.append((path.name, str(refused)))
        except MemoryError:
            skipped.append((path.name, "it takes more memory than there is"))
    if not stacks:
        told = "; ".join(f"{name}: {reason}" for name, reason in skipped) or "they hold labels alone"
        raise DataError(
            f"{files[0].parent} has no array of pictures: {told}", "give (n, height, width) bytes"
        )
    order = ["train", None, "valid", "test"]
    named = [s if s.classes else Stack(s.name, s.pixels, s.labels, s.split, classes) for s in stacks]
    return sorted(named, key=lambda stack: order.index(stack.split)), skipped


def _read(path: Path, files: Sequence[Path], skipped: list[Refusal]) -> list[Stack]:
    """Adds to ``skipped`` arrays of labels that cannot be used."""
    if path.suffix == ".npz":
        return [
            Stack(f"{path.stem}/{key}", pixels, labels, split_named(key) or split_named(path.stem), classes)
            for key, pixels, labels, classes in read_npz(path, split_named, skipped)
        ]
    if path.suffix == ".npy":
        return [Stack(path.stem, to_levels(read_npy(path)), None, split_named(path.stem))]
    if path.suffix == ".bin":
        return [_read_cifar(path)]
    return _read_idx_pair(path, files)


def _read_idx_pair(path: Path, files: Sequence[Path]) -> list[Stack]:
    values = read_idx(path)
    if values.ndim == 1:  # labels, which their pictures' file asks for
        return []
    partner = label_partner(path, files)
    labels = read_idx(partner) if partner else None
    if partner and labels is not None and labels.shape != values.shape[:1]:
        raise Refused(f"it holds {len(values):,} pictures, {partner.name} {labels.shape} labels")
    return [Stack(path.name.split(".")[0], to_levels(values), labels, split_named(path.name))]


def _read_cifar(path: Path) -> Stack:
    """Records of a label and 3 x 32 x 32 levels, by colour (Krizhevsky 2009)."""
    record = 1 + 3 * CIFAR_SIDE**2
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise Refused(f"it cannot be read ({error.strerror})") from None
    if not len(content) or len(content) % record:
        raise Refused(f"its {len(content):,} bytes are no whole number of records of {record:,}")
    rows = content.reshape(-1, record)
    pixels = rows[:, 1:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE).transpose(0, 2, 3, 1)
    return Stack(path.stem, pixels, rows[:, 0], "test" if path.name.startswith("test") else "train")


def pictures_of(stacks: Sequence[Stack]) -> Iterator[Picture]:
    for stack in stacks:
        labels = [None] * len(stack.pixels) if stack.labels is None else label_names(stack)
        width = len(str(len(stack.pixels) - 1))
        for number, (pixels, label) in enumerate(zip(stack.pixels, labels, strict=True)):
            yield array_picture(f"{stack.name}/{number:0{width}d}", pixels, label, stack.split)


def label_names(stack: Stack) -> list[str]:
    """A class name for each picture: that of its number, or the number itself."""
    assert stack.labels is not None
    if stack.labels.dtype.kind not in "iu":
        return [label_text(label) for label in stack.labels.tolist()]
    known = {number: label_text(name) for number, name in enumerate(stack.classes)}
    return [str(known.get(label, label)) for label in stack.labels.tolist()]
