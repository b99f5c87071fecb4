"""Read third-party weights from a file of the user without executing anything in it."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gancore.errors import ConfigError
from gancore.models.tensors import decode_tensors


def weights_path(setting: str, features: str, alternative: str) -> Path:
    """The path in the environment variable ``setting``. Raises ConfigError if the variable is not set."""
    path = os.environ.get(setting)
    if not path:
        raise ConfigError(
            f"the feature extractor {features} needs published weights, which gancore does not download",
            f"set {setting} to their file, or use the feature extractor {alternative}",
        )
    return Path(path)


@dataclass(frozen=True)
class PretrainedWeights:
    """The tensors of a file by name, float32, and its sha256. Errors name ``origin`` and ``expected``."""

    origin: str
    expected: str
    sha256: str
    tensors: Mapping[str, Tensor]

    @classmethod
    def read(cls, setting: str, path: Path, expected: str) -> PretrainedWeights:
        """Read a state_dict of PyTorch, or safetensors. ``expected`` describes the file that is needed.

        Raises:
            ConfigError: the file does not exist or contains no weights.
        """
        origin = f"{setting}: {path}"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{origin} cannot be read ({error.strerror})", "name a file") from error
        try:
            loaded = _decode(path, content)
        except Exception as error:  # a damaged pickle may raise any exception
            raise ConfigError(f"{origin} has no weights that can be read safely", expected) from error
        tensors = {name: value.float() for name, value in loaded.items() if isinstance(value, Tensor)}
        return cls(origin, expected, hashlib.sha256(content).hexdigest(), tensors)

    def fill(self, net: nn.Module, allowed_extra: Collection[str] | None = None) -> None:
        """Load the tensors into a network, which may be on the device ``meta``.

        ``allowed_extra`` are names that may be in the file and not in the network; None allows all names.

        Raises:
            ConfigError: a tensor of the network is missing or has another shape, or the file has others.
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
        for name, shape in shapes.items():
            if name not in self.tensors or tuple(self.tensors[name].shape) != shape:
                raise ConfigError(f"{self.origin} lacks {name} of shape {shape}", self.expected)
        extra = self.tensors.keys() - shapes.keys() - set(allowed_extra or ())
        if allowed_extra is not None and extra:
            raise ConfigError(
                f"{self.origin} has {min(extra)}, which belongs to another network", self.expected
            )
        net.load_state_dict({name: self.tensors[name] for name in shapes}, assign=True)


def _decode(path: Path, content: bytes) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        return decode_tensors(content, path.name)
    loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return loaded if isinstance(loaded, Mapping) else {}
