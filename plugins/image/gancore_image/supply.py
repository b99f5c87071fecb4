"""What a source is: the built-in digits, arrays in files, or picture files in a folder or an archive."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from gancore.data.download import hash_of
from gancore.data.inventory import Found
from gancore.data.labels import FileSet, LabelledSection, Labels, read_labels
from gancore.data.lock import exclusive
from gancore.data.refusal import Refusal, Refused
from gancore.data.sources import cache_folder
from gancore.data.splits import own_splits
from gancore.data.telling import Announce
from gancore.data.unpack import is_archive, unpack
from gancore.domain import Source
from gancore.errors import DataError
from gancore.files import used
from gancore_image.arrays import find_array_files, pictures_of, read_stacks
from gancore_image.cache import Made
from gancore_image.digits import digits
from gancore_image.files import Files, FolderFiles, ZipFiles
from gancore_image.inventory import take_inventory
from gancore_image.npz import numeric_labels
from gancore_image.preparing import Picture, suiting
from gancore_image.reading import Header, decode
from gancore_image.sources import LAYOUTS, Layout

Labeller = Callable[[Sequence[str], LabelledSection], Labels]
DIGITS_SIDE = 16


@dataclass(frozen=True)
class Supply:
    """Pictures to prepare: a name for their content, how to get them, and what is known already.

    ``labels``: how to label files by their names; None: the pictures bring their labels.
    """

    content: str
    make: Callable[[], Made]
    layout: Layout = field(default_factory=Layout)
    labels: Labeller | None = None
    skipped: Sequence[Refusal] = ()
    others: Counter[str] = field(default_factory=Counter)
    animated: int = 0


def find_supply(source: Source, announce: Announce) -> Supply:
    """What ``source`` holds.

    Raises:
        DataError: nothing that is a picture.
    """
    if source.path is None:
        return _digits()
    layout = LAYOUTS.get(source.entry.name, Layout()) if source.entry else Layout()
    place = _unpacked(source.path, announce)
    if arrays := find_array_files(place):
        return _arrays(source.name, arrays, layout, announce)
    files = ZipFiles(place) if place.suffix.lower() == ".zip" else FolderFiles(place)
    return _files(source.name, files, layout, announce)


def _unpacked(path: Path, announce: Announce) -> Path:
    """A tar archive's content, unpacked once into the cache; all else as it is."""
    if not path.exists():
        raise DataError(f"no file or folder {path} exists", "check the path")
    if not path.is_file() or not is_archive(path) or path.suffix.lower() == ".zip":
        return path
    folder = cache_folder() / "image" / "unpacked" / hash_of(path)[:24]
    if not folder.is_dir():
        with exclusive(folder.with_name(f"{folder.name}.lock"), announce):
            _unpack_once(path, folder, announce)
    used(folder)
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _unpack_once(path: Path, folder: Path, announce: Announce) -> None:
    if folder.is_dir():  # another process was faster
        return
    announce(f"Unpacking {path.name} into {folder}, once")
    aside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        unpack(path, aside).rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _digits() -> Supply:
    from gancore_image import digits as home

    version = hashlib.sha256(Path(home.__file__).read_bytes()).hexdigest()
    return Supply(version, lambda: Made(digits(), DIGITS_SIDE), LAYOUTS["digits"])


def _arrays(name: str, files: list[Path], layout: Layout, announce: Announce) -> Supply:
    # Earlier versions passed over numeric labels: what they kept of such files is another content.
    content = json.dumps([[path.name, hash_of(path), *numeric_labels(path)] for path in files])

    def make() -> Made:
        announce(f"Preparing the pictures of {name}, once")
        stacks, skipped = read_stacks(files, layout.classes)
        sides = [side for stack in stacks for side in [min(stack.pixels.shape[1:3])] * len(stack.pixels)]
        return Made(pictures_of(stacks), suiting(sides), stacks[0].classes, skipped)

    return Supply(hashlib.sha256(content.encode()).hexdigest(), make, layout)


def _files(name: str, files: Files, layout: Layout, announce: Announce) -> Supply:
    inventory = take_inventory(files, announce)
    splits = own_splits([found.name for found in inventory.found])
    content = json.dumps([(found.name, found.identity) for found in inventory.found])

    def make() -> Made:
        announce(f"Preparing {len(inventory.found):,} pictures of {name}, once")
        pictures = (
            Picture(found.name, found.identity, _reader(files, found), split=split)
            for found, split in zip(inventory.found, splits, strict=True)
        )
        sides = [min(found.header.width, found.header.height) for found in inventory.found]
        return Made(pictures, suiting(sides))

    return Supply(
        hashlib.sha256(content.encode()).hexdigest(),
        make,
        layout,
        _labeller(files),
        inventory.skipped,
        inventory.others,
        sum(found.header.animated for found in inventory.found),
    )


def _reader(files: Files, found: Found[Header]) -> Callable[[], Image.Image]:
    return lambda: decode(files.read(found.name))


def _labeller(files: Files) -> Labeller:
    def content(name: str) -> bytes | None:
        if name not in files.names:
            return None
        try:
            return files.read(name)
        except Refused as refused:
            raise DataError(f"{files.place}/{name} cannot be used: {refused}") from None

    def label(names: Sequence[str], how: LabelledSection) -> Labels:
        return read_labels(FileSet(list(names), str(files.place), content), how)

    return label
