"""Writes what a hosted page of a model needs: the files of a Hugging Face Space."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

import gancore
from gancore.app.card import card_of, front_matter
from gancore.app.launch import require_gradio
from gancore.errors import ConfigError, GancoreError
from gancore.files import write_files_atomic
from gancore.model_lookup import find_model, load
from gancore.models.folder import CARD, MODEL_FILES
from gancore.progress import Announce, silent

APP = '''"""Serves the page of the model in the folder beside this file."""

import contextlib
import os
from pathlib import Path

from gancore.app.launch import open_page

with contextlib.suppress(KeyboardInterrupt):
    open_page(
        Path(__file__).parent / "model",
        host=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
        port=int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
        announce=lambda line: print(line, flush=True),
    )
'''
ATTRIBUTES = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
"""Weights in git are stored by its extension for large files."""
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
"""Where torch without CUDA is, which a hosted page does not need."""
PYTHON = "3.11"


def write_space(model: str | Path, folder: Path, announce: Announce = silent) -> list[Path]:
    """Write ``app.py``, ``requirements.txt``, ``README.md`` with its front matter, and the model.

    Args:
        model: a run folder, a model folder, or the name of a model.
        folder: a new or an empty folder.
        announce: called with each line about a download of the model.

    Returns:
        The path of every file.

    Raises:
        ConfigError: the folder is not empty, the model generates nothing, or Gradio is not installed.
        GancoreError: the model cannot be opened, or the files cannot be written.
    """
    require_gradio()
    place = find_model(model, announce)
    loaded = load(place, "cpu")
    loaded.require_generator()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty", "give a new folder")
    texts = {
        "app.py": APP,
        "requirements.txt": requirements(loaded.config),
        "README.md": _readme(loaded.config, _licence(card_of(place))),
        ".gitattributes": ATTRIBUTES,
    }

    def write(temporary: Path) -> list[Path]:
        (temporary / "model").mkdir()
        copied = [name for name in sorted(MODEL_FILES) if (place / name).is_file()]
        for name in copied:
            shutil.copyfile(place / name, temporary / "model" / name)
        for name, text in texts.items():
            (temporary / name).write_text(text)
        return [temporary / name for name in (*texts, *(f"model/{name}" for name in copied))]

    try:
        return write_files_atomic(folder, write, "the page")
    except OSError as error:
        raise GancoreError(f"cannot write to {folder}: {error.strerror}", "give another folder") from error


def requirements(config: Mapping[str, Any]) -> str:
    """requirements.txt: this version of gancore, and the plugins that the model needs."""
    pins = {"gancore[app]": gancore.__version__, **config.get("plugins", {})}
    lines = [f"--extra-index-url {CPU_WHEELS}", *(f"{name}=={version}" for name, version in pins.items())]
    return "\n".join(lines) + "\n"


def _readme(config: Mapping[str, Any], licence: str) -> str:
    domain, recipe, data = config["domain"], config["recipe"], config.get("data") or {}
    source = data.get("source") or domain
    front = {
        "title": f"{recipe} on {source}",
        "sdk": "gradio",
        "sdk_version": metadata.version("gradio"),
        "python_version": PYTHON,
        "app_file": "app.py",
        "license": licence,
        "tags": ["gancore", domain, recipe],
    }
    matter = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    about = f"Samples of `{recipe}`, trained on `{source}`; the model card is `model/{CARD}`."
    return f"---\n{matter}---\n\n{about} The page is that of `gancore app model`.\n"


def _licence(card: str) -> str:
    """The licence that a model card names; ``other`` if it names none."""
    licence = front_matter(card).get("license")
    return licence if isinstance(licence, str) else "other"
