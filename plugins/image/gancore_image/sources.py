"""The named data sets of images, and what is known about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gancore.records import SourceEntry

_MNIST_HOME = "https://storage.googleapis.com/cvdf-datasets/mnist"
_FASHION_HOME = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"

DIGITS = SourceEntry(
    "digits",
    "1,797 real handwritten digits of 8x8 pixels, which scikit-learn brings, enlarged",
    "CC-BY-4.0",
)
MNIST = SourceEntry(
    "mnist",
    "handwritten digits, 60,000 and 10,000, grey, 28x28, padded",
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
    "pictures of clothes, 60,000 and 10,000, grey, 28x28, padded",
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
    home="https://github.com/alexeygrigorev/clothing-dataset-small (its train and test folders)",
)
SOURCES: Mapping[str, SourceEntry] = {
    entry.name: entry for entry in (DIGITS, MNIST, FASHION_MNIST, CIFAR10, CLOTHING64)
}


@dataclass(frozen=True)
class Layout:
    """How a named set is prepared where the configuration does not say, and the names of its classes."""

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
