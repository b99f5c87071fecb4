"""DINOv2 (Oquab et al. 2023), a vision transformer for patches of 14 pixels, for weights that the user has.

The layers are those of Dosovitskiy et al. 2020, with LayerScale (Touvron et al. 2021); their names are those
of the published files, from whose shapes the size is read: S/14, B/14 or L/14, without registers.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, scaled_dot_product_attention

from gancore import ConfigError, Features, Spec, Workbench
from gancore.evaluation.store import digest_of
from gancore.models.given import Given, given_path
from gancore_image.sight import by_parts, coloured, normalised, opaque, resized

SETTING = "GANCORE_DINOV2"
WANTED = "give dinov2_vits14_pretrain.pth, or that of vitb14 or vitl14, as published"
PUBLISHED = {
    "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9": "ViT-S/14",
    "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73": "ViT-B/14",
    "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428": "ViT-L/14",
}
"""The sha256 of those files."""
SIDE, PATCH, HEAD, EPSILON = 224, 14, 64, 1e-6
OFFSET = 0.1
"""Places more that positions are interpolated to, of which the published code makes use in its scale."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, channel by channel."""
UNUSED = ("mask_token",)
"""What stood for hidden patches in training."""


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
        seen = scaled_dot_product_attention(*heads.unbind(0))
        made: Tensor = self.proj(seen.transpose(1, 2).flatten(2))
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
    """Pictures (n, 3, side, side), side a multiple of 14, to the class token, (n, width)."""

    def __init__(self, width: int, depth: int, places: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + places, width))
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
        planes = self.pos_embed[:, 1:].unflatten(1, (grid, grid)).permute(0, 3, 1, 2)
        scale = (side + OFFSET) / grid
        places = interpolate(planes, scale_factor=(scale, scale), mode="bicubic")  # (1, width, side, side)
        return torch.cat([self.pos_embed[:, :1], places.flatten(2).transpose(1, 2)], 1)


def load_dinov2(path: Path) -> tuple[DINOv2, str]:
    """The network with the weights of a file (PyTorch's, or safetensors), and the file's sha256.

    Raises:
        ConfigError: no such file, or it holds something else.
    """
    given = Given.read(SETTING, path, WANTED)
    with torch.device("meta"):
        net = DINOv2(*size_of(given))
    given.fill(net, beside=UNUSED)
    return net.eval().requires_grad_(False), given.sha256


def size_of(given: Given) -> tuple[int, int, int]:
    """Width, depth and number of places."""
    positions = given.tensors.get("pos_embed", torch.empty(0))
    places = positions.shape[1] - 1 if positions.dim() == 3 else 0
    numbers = {int(found[1]) for name in given.tensors if (found := re.match(r"blocks\.(\d+)\.", name))}
    if not numbers or places < 1 or round(places**0.5) ** 2 != places or positions.shape[2] % HEAD:
        raise ConfigError(f"{given.place} holds no weights of DINOv2", WANTED)
    return positions.shape[2], len(numbers), places


class DINOv2Features(Features):
    """The class token of the last layer, normalised: 384, 768 or 1024 numbers, as in Stein et al. 2023."""

    name = "dinov2"
    frechet = "FD of dinov2"

    def prepare(self, bench: Workbench) -> None:
        path = given_path(SETTING, self.name, "efficientnet-lite0 or classifier")
        self.net, self.sha256 = load_dinov2(path)
        known = PUBLISHED.get(self.sha256)
        origin = f"the published {known}" if known else "none of the published files"
        bench.announce(f"{self.name}: weights of {path.name}, sha256 {self.sha256}, {origin}")

    @property
    def digest(self) -> str:
        return digest_of(self.name, 1, self.sha256, SIDE)

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return embed(self.net.to(samples.device), samples)


def embed(net: DINOv2, samples: Tensor) -> Tensor:
    """(n, channels, side, side) in [-1, 1] to (n, width)."""
    return by_parts(lambda part: net(seen(part)), samples)


def seen(samples: Tensor) -> Tensor:
    """What the network sees, (n, 3, 224, 224): levels over 255, by ImageNet's mean and deviation."""
    levels = coloured(resized(opaque(samples), SIDE))
    return normalised(levels, torch.tensor(MEAN), torch.tensor(DEVIATION))
