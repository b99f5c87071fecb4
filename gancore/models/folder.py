"""The model folder, for sharing: weights and spec as safetensors, config as JSON, a model card.

Only JSON and safetensors are read: nothing in a model folder is executed or unpickled. Names in its config
are looked up among the installed plugins only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

import gancore
from gancore.data.dataset import Spec
from gancore.entries import CONTRACT_VERSION
from gancore.errors import CheckpointError
from gancore.files import (
    Json,
    encode_json,
    fsync_folder,
    max_tensor_bytes,
    read_json_object,
    read_regular,
    remove,
    remove_leftovers,
    replace_folder,
    sha256,
    storage_error,
    temporary_path,
    write_fsync,
)
from gancore.models.tensors import decode_tensors, encode_tensors

FORMAT = "gancore-model"
WEIGHTS, SPEC, CONFIG, CARD = "model.safetensors", "spec.safetensors", "config.json", "README.md"
PICTURE = "samples.png"
"""A picture of samples for the card. It is never read when a model is loaded."""
MODEL_FILES = frozenset({WEIGHTS, SPEC, CONFIG, CARD, PICTURE})
RESERVED_KEYS = frozenset({"format", "version", "spec", "files"})
FETCH_AGAIN = "fetch or save the model again"


@dataclass(frozen=True)
class ModelFiles:
    """The content of a model folder. ``config`` is that of :func:`write_model_folder`.

    ``weights_sha256`` is the sha256 of the file of weights, in hexadecimal.
    """

    config: dict[str, Json]
    spec: Spec
    tensors: dict[str, Tensor]
    weights_sha256: str


def write_model_folder(
    folder: Path,
    sampler_state: Mapping[str, Tensor],
    config: Mapping[str, Json],
    spec: Spec,
    card: str,
    picture: bytes | None = None,
) -> None:
    """Write a model folder atomically.

    It is written to a temporary folder and renamed: after an interruption, either the old or the new folder
    is complete. Equal tensors give an equal ``model.safetensors``, byte for byte. A folder that is not a
    model folder is never replaced; a model folder with additional files is renamed to ``NAME.before-1``.

    Args:
        folder: where the model folder is written.
        sampler_state: the state_dict of the sampler.
        config: ``domain`` and ``recipe`` (names), ``model`` (section of the recipe), ``plugins`` (version by
            distribution), and data about the training.
        spec: the spec of the data.
        card: the text of README.md.
        picture: samples as a PNG, which the card shows.

    Raises:
        CheckpointError: the folder cannot be written, or is not a model folder.
    """
    folder = folder.resolve()
    files = _encode_files(sampler_state, config, spec, card)
    if picture is not None:
        files[PICTURE] = picture
    try:
        _check_replaceable(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder.parent, folder.name)
        _write(folder, files)
    except OSError as error:
        raise storage_error(error, "the model", folder, sum(map(len, files.values()))) from error


def _encode_files(
    sampler_state: Mapping[str, Tensor], config: Mapping[str, Json], spec: Spec, card: str
) -> dict[str, bytes]:
    """The bytes of every file, by name."""
    _check_config(config, "the model's config")
    if conflicts := RESERVED_KEYS & set(config):
        raise CheckpointError(
            f"the model's config uses reserved keys: {', '.join(sorted(conflicts))}", "rename them"
        )
    files = {WEIGHTS: encode_tensors(sampler_state, "the model")}
    if spec.tensors:
        files[SPEC] = encode_tensors(spec.tensors, "the spec")
    config_content = {
        "gancore": gancore.__version__,
        **config,
        "format": FORMAT,
        "version": CONTRACT_VERSION,
        "spec": dict(spec.fields),
        "files": {name: sha256(data) for name, data in files.items()},
    }
    return {**files, CONFIG: encode_json(config_content), CARD: card.encode()}


def _check_replaceable(folder: Path) -> None:
    """Raise CheckpointError if the path exists and is neither a model folder nor an empty folder."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        _read_config(folder)
    except (CheckpointError, OSError) as error:
        message = f"{folder} is not a model folder and is not overwritten"
        raise CheckpointError(message, "give another folder, or empty this one") from error


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    temporary = temporary_path(folder)
    try:
        os.mkdir(temporary)
        for name, data in files.items():
            write_fsync(temporary / name, data)
        fsync_folder(temporary)
        _back_up_extra_files(folder)
        replace_folder(temporary, folder)
    finally:
        if temporary.exists():
            remove(temporary)


def _back_up_extra_files(folder: Path) -> None:
    """Rename a model folder that contains other files, so that they are kept."""
    if not folder.is_dir() or {path.name for path in folder.iterdir()} <= MODEL_FILES:
        return
    number = 1
    while (backup := folder.parent / f"{folder.name}.before-{number}").exists():
        number += 1
    os.rename(folder, backup)


def read_model_folder(folder: Path) -> ModelFiles:
    """Read a model folder. Nothing in it is executed or unpickled.

    Raises:
        CheckpointError: a file is missing, damaged, of another format, or not safetensors.
    """
    with _reading_errors(folder):
        content = _read_config(folder)
        weights, digest = _read_verified(folder / WEIGHTS, content["files"])
        tensors = decode_tensors(weights, WEIGHTS)
        spec_tensors = (
            decode_tensors(_read_verified(folder / SPEC, content["files"])[0], SPEC)
            if SPEC in content["files"] or (folder / SPEC).exists()
            else {}
        )
    config = {name: value for name, value in content.items() if name not in RESERVED_KEYS}
    return ModelFiles(config, Spec(content["spec"], spec_tensors), tensors, digest)


def read_model_config(folder: Path) -> dict[str, Json]:
    """The content of config.json of a model folder, with ``spec``; no tensor is read.

    Raises:
        CheckpointError: it is missing, damaged, or of another format.
    """
    with _reading_errors(folder):
        return _read_config(folder)


@contextmanager
def _reading_errors(folder: Path) -> Iterator[None]:
    """Within it, an error of reading is raised as CheckpointError that names the folder."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"model folder {folder}: {error.message}", error.fix or FETCH_AGAIN) from error
    except OSError as error:
        raise _read_error(folder, error) from error


def _read_error(folder: Path, error: OSError) -> CheckpointError:
    if not folder.exists():
        return CheckpointError(f"no model folder {folder}", "name a run, a model folder or a known model")
    name = Path(error.filename).name if error.filename else "a file"
    reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
    return CheckpointError(f"model folder {folder}: {name} {reason}", FETCH_AGAIN)


def _read_config(folder: Path) -> dict[str, Json]:
    content = read_json_object(_target(folder / CONFIG))
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{CONFIG} is not that of a gancore model")
    if content.get("version") != CONTRACT_VERSION:
        raise CheckpointError(
            f"{CONFIG} was written with contract version {content.get('version')!r}, "
            f"this gancore reads {CONTRACT_VERSION}",
            "train the model again, or install the gancore that wrote it",
        )
    content.setdefault("files", {})
    for name in ("spec", "files"):
        if not isinstance(content.get(name), dict):
            raise CheckpointError(f"{CONFIG}: {name} must be an object")
    if unknown := sorted(set(content["files"]) - {WEIGHTS, SPEC}):
        raise CheckpointError(f"{CONFIG}: files has {unknown[0]!r}, which is no file of a model"[:200])
    _check_config(content, CONFIG)
    return content


def _target(path: Path) -> Path:
    """Where a link leads, or the last link of a circle of them, which is then not read."""
    return Path(os.path.realpath(path))


def _check_config(config: Mapping[str, Json], name: str) -> None:
    """Check that names used to look up plugins are strings."""
    for key in ("domain", "recipe"):
        if not isinstance(config.get(key), str):
            raise CheckpointError(f"{name}: {key} must be a name, not {config.get(key)!r}"[:200])
    if not isinstance(config.get("model"), Mapping):
        raise CheckpointError(f"{name}: model must be an object")
    plugins = config.get("plugins")
    if not isinstance(plugins, Mapping) or not all(isinstance(text, str) for text in plugins.values()):
        raise CheckpointError(f"{name}: plugins must map distributions to versions, both strings")


def _read_verified(path: Path, digests: Mapping[str, Json]) -> tuple[bytes, str]:
    """The bytes of a file and their sha256, which is compared with that of the config if it has one.

    Links are followed, because caches of downloaded models consist of links. No file is written.
    """
    data = read_regular(_target(path), max_tensor_bytes())
    digest = sha256(data)
    if digests.get(path.name, digest) != digest:
        decode_tensors(data, path.name)  # has a better message if this is not a safetensors file
        raise CheckpointError(
            f"{path.name} is not the file that {CONFIG} was written with (its sha256 differs)"
        )
    return data, digest
