"""The sources of images: named data sets, built-in digits, arrays, files in folders, archives and shards."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from gancore import Source, SourceEntry
from gancore.data import (
    Announce,
    InspectedFile,
    ItemFiles,
    ItemKind,
    LabelledDataConfig,
    Labels,
    SkippedItem,
    cache_folder,
    exclusive_lock,
    file_sha256,
    is_archive,
    mark_used,
    open_item_files,
    unpack_archive,
)
from gancore.errors import DataError
from gancore_image.arrays import find_array_files, iterate_images, read_arrays
from gancore_image.config import ImageConfig
from gancore_image.files import SUFFIXES, ImageHeader, decode, find_images
from gancore_image.npz import numeric_labels
from gancore_image.preprocess import ImageItem, ImageSet, item_from_array, suggest_image_size

_MNIST_HOME = "https://storage.googleapis.com/cvdf-datasets/mnist"
_FASHION_HOME = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"

DIGITS = SourceEntry(
    "digits",
    "1,797 real handwritten read_digits of 8x8 pixels, of scikit-learn, enlarged",
    "CC-BY-4.0",
)
MNIST = SourceEntry(
    "mnist",
    "handwritten read_digits, 60,000 and 10,000, grey, 28x28, padded",
    "none stated",
    {
        f"{_MNIST_HOME}/train-images-idx3-ubyte.gz": (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        f"{_MNIST_HOME}/train-labels-idx1-ubyte.gz": (
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
        f"{_MNIST_HOME}/t10k-images-idx3-ubyte.gz": (
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        f"{_MNIST_HOME}/t10k-labels-idx1-ubyte.gz": (
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    },
    11.6,
    "http://yann.lecun.com/exdb/mnist/",
)
FASHION_MNIST = SourceEntry(
    "fashion_mnist",
    "images of clothes, 60,000 and 10,000, grey, 28x28, padded",
    "MIT",
    {
        f"{_FASHION_HOME}/train-images-idx3-ubyte.gz": (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
        ),
        f"{_FASHION_HOME}/train-labels-idx1-ubyte.gz": (
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
        ),
        f"{_FASHION_HOME}/t10k-images-idx3-ubyte.gz": (
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
        ),
        f"{_FASHION_HOME}/t10k-labels-idx1-ubyte.gz": (
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
        ),
    },
    30.9,
    "https://github.com/zalandoresearch/fashion-mnist",
)
CIFAR10 = SourceEntry(
    "cifar10",
    "photographs of ten kinds of things, 50,000 and 10,000, RGB, 32x32",
    "none stated",
    {
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz": (
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
        )
    },
    170.1,
    "https://www.cs.toronto.edu/~kriz/cifar.html",
)
CLOTHING64 = SourceEntry(
    "clothing64",
    "photographs of clothes of ten kinds, 3,068 and 372, RGB, 64x64",
    "CC0-1.0",
    homepage="https://github.com/alexeygrigorev/clothing-dataset-small (its train and test folders)",
)
SOURCES: Mapping[str, SourceEntry] = {
    entry.name: entry for entry in (DIGITS, MNIST, FASHION_MNIST, CIFAR10, CLOTHING64)
}


@dataclass(frozen=True)
class Layout:
    """Defaults of a named set for preprocessing, and the names of its classes."""

    fit: Literal["crop", "pad", "stretch"] = "crop"
    background: int = 255
    classes: tuple[str, ...] = ()


LAYOUTS: Mapping[str, Layout] = {
    "digits": Layout(background=0),
    "mnist": Layout("pad", 0),
    "fashion_mnist": Layout(
        "pad",
        0,
        (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
    ),
    "cifar10": Layout(
        classes=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        )
    ),
}


DARKEST_DIGIT = 16
"""Level of the darkest ink of the digits; 0 is the background."""


def read_digits() -> Iterator[ImageItem]:
    """1,797 handwritten digits of 8x8 pixels, white on black (Alpaydin and Kaynak 1998, UCI test set)."""
    from sklearn.datasets import load_digits

    grey_levels, labels = load_digits(return_X_y=True)  # (1797, 64) from 0 to 16
    levels = np.rint(grey_levels * (255 / DARKEST_DIGIT)).astype(np.uint8).reshape(-1, 8, 8)
    for number, (pixels, label) in enumerate(zip(levels, labels, strict=True)):
        yield item_from_array(f"digit {number:04d}", pixels, str(label))


COLUMNS = ("image", "img", "picture", "photo", "png", "jpg", "jpeg", "webp")
"""Names of the column of images in a table, the first that exists is taken."""
Labeller = Callable[[Sequence[str], LabelledDataConfig], Labels]
DIGITS_SIZE = 16
DIGITS_VERSION = "digits 1"
"""Identifies these images in caches and fingerprints: change it whenever a pixel changes."""


@dataclass(frozen=True)
class ImageSource:
    """Images to preprocess: a hash of their content, how to read them, and what is known already.

    ``labels``: how to label files by their names; None: the images have labels.
    """

    content_hash: str
    images: Callable[[], ImageSet]
    layout: Layout = field(default_factory=Layout)
    labels: Labeller | None = None
    skipped: Sequence[SkippedItem] = ()
    other_suffixes: Counter[str] = field(default_factory=Counter)
    animated: int = 0


def resolve_images(source: Source, config: ImageConfig, announce: Announce) -> ImageSource:
    """The images of ``source``.

    Raises:
        DataError: it has no images.
    """
    if source.is_built_in:
        return _digits_source()
    layout = LAYOUTS.get(source.entry.name, Layout()) if source.entry else Layout()
    if source.path is not None:
        path = _unpacked(source.path, announce)
        source = replace(source, path=path)
        if array_files := find_array_files(path):
            return _array_source(source.name, array_files, layout, announce)
    kind = ItemKind(SUFFIXES, COLUMNS, config.column)
    return _file_source(source.name, open_item_files(source, kind, config), layout, announce)


def _unpacked(path: Path, announce: Announce) -> Path:
    """The folder of a compressed tar archive, unpacked once into the cache; other paths are unchanged."""
    if not path.exists():
        raise DataError(f"no file or folder {path} exists", "check the path")
    if not path.is_file() or not is_archive(path) or path.suffix.lower() in (".zip", ".tar"):
        return path
    folder = cache_folder() / "image" / "unpacked" / file_sha256(path)[:24]
    if not folder.is_dir():
        with exclusive_lock(folder.with_name(f"{folder.name}.lock"), announce):
            _unpack_once(path, folder, announce)
    mark_used(folder)
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _unpack_once(path: Path, folder: Path, announce: Announce) -> None:
    if folder.is_dir():  # another process was faster
        return
    announce(f"Unpacking {path.name} into {folder}, once")
    aside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        unpack_archive(path, aside).rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _digits_source() -> ImageSource:
    return ImageSource(DIGITS_VERSION, lambda: ImageSet(read_digits(), DIGITS_SIZE), LAYOUTS["digits"])


def _array_source(name: str, files: list[Path], layout: Layout, announce: Announce) -> ImageSource:
    # Earlier versions ignored numeric labels: their caches of such files must not be used.
    content = json.dumps([[path.name, file_sha256(path), *numeric_labels(path)] for path in files])

    def images() -> ImageSet:
        announce(f"Preparing the images of {name}, once")
        arrays, skipped = read_arrays(files, layout.classes)
        sides = [side for array in arrays for side in [min(array.pixels.shape[1:3])] * len(array.pixels)]
        return ImageSet(iterate_images(arrays), suggest_image_size(sides), arrays[0].classes, skipped)

    return ImageSource(hashlib.sha256(content.encode()).hexdigest(), images, layout)


def _file_source(name: str, files: ItemFiles, layout: Layout, announce: Announce) -> ImageSource:
    inventory = find_images(files, announce)
    splits = files.splits([found.name for found in inventory.found])
    content = json.dumps([(found.name, found.content_hash) for found in inventory.found])

    def images() -> ImageSet:
        announce(f"Preparing {len(inventory.found):,} images of {name}, once")
        items = (
            ImageItem(found.name, found.content_hash, _make_reader(files, found), split=split)
            for found, split in zip(inventory.found, splits, strict=True)
        )
        sides = [min(found.header.width, found.header.height) for found in inventory.found]
        return ImageSet(items, suggest_image_size(sides))

    return ImageSource(
        hashlib.sha256(content.encode()).hexdigest(),
        images,
        layout,
        files.labels,
        inventory.skipped,
        files.other_suffixes,
        sum(found.header.animated for found in inventory.found),
    )


def _make_reader(files: ItemFiles, found: InspectedFile[ImageHeader]) -> Callable[[], Image.Image]:
    return lambda: decode(files.read(found.name))
