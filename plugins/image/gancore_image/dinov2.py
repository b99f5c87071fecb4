"""DINOv2 (Oquab et al. 2023), a vision transformer for patches of 14 pixels, with weights of the user.

The layers are those of Dosovitskiy et al. 2020, with LayerScale (Touvron et al. 2021); their names are those
of the published files, and the size is read from shapes: S/14, B/14 or L/14, without registers.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, scaled_dot_product_attention

from gancore import ConfigError, FeatureContext, FeatureExtractor, Spec
from gancore.data import digest_json
from gancore.metrics import PretrainedWeights, weights_path
from gancore_image.network_input import flatten_alpha, map_in_chunks, normalize, resize_levels, to_rgb

WEIGHTS_VARIABLE = "GANCORE_DINOV2"
EXPECTED = "give dinov2_vits14_pretrain.pth, or that of vitb14 or vitl14, as published"
PUBLISHED = {
    "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9": "ViT-S/14",
    "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73": "ViT-B/14",
    "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428": "ViT-L/14",
}
"""The sha256 of the published files."""
SIDE, PATCH, HEAD, EPSILON = 224, 14, 64, 1e-6
OFFSET = 0.1
"""Added to the interpolated side in the scale, as in the published code."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, channel by channel."""
UNUSED = ("mask_token",)
"""The token of masked patches in training."""


class Patches(nn.Module):
    """(n, 3, side, side) to (n, patches, width), row by row."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)

    def forward(self, x: Tensor) -> Tensor:
        planes: Tensor = self.proj(x)
        return planes.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """softmax(q k' / sqrt(64)) v in heads of 64, and a linear layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(x).unflatten(2, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)  # (3, n, heads, tokens, 64)
        attended = scaled_dot_product_attention(*heads.unbind(0))
        made: Tensor = self.proj(attended.transpose(1, 2).flatten(2))
        return made


class MLP(nn.Module):
    """W2 GELU(W1 x), four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.fc2(gelu(self.fc1(x)))
        return made


class LayerScale(nn.Module):
    """gamma x, number by number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.gamma * x


class Block(nn.Module):
    """x + g1 attention(norm x), and of that y + g2 MLP(norm y)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=EPSILON) for _ in range(2))
        self.attn, self.mlp = Attention(width), MLP(width)
        self.ls1, self.ls2 = LayerScale(width), LayerScale(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        made: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return made


class DINOv2(nn.Module):
    """Images (n, 3, side, side), side a multiple of 14, to the class token, (n, width)."""

    def __init__(self, width: int, depth: int, n_positions: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + n_positions, width))
        self.patch_embed = Patches(width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch_embed(x)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), patches], 1)
        made: Tensor = self.norm(self.blocks(tokens + self.positions(x.shape[-1] // PATCH)))
        return made[:, 0]

    def positions(self, side: int) -> Tensor:
        """(1, 1 + side^2, width): those of the grid that was trained on, 37 by 37, interpolated (bicubic)."""
        grid = round((self.pos_embed.shape[1] - 1) ** 0.5)
        if grid == side:
            return self.pos_embed
        planes = torch.unflatten(self.pos_embed[:, 1:], 1, (grid, grid)).permute(0, 3, 1, 2)
        scale = (side + OFFSET) / grid
        positions = interpolate(planes, scale_factor=(scale, scale), mode="bicubic")  # (1, width, side, side)
        return torch.cat([self.pos_embed[:, :1], positions.flatten(2).transpose(1, 2)], 1)


def load_dinov2(path: Path) -> tuple[DINOv2, str]:
    """The network with the weights of a file (PyTorch's, or safetensors), and the file's sha256.

    Raises:
        ConfigError: no such file, or it holds something else.
    """
    given = PretrainedWeights.read(WEIGHTS_VARIABLE, path, EXPECTED)
    with torch.device("meta"):
        net = DINOv2(*size_of(given))
    given.fill(net, allowed_extra=UNUSED)
    return net.eval().requires_grad_(False), given.sha256


def size_of(given: PretrainedWeights) -> tuple[int, int, int]:
    """Width, depth and number of positions."""
    embedding = given.tensors.get("pos_embed", torch.empty(0))
    n_positions = embedding.shape[1] - 1 if embedding.dim() == 3 else 0
    numbers = {int(found[1]) for name in given.tensors if (found := re.match(r"blocks\.(\d+)\.", name))}
    if (
        not numbers
        or n_positions < 1
        or round(n_positions**0.5) ** 2 != n_positions
        or embedding.shape[2] % HEAD
    ):
        raise ConfigError(f"{given.origin} has no weights of DINOv2", EXPECTED)
    return embedding.shape[2], len(numbers), n_positions


class DINOv2Features(FeatureExtractor):
    """The normalised class token of the last layer: 384, 768 or 1024 numbers, as in Stein et al. 2023."""

    name = "dinov2"
    frechet_name = "FD of dinov2"

    def prepare(self, context: FeatureContext) -> None:
        path = weights_path(WEIGHTS_VARIABLE, self.name, "efficientnet-lite0 or classifier")
        self.net, self.sha256 = load_dinov2(path)
        known = PUBLISHED.get(self.sha256)
        origin = f"the published {known}" if known else "none of the published files"
        context.announce(f"{self.name}: weights of {path.name}, sha256 {self.sha256}, {origin}")

    @property
    def digest(self) -> str:
        return digest_json(self.name, 1, self.sha256, SIDE)

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return embed(self.net.to(samples.device), samples)


def embed(net: DINOv2, samples: Tensor) -> Tensor:
    """(n, channels, side, side) in [-1, 1] to (n, width)."""
    return map_in_chunks(lambda part: net(preprocess(part)), samples)


def preprocess(samples: Tensor) -> Tensor:
    """The input of the network, (n, 3, 224, 224): levels over 255, by ImageNet's mean and deviation."""
    levels = to_rgb(resize_levels(flatten_alpha(samples), SIDE))
    return normalize(levels, torch.tensor(MEAN), torch.tensor(STD))
