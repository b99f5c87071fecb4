"""The Inception-v3 of the Frechet Inception distance, with weights of the user; none are included.

The network, its resize (TensorFlow 1's bilinear one, to 299x299) and its scaling, (level - 128) / 128, are
those of the library torch-fidelity, which gets the weights and so downloads none.
"""

from __future__ import annotations

import io
from pathlib import Path

import torch
from torch import Tensor, nn

from gancore import ConfigError, FeatureContext, FeatureExtractor, Spec
from gancore.data import digest_json
from gancore.metrics import PretrainedWeights, weights_path
from gancore_image.network_input import flatten_alpha, map_in_chunks, to_rgb

WEIGHTS_VARIABLE = "GANCORE_INCEPTION"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of pt_inception-2015-12-05-6726825d.pth of pytorch-fid, which torch-fidelity publishes as weights-...: one
file, made of TensorFlow's inception-2015-12-05 that Heusel et al. 2017 used."""
EXPECTED = "give pt_inception-2015-12-05-6726825d.pth, as published for FID"
LAYER = "2048"


class InceptionFeatures(FeatureExtractor):
    """The 2048 numbers of the last pooling, as FID is defined on (Heusel et al. 2017)."""

    name = "inception-v3"
    frechet_name = "FID"

    def prepare(self, context: FeatureContext) -> None:
        path = weights_path(WEIGHTS_VARIABLE, self.name, "efficientnet-lite0 or classifier")
        self.net = load_inception(path)
        context.announce(f"{self.name}: weights of {path.name}, sha256 {SHA256}, as published")

    @property
    def digest(self) -> str:
        return digest_json(self.name, 1, SHA256)

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return embed(self.net.to(samples.device), samples)


def embed(net: nn.Module, samples: Tensor) -> Tensor:
    """(n, channels, side, side) in [-1, 1] to (n, 2048)."""
    return map_in_chunks(lambda part: net(preprocess(part))[0], samples)


def preprocess(samples: Tensor) -> Tensor:
    """The input of the network: levels (n, 3, side, side), uint8."""
    return to_rgb(flatten_alpha(samples)).to(torch.uint8)


def load_inception(path: Path) -> nn.Module:
    """The network with the weights of the file.

    Raises:
        ConfigError: no such file, or not the published one; or the library is not installed.
    """
    given = PretrainedWeights.read(WEIGHTS_VARIABLE, path, EXPECTED)
    if given.sha256 != SHA256:
        raise ConfigError(
            f"{given.origin} is not the weights file of FID (sha256 {given.sha256[:16]}, not {SHA256[:16]})",
            EXPECTED,
        )
    return built(given)


def built(given: PretrainedWeights) -> nn.Module:
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
    with torch.random.fork_rng(devices=[]):  # it initialises weights before it loads these
        try:
            net: nn.Module = FeatureExtractorInceptionV3("inception-v3", [LAYER], content)
        except RuntimeError as error:
            raise ConfigError(f"{given.origin} has the weights of another network", EXPECTED) from error
    return net
