"""Which pictures a folder or an archive holds."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gancore.data.inventory import Found, Looking, other_kinds
from gancore.data.inventory import take_inventory as take
from gancore.data.refusal import Refusal, some
from gancore.data.telling import Announce
from gancore.errors import DataError
from gancore_image.files import Files
from gancore_image.reading import SUFFIXES, Header, inspect


@dataclass(frozen=True)
class Inventory:
    """The pictures of ``files``."""

    files: Files
    found: Sequence[Found[Header]]
    skipped: Sequence[Refusal]
    others: Counter[str]
    """How many files were passed over as no pictures, by their suffix."""


def take_inventory(files: Files, announce: Announce) -> Inventory:
    """Every picture of ``files``.

    Raises:
        DataError: none that looks like a picture; none that can be used.
    """
    names = [name for name in files.names if _suffix(name) in SUFFIXES]
    others = other_kinds(files.names, SUFFIXES)
    looked = take("image", files.place, names, _looking(files), announce)
    skipped = [*files.refused, *looked.skipped]
    if not looked.found and not skipped:
        raise _nothing(files)
    if not looked.found:
        raise DataError(
            f"none of the {len(skipped)} pictures in {files.place} can be used: {some(skipped)}",
            "give pictures that other programs can show",
        )
    return Inventory(files, looked.found, skipped, others)


def _nothing(files: Files) -> DataError:
    if arrays := [name for name in files.names if _suffix(name) == ".npy"]:
        how = "name it itself" if files.place.is_dir() else "unpack it, and name it itself"
        return DataError(
            f"no pictures in {files.place}, but {arrays[0]}",
            f"if that is an array of pictures, {how}: --data {files.place / arrays[0]}",
        )
    where = files.place / files.names[0] if len(files.names) == 1 else files.place
    return DataError(
        f"no pictures in {where}",
        f"give files that end in {', '.join(sorted(SUFFIXES))}, arrays (.npy, .npz, IDX), or an archive",
    )


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _looking(files: Files) -> Looking[Header]:
    def look(name: str) -> tuple[Header, str]:
        content = files.read(name)
        return inspect(content), hashlib.sha256(content).hexdigest()[:32]

    return Looking(Header, files.stamp, look)
