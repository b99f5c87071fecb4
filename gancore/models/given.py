"""Weights of a network that others trained, in a file that the user has: read, and nothing in it is run."""

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


def given_path(setting: str, features: str, instead: str) -> Path:
    """The file that a setting of the environment names. Raises ConfigError: it names none."""
    path = os.environ.get(setting)
    if not path:
        raise ConfigError(
            f"features {features} need the published weights, which gancore neither brings nor downloads",
            f"set {setting} to their file, or use features {instead}",
        )
    return Path(path)


@dataclass(frozen=True)
class Given:
    """The tensors of a file by name, float32, and its sha256. ``place`` and ``wanted`` are told in errors."""

    place: str
    wanted: str
    sha256: str
    tensors: Mapping[str, Tensor]

    @classmethod
    def read(cls, setting: str, path: Path, wanted: str) -> Given:
        """A state_dict of PyTorch's, or safetensors; ``wanted`` says what it should hold.

        Raises:
            ConfigError: no such file, or it holds something else.
        """
        place = f"{setting}: {path}"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{place} cannot be read ({error.strerror})", "name a file") from error
        try:
            held = _decoded(path, content)
        except Exception as error:  # a damaged pickle raises anything
            raise ConfigError(f"{place} holds no weights that can be read safely", wanted) from error
        tensors = {name: value.float() for name, value in held.items() if isinstance(value, Tensor)}
        return cls(place, wanted, hashlib.sha256(content).hexdigest(), tensors)

    def fill(self, net: nn.Module, beside: Collection[str] | None = None) -> None:
        """Puts the tensors into a network that may be without memory (on the device ``meta``).

        ``beside``: names that the file may hold and the network need not; None: any.

        Raises:
            ConfigError: a tensor of the network is not there, or of another shape; or there is another.
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
        for name, shape in shapes.items():
            if name not in self.tensors or tuple(self.tensors[name].shape) != shape:
                raise ConfigError(f"{self.place} lacks {name} of shape {shape}", self.wanted)
        more = self.tensors.keys() - shapes.keys() - set(beside or ())
        if beside is not None and more:
            raise ConfigError(f"{self.place} holds {min(more)}, which is of another network", self.wanted)
        net.load_state_dict({name: self.tensors[name] for name in shapes}, assign=True)


def _decoded(path: Path, content: bytes) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        return decode_tensors(content, path.name)
    held = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return held if isinstance(held, Mapping) else {}
