"""The Inception-v3 of the Frechet Inception distance, for weights that the user has: none is brought.

The network, its resize (TensorFlow 1's bilinear one, to 299x299) and its scaling, (level - 128) / 128, are
those of the library torch-fidelity; it is given the weights, and so fetches none.
"""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor, nn

from gancore import ConfigError, Features, Spec, Workbench
from gancore.evaluation.store import digest_of
from gancore.models.given import Given, given_path
from gancore_image.sight import by_parts, coloured, opaque

SETTING = "GANCORE_INCEPTION"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of pt_inception-2015-12-05-6726825d.pth of pytorch-fid, which torch-fidelity publishes as weights-...: one
file, made of TensorFlow's inception-2015-12-05 that Heusel et al. 2017 used."""
WANTED = "give pt_inception-2015-12-05-6726825d.pth, as published for FID"
LAYER = "2048"


class InceptionFeatures(Features):
    """The 2048 numbers of the last pooling, as FID is defined on (Heusel et al. 2017)."""

    name = "inception-v3"
    frechet = "FID"

    def prepare(self, bench: Workbench) -> None:
        path = given_path(SETTING, self.name, "efficientnet-lite0 or classifier")
        self.net = load_inception(path)
        bench.announce(f"{self.name}: weights of {path.name}, sha256 {SHA256}, as published")

    @property
    def digest(self) -> str:
        return digest_of(self.name, 1, SHA256)

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return embed(self.net.to(samples.device), samples)


def embed(net: nn.Module, samples: Tensor) -> Tensor:
    """(n, channels, side, side) in [-1, 1] to (n, 2048)."""
    return by_parts(lambda part: net(seen(part))[0], samples)


def seen(samples: Tensor) -> Tensor:
    """What the network sees: levels (n, 3, side, side), uint8."""
    return coloured(opaque(samples)).to(torch.uint8)


def load_inception(path: Path) -> nn.Module:
    """The network with the weights of the file.

    Raises:
        ConfigError: no such file, or not the published one; or the library is not installed.
    """
    given = Given.read(SETTING, path, WANTED)
    if given.sha256 != SHA256:
        raise ConfigError(
            f"{given.place} is another file than that of FID (sha256 {given.sha256[:16]}, not {SHA256[:16]})",
            WANTED,
        )
    return built(given)


def built(given: Given) -> nn.Module:
    """torch-fidelity's network with these weights."""
    try:
        from torch_fidelity import FeatureExtractorInceptionV3
    except ImportError as error:
        raise ConfigError(
            f"features inception-v3 need the library torch-fidelity ({error})",
            'pip install "gancore-image[inception]"',
        ) from error
    content = io.BytesIO()
    torch.save(dict(given.tensors), content)
    content.seek(0)
    with torch.random.fork_rng(devices=[]):  # it draws weights before it takes those
        try:
            net: nn.Module = FeatureExtractorInceptionV3("inception-v3", [LAYER], content)
        except RuntimeError as error:
            raise ConfigError(f"{given.place} holds the weights of another network", WANTED) from error
    return net
