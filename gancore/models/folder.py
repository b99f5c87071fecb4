"""The model folder: what is shared. Weights and spec as safetensors, config as JSON, a card to read.

Loading reads JSON and safetensors and nothing else: nothing in a model folder is executed or
unpickled, and what its config names is only ever looked up among the installed plugins.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

import gancore
from gancore.domain import Spec
from gancore.errors import CheckpointError
from gancore.files import (
    Json,
    aside_name,
    discard,
    encode_json,
    most_tensor_bytes,
    put_in_place,
    read_json_object,
    read_regular,
    sha256,
    storage_error,
    sweep,
    sync_folder,
    write_synced,
)
from gancore.models.tensors import decode_tensors, encode_tensors

FORMAT, VERSION = "gancore-model", 1
WEIGHTS, SPEC, CONFIG, CARD = "model.safetensors", "spec.safetensors", "config.json", "README.md"
OWN_FILES = frozenset({WEIGHTS, SPEC, CONFIG, CARD})
RESERVED = frozenset({"format", "version", "spec", "files"})
FIX = "fetch or save the model again"


@dataclass(frozen=True)
class LoadedModel:
    """A model folder as read: nothing built yet. ``config`` is what ``save_model`` was given.

    ``digest``: sha256 of its file of weights, hexadecimal.
    """

    config: dict[str, Json]
    spec: Spec
    tensors: dict[str, Tensor]
    digest: str


def save_model(
    folder: Path,
    sampler_state: Mapping[str, Tensor],
    config: Mapping[str, Json],
    spec: Spec,
    card: str,
) -> None:
    """Write a model folder, aside, then swapped in: a kill leaves the old one whole or the new one.

    ``config`` has ``domain`` and ``recipe`` (names), ``model`` (the recipe's section), ``plugins``
    (version by distribution) and whatever facts of the training should travel. Equal tensors give a
    ``model.safetensors`` equal byte for byte. A folder that is no model folder is never replaced;
    a model folder to which someone added files is kept as ``NAME.before-1``.

    Raises:
        CheckpointError: the folder cannot be written, or is something else than a model.
    """
    folder = folder.resolve()
    files = _contents(sampler_state, config, spec, card)
    try:
        _refuse_to_replace(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent, folder.name)
        _write(folder, files)
    except OSError as error:
        raise storage_error(error, "the model", folder, sum(map(len, files.values()))) from error


def _contents(
    sampler_state: Mapping[str, Tensor], config: Mapping[str, Json], spec: Spec, card: str
) -> dict[str, bytes]:
    """The bytes of each file, by name."""
    _check_config(config, "the model's config")
    if taken := RESERVED & set(config):
        raise CheckpointError(
            f"the model's config uses reserved keys: {', '.join(sorted(taken))}", "rename them"
        )
    files = {WEIGHTS: encode_tensors(sampler_state, "the model")}
    if spec.tensors:
        files[SPEC] = encode_tensors(spec.tensors, "the spec")
    content = {
        "gancore": gancore.__version__,
        **config,
        "format": FORMAT,
        "version": VERSION,
        "spec": dict(spec.facts),
        "files": {name: sha256(data) for name, data in files.items()},
    }
    return {**files, CONFIG: encode_json(content), CARD: card.encode()}


def _refuse_to_replace(folder: Path) -> None:
    """Raises CheckpointError where something stands that is neither a model nor an empty folder."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        _read_config(folder)
    except (CheckpointError, OSError) as error:
        message = f"{folder} holds something else than a model: it is not replaced"
        raise CheckpointError(message, "give another folder, or empty this one") from error


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    aside = aside_name(folder)
    try:
        os.mkdir(aside)
        for name, data in files.items():
            write_synced(aside / name, data)
        sync_folder(aside)
        _set_additions_aside(folder)
        put_in_place(aside, folder)
    finally:
        if aside.exists():
            discard(aside)


def _set_additions_aside(folder: Path) -> None:
    """Rename a model folder that holds more than a model, so that nothing of the user's is lost."""
    if not folder.is_dir() or {path.name for path in folder.iterdir()} <= OWN_FILES:
        return
    number = 1
    while (kept := folder.parent / f"{folder.name}.before-{number}").exists():
        number += 1
    os.rename(folder, kept)


def load_model(folder: Path) -> LoadedModel:
    """Read a model folder; see the module's text for what is never done.

    Raises:
        CheckpointError: a file is missing, damaged, of another format, or no safetensors at all.
    """
    try:
        content = _read_config(folder)
        weights, digest = _read(folder / WEIGHTS, content["files"])
        tensors = decode_tensors(weights, WEIGHTS)
        spec_tensors = (
            decode_tensors(_read(folder / SPEC, content["files"])[0], SPEC)
            if _has_spec(folder, content)
            else {}
        )
    except CheckpointError as error:
        raise CheckpointError(f"model folder {folder}: {error.message}", error.fix or FIX) from error
    except OSError as error:
        raise _unreadable(folder, error) from error
    config = {name: value for name, value in content.items() if name not in RESERVED}
    return LoadedModel(config, Spec(content["spec"], spec_tensors), tensors, digest)


def _has_spec(folder: Path, content: Mapping[str, Json]) -> bool:
    return SPEC in content["files"] or (folder / SPEC).exists()


def _unreadable(folder: Path, error: OSError) -> CheckpointError:
    if not folder.exists():
        return CheckpointError(f"no model folder {folder}", "name a run, a model folder or a known model")
    name = Path(error.filename).name if error.filename else "a file"
    reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
    return CheckpointError(f"model folder {folder}: {name} {reason}", FIX)


def _read_config(folder: Path) -> dict[str, Json]:
    content = read_json_object((folder / CONFIG).resolve())
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{CONFIG} is not that of a gancore model")
    if content.get("version") != VERSION:
        message = f"{CONFIG} has format version {content.get('version')!r}, this gancore reads {VERSION}"
        raise CheckpointError(message, "install the gancore that wrote it, or a later one")
    content.setdefault("files", {})
    for name in ("spec", "files"):
        if not isinstance(content.get(name), dict):
            raise CheckpointError(f"{CONFIG}: {name} must be an object")
    _check_config(content, CONFIG)
    return content


def _check_config(config: Mapping[str, Json], name: str) -> None:
    """Names are names: nothing but strings where plugins are looked up."""
    for key in ("domain", "recipe"):
        if not isinstance(config.get(key), str):
            raise CheckpointError(f"{name}: {key} must be a name, not {config.get(key)!r}"[:200])
    if not isinstance(config.get("model"), Mapping):
        raise CheckpointError(f"{name}: model must be an object")
    plugins = config.get("plugins")
    if not isinstance(plugins, Mapping) or not all(isinstance(text, str) for text in plugins.values()):
        raise CheckpointError(f"{name}: plugins must map distributions to versions, both strings")


def _read(path: Path, digests: Mapping[str, Json]) -> tuple[bytes, str]:
    """The bytes of a file and their sha256, checked against the config's, where that says one.

    A link is followed: caches of downloaded models are made of links. No file is written here.
    """
    data = read_regular(path.resolve(), most_tensor_bytes())
    digest = sha256(data)
    if digests.get(path.name, digest) != digest:
        decode_tensors(data, path.name)  # says more, where it is no safetensors file at all
        raise CheckpointError(
            f"{path.name} is not the file that {CONFIG} was written with (its sha256 differs)"
        )
    return data, digest
