"""Weights of GPT-2 from a folder that ``save_pretrained`` wrote, for this plugin's ids of tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gancore.data import read_regular
from gancore.errors import ConfigError, GancoreError
from gancore.metrics import PretrainedWeights
from gancore.text import escape_unprintable, short_repr
from gancore_text.local_tokenizer import read_tokenizer
from gancore_text.tokenizer import END, RESERVED, UNKNOWN, TokenizerName

if TYPE_CHECKING:
    from gancore_text.gpt2 import GPT2LanguageModel

FINE_TUNING_LR = 1e-4
WEIGHTS = "model.safetensors"
MAX_SETTINGS_BYTES = 1 << 20
_FIX = "give a folder that GPT2LMHeadModel.save_pretrained and the tokenizer's save_pretrained wrote"
_BUILT: Mapping[str, Any] = {
    "model_type": "gpt2",
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "n_inner": None,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}
"""The settings that the recipe builds; a folder may leave them out."""
UNLIKELY, NEVER = -10.0, -30.0
"""Biases of logits: of the unknown token, and of a second row for the end, which no text has."""


@dataclass(frozen=True)
class Architecture:
    """Sizes in a ``config.json``; ``end`` is the id of the token that begins and ends texts."""

    width: int
    layers: int
    heads: int
    end: int


def read_architecture(folder: str) -> Architecture:
    """The sizes of the model in this folder.

    Raises:
        ConfigError: it has no config.json, or one of another model.
    """
    shown = f"model.pretrained: {escape_unprintable(str(Path(folder) / 'config.json'))}"
    try:
        settings = json.loads(
            read_regular((Path(folder).expanduser() / "config.json").resolve(), MAX_SETTINGS_BYTES)
        )
    except OSError as error:
        raise ConfigError(f"{shown} cannot be read: {error.strerror}", _FIX) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{shown} is not JSON: {error}", _FIX) from None
    if not isinstance(settings, dict):
        raise ConfigError(f"{shown} is not an object of JSON", _FIX)
    for name, built in _BUILT.items():
        if settings.get(name, built) != built:
            value = short_repr(settings[name])
            raise ConfigError(f"{shown} has {name}={value}; the recipe builds {built!r}", _FIX)
    sizes = [settings.get(name) for name in ("n_embd", "n_layer", "n_head", "eos_token_id")]
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise ConfigError(f"{shown} lacks one of n_embd, n_layer, n_head, eos_token_id", _FIX)
    return Architecture(*(int(size) for size in sizes if size is not None))


@dataclass(frozen=True)
class PretrainedGPT2:
    """``folder`` holds config.json, model.safetensors and tokenizer.json.

    ``tokenizer`` and ``definition`` are those of the data.
    """

    folder: str
    tokenizer: TokenizerName
    definition: str

    @torch.no_grad()
    def load_into(self, model: GPT2LanguageModel) -> None:
        """Copy the weights into a model.

        Its END has the row of the folder's end of text, its UNKNOWN the mean of all rows.

        Raises:
            ConfigError: tokenizers, sizes or files do not fit.
        """
        self._check_tokenizer()
        architecture, tensors = read_architecture(self.folder), self._read_tensors()
        words = tensors.pop("wte.weight", None)
        self._check_words(words, architecture, model)
        assert words is not None
        end, rows = words[architecture.end], model.vocab_size - RESERVED
        model.embedding[END], model.embedding[UNKNOWN] = end, words.mean(0)
        model.embedding[RESERVED:] = words[:rows]
        model.start.copy_(end)
        model.bias.zero_()
        model.bias[UNKNOWN] = UNLIKELY
        if architecture.end < rows:
            model.bias[RESERVED + architecture.end] = NEVER
        self._load_body(model.trunk.body, tensors)

    def _check_tokenizer(self) -> None:
        fix = f"set data.tokenizer={self.folder} and model.tokenizer=local"
        if self.tokenizer != "local" or not self.definition:
            raise ConfigError("model.pretrained needs the tokenizer of its folder", fix)
        try:
            own = read_tokenizer(self.folder)
        except GancoreError as error:
            raise ConfigError(f"model.pretrained: {error}", _FIX) from None
        if own != self.definition:
            raise ConfigError(
                f"data.tokenizer is another one than {Path(self.folder) / 'tokenizer.json'}, so that ids of "
                "tokens have other meanings",
                fix,
            )

    def _read_tensors(self) -> dict[str, Tensor]:
        path = Path(self.folder) / WEIGHTS
        if not path.is_file():
            pickles = sorted(p.name for p in Path(self.folder).glob("*.bin"))
            note = f" ({pickles[0]} is a pickle, which is not read)" if pickles else ""
            raise ConfigError(f"model.pretrained: {self.folder} has no {WEIGHTS}{note}", _FIX)
        loaded = PretrainedWeights.read("model.pretrained", path, _FIX).tensors
        return {name.removeprefix("transformer."): tensor for name, tensor in loaded.items()}

    def _check_words(
        self, words: Tensor | None, architecture: Architecture, model: GPT2LanguageModel
    ) -> None:
        if words is None or words.dim() != 2:
            raise ConfigError(f"model.pretrained: {self.folder}/{WEIGHTS} lacks wte.weight", _FIX)
        config = model.trunk.body.config
        sizes = Architecture(config.n_embd, config.n_layer, config.n_head, architecture.end)
        if sizes != architecture or words.shape[1] != architecture.width:
            raise ConfigError(
                f"model.pretrained has width {architecture.width}, {architecture.layers} layers and "
                f"{architecture.heads} heads, the model {sizes.width}, {sizes.layers} and {sizes.heads}",
                "leave out model.width, model.layers and model.heads",
            )
        tokens = model.vocab_size - RESERVED
        if max(tokens, architecture.end + 1) > len(words):
            raise ConfigError(
                f"model.pretrained has embeddings of {len(words):,} tokens; its tokenizer has {tokens:,}, "
                f"and the end of texts is token {architecture.end}",
                _FIX,
            )

    def _load_body(self, body: Any, tensors: Mapping[str, Tensor]) -> None:
        """Positions beyond the length of the model are left out."""
        own = body.state_dict()
        for name, tensor in own.items():
            given = tensors.get(name)
            if name == "wpe.weight" and given is not None and given.dim() == 2:
                if len(given) < len(tensor):
                    raise ConfigError(
                        f"model.pretrained has {len(given)} positions, and texts have up to {len(tensor)}",
                        "set a smaller data.max_characters",
                    )
                given = given[: len(tensor)]
            if given is None or given.shape != tensor.shape:
                found = "none" if given is None else f"{tuple(given.shape)}"
                raise ConfigError(
                    f"model.pretrained: {name} should have the shape {tuple(tensor.shape)}, found {found}",
                    _FIX,
                )
            tensor.copy_(given)
