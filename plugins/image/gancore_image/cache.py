"""Pictures decoded once: squares of bytes, memory-mapped, keyed by content and settings."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from gancore.data.packed import Packed, PackedWriter
from gancore.data.prepared import Prepared, each_once, open_prepared
from gancore.data.refusal import Refusal
from gancore.data.splits import Split
from gancore.data.telling import Announce
from gancore.texts import label_text
from gancore_image.preparing import Picture, Pixels, Preparation, prepare

_FORMAT = 2
_WIDE = "wide"


@dataclass
class Table:
    """The pictures by column; equal ones share an item of the packed set."""

    names: list[str] = field(default_factory=list)
    identities: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    splits: list[Split | None] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Width and height before preparation."""
    skipped: list[Refusal] = field(default_factory=list)
    transparent: int = 0
    """How many have alpha."""
    side: int = 0
    channels: int = 0
    classes: list[str] = field(default_factory=list)
    """In the set's own order; empty: it has none."""

    def add(self, picture: Picture, item: int, size: tuple[int, int], alpha: bool) -> None:
        self.names.append(picture.name)
        self.identities.append(picture.identity)
        self.labels.append(picture.label)
        self.splits.append(picture.split)
        self.items.append(item)
        self.sizes.append(size)
        self.transparent += alpha


@dataclass(frozen=True)
class Made:
    """What a source gives: its pictures, the side that suits them, its order of classes, what it refuses."""

    pictures: Iterable[Picture]
    side: int
    classes: Sequence[str] = ()
    skipped: Sequence[Refusal] = ()


Cache = Prepared[Table]


def open_cache(content: str, make: Callable[[], Made], preparation: Preparation, announce: Announce) -> Cache:
    """The prepared pictures; ``make`` is asked for them only if no cache for ``content`` is there.

    Raises:
        DataError: the cache cannot be written.
    """

    def build(folder: Path) -> Table:
        return _build(folder, make(), preparation, announce)

    return open_prepared("image", [_FORMAT, content, asdict(preparation)], Table, build, announce)


def _build(folder: Path, made: Made, preparation: Preparation, announce: Announce) -> Table:
    side = preparation.side or made.side
    table = Table(side=side, classes=[label_text(name) for name in made.classes], skipped=list(made.skipped))
    with Packed.create(folder / _WIDE, "uint8") as writer:
        storing = Storing(writer, replace(preparation, side=side))
        for picture, stored in each_once(made.pictures, storing, table.skipped, announce, "pictures"):
            table.add(picture, *stored)
    table.channels = preparation.channels or (1 if storing.grey else 3)
    _settle(folder, narrow=preparation.channels is None and storing.grey, side=side)
    return table


@dataclass
class Storing:
    """Prepares and appends pictures, and sees whether they are grey."""

    writer: PackedWriter
    preparation: Preparation
    grey: bool = True
    """All are, so far."""

    def __call__(self, picture: Picture) -> tuple[int, tuple[int, int], bool]:
        """The picture's item, its width and height before preparation, and whether it has alpha."""
        image = picture.read()
        pixels = prepare(image, self.preparation)
        self.grey = self.grey and _is_grey(pixels)
        return self.writer.append(pixels), image.size, image.mode.endswith("A")


def _settle(folder: Path, narrow: bool, side: int) -> None:
    """The packed set into its place; ``narrow``: of three equal channels the first."""
    if not narrow:
        for file in (folder / _WIDE).iterdir():
            file.rename(folder / file.name)
    else:
        wide = Packed.open(folder / _WIDE).values.view(-1, 3, side, side)
        with Packed.create(folder, "uint8") as writer:
            for picture in wide:
                writer.append(picture[0].numpy())
    shutil.rmtree(folder / _WIDE)


def _is_grey(pixels: Pixels) -> bool:
    return len(pixels) < 3 or (np.array_equal(pixels[0], pixels[1]) and np.array_equal(pixels[0], pixels[2]))
