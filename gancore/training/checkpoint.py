"""Checkpoints: folders ``step-000000123`` that are whole or not there.

A checkpoint is written aside, every file synced, its manifest last, then renamed into place. The
newest one whose files match its manifest wins; there is no pointer file that could be wrong.
Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import gancore
from gancore.errors import CheckpointError
from gancore.files import (
    LARGEST_JSON_BYTES,
    Json,
    aside_name,
    decode_json,
    discard,
    encode_json,
    most_tensor_bytes,
    put_in_place,
    read_regular,
    sha256,
    storage_error,
    sweep,
    sync_folder,
    write_synced,
)
from gancore.models.tensors import decode_tensors, encode_tensors

FORMAT, VERSION = "gancore-checkpoint", 1
MANIFEST, STATE = "manifest.json", "state.json"
STEP_NAME = re.compile(r"step-(\d{9,18})")
TENSORS_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors")
FIX = "use another checkpoint, or start the run anew"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files all matched its manifest; tensors by file and name, on the CPU.

    ``manifest["about"]`` has the configuration (``config``), the seed, and the ``environment`` that it was
    computed in.
    """

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Json]
    manifest: Mapping[str, Json]
    path: Path


def step_name(step: int) -> str:
    return f"step-{step:09d}"


def save_checkpoint(
    folder: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Json],
    about: Mapping[str, Json],
    keep: int,
    protect: Collection[int] = (),
) -> Path:
    """Write ``folder/step-...``; remove older ones, but the newest ``keep`` and the steps in ``protect``.

    Each entry NAME of ``tensors`` becomes NAME.safetensors; ``about`` (the configuration, the
    seed, the environment) goes into the manifest. One process writes a folder at a time: hold the run's lock.

    Raises:
        CheckpointError: it cannot be written; what was there before stays.
    """
    final = folder / step_name(step)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        _write(final, step, tensors, state, about)
    except OSError as error:
        needed = sum(t.numel() * t.element_size() for group in tensors.values() for t in group.values())
        failed = storage_error(error, f"checkpoint of step {step}", folder, needed)
        older = [path.name for path in _by_step(folder).values() if path != final]
        kept = f" ({older[0]} stays)" if older else ""
        raise CheckpointError(failed.message + kept, failed.fix) from error
    _retire(folder, step, keep, protect)
    return final


def _write(
    final: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Json],
    about: Mapping[str, Json],
) -> None:
    aside = aside_name(final)
    try:
        os.mkdir(aside)
        files = {
            f"{name}.safetensors": _put(aside, f"{name}.safetensors", encode_tensors(group, name))
            for name, group in tensors.items()
        }
        files[STATE] = _put(aside, STATE, encode_json(state))
        manifest = _manifest(step, files, about)
        write_synced(aside / MANIFEST, manifest)
        sync_folder(aside)
        if not _is_same(final, manifest):
            put_in_place(aside, final)
    finally:
        if aside.exists():
            discard(aside)


def _put(folder: Path, name: str, data: bytes) -> dict[str, Json]:
    write_synced(folder / name, data)
    return {"bytes": len(data), "sha256": sha256(data)}


def _manifest(step: int, files: Mapping[str, Json], about: Mapping[str, Json]) -> bytes:
    """The manifest's bytes; it holds no time, so that equal checkpoints are equal byte for byte."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "step": step,
        "files": files,
        "about": about,
        "versions": {"gancore": gancore.__version__, "torch": torch.__version__},
    }
    return encode_json({**content, "sha256": sha256(encode_json(content))})


def _is_same(path: Path, manifest: bytes) -> bool:
    """Whether this very checkpoint is there already, whole."""
    try:
        return (
            read_regular(path / MANIFEST, LARGEST_JSON_BYTES) == manifest and load_checkpoint(path).step >= 0
        )
    except (OSError, CheckpointError):
        return False


def _retire(folder: Path, step: int, keep: int, protect: Collection[int]) -> None:
    """Remove old checkpoints. Later ones are left alone; torn ones do not count as kept."""
    kept = 0
    for old, path in _by_step(folder).items():
        if old > step or old in protect:
            continue
        wanted = old == step or (kept < keep and _has_its_files(path))
        kept += wanted
        if not wanted:
            discard(path)


def _by_step(folder: Path) -> dict[int, Path]:
    """The checkpoint folders by step, newest first, whole or not."""
    with contextlib.suppress(OSError):
        found = {path.name: path for path in folder.iterdir()}
        steps = {int(match[1]): name for name in found if (match := STEP_NAME.fullmatch(name))}
        return {step: found[steps[step]] for step in sorted(steps, reverse=True)}
    return {}


def saved_steps(folder: Path) -> list[int]:
    """The steps of which a checkpoint lies here, oldest first, whole or not."""
    return sorted(_by_step(folder))


def newest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest whole checkpoint, and why each newer one was refused (one line each)."""
    refused = []
    for step, path in _by_step(folder).items():
        try:
            checkpoint = load_checkpoint(path)
        except CheckpointError as error:
            refused.append(error.message)
            continue
        if checkpoint.step == step:
            return checkpoint, refused
        refused.append(f"{path.name}: holds step {checkpoint.step}")
    return None, refused


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, every file checked against the manifest.

    Raises:
        CheckpointError: a file is missing, torn, altered, of another format or version.
    """
    try:
        manifest = _read_manifest(path)
        files = {name: _read_file(path / name, facts) for name, facts in manifest["files"].items()}
        state = decode_json(files.pop(STATE), STATE)
        tensors = {
            name.removesuffix(".safetensors"): decode_tensors(data, name) for name, data in files.items()
        }
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "is missing" if missing else f"cannot be read ({error.strerror})"
        name = Path(error.filename).name if error.filename else "a file"
        raise CheckpointError(f"{path.name}: {name} {reason}", FIX) from error
    except CheckpointError as error:
        raise CheckpointError(f"{path.name}: {error.message}", FIX) from error
    return Checkpoint(manifest["step"], tensors, state, manifest, path)


def _read_manifest(path: Path) -> dict[str, Json]:
    data = read_regular(path / MANIFEST, LARGEST_JSON_BYTES)
    manifest = decode_json(data, MANIFEST)
    if manifest.get("format") != FORMAT:
        raise CheckpointError(f"{MANIFEST} is not that of a gancore checkpoint")
    if manifest.get("version") != VERSION:
        raise CheckpointError(f"written in format {manifest.get('version')!r}, this gancore reads {VERSION}")
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    # The bytes are compared too: a manifest altered to something that merely parses alike is refused.
    try:
        intact = manifest.get("sha256") == sha256(encode_json(content)) and encode_json(manifest) == data
    except (ValueError, RecursionError):  # half a pair of surrogates, or nested too deep
        intact = False
    if not intact:
        raise CheckpointError(f"{MANIFEST} is damaged")
    wrong = [name for name, right in _RIGHT.items() if not right(manifest.get(name))]
    if wrong:
        raise CheckpointError(f"{MANIFEST}: {wrong[0]} is not that of a checkpoint")
    return manifest


def _are_files(files: Json) -> bool:
    """Whether this lists the files that a checkpoint can have: plain names in its own folder."""
    return (
        isinstance(files, dict)
        and STATE in files
        and all(name == STATE or TENSORS_NAME.fullmatch(name) for name in files)
        and all(isinstance(facts, dict) and set(facts) == {"bytes", "sha256"} for facts in files.values())
        and all(type(facts["bytes"]) is int and isinstance(facts["sha256"], str) for facts in files.values())
    )


def _is_about(about: Json) -> bool:
    """Whether the parts that are read of it have their types; all of them may be missing."""
    if not isinstance(about, dict):
        return False
    environment = about.get("environment", {})
    return isinstance(environment, dict) and all(isinstance(text, str) for text in environment.values())


_RIGHT: Mapping[str, Callable[[Json], bool]] = {
    "step": lambda step: type(step) is int and 0 <= step < 10**18,
    "files": _are_files,
    "about": _is_about,
}
"""What each part of a manifest must be, beyond being whole."""


def _read_file(path: Path, facts: Mapping[str, Json]) -> bytes:
    size = path.stat().st_size
    if size != facts["bytes"]:
        raise CheckpointError(f"{path.name} has {size:,} bytes, not {facts['bytes']:,}")
    data = read_regular(path, min(size, most_tensor_bytes()))
    if sha256(data) != facts["sha256"]:
        raise CheckpointError(f"{path.name} is damaged (its sha256 is not the manifest's)")
    return data


def _has_its_files(path: Path) -> bool:
    """A quick look without reading the tensors: manifest and sizes."""
    try:
        files = _read_manifest(path)["files"]
        return all((path / name).stat().st_size == facts["bytes"] for name, facts in files.items())
    except (OSError, CheckpointError):
        return False
