"""Checkpoints: folders ``step-000000123`` that are complete or absent.

A checkpoint is written under a temporary name, every file synced, its manifest last, then renamed. The
latest one whose files match its manifest is used; there is no pointer file that could be wrong.
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
from gancore.entries import CONTRACT_VERSION
from gancore.errors import CheckpointError
from gancore.files import (
    MAX_JSON_BYTES,
    Json,
    decode_json,
    encode_json,
    fsync_folder,
    max_tensor_bytes,
    read_regular,
    remove,
    remove_leftovers,
    replace_folder,
    sha256,
    storage_error,
    temporary_path,
    write_fsync,
)
from gancore.games.game import Game
from gancore.games.training_setup import TrainingSetup
from gancore.models.tensors import decode_tensors, encode_tensors
from gancore.nn.buffers import resize_buffers

FORMAT = "gancore-checkpoint"
MANIFEST, STATE = "manifest.json", "state.json"
STEP_NAME = re.compile(r"step-(\d{9,18})")
TENSORS_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors")
FIX = "use another checkpoint, or start a new run"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files all matched its manifest; tensors by file and name, on the CPU.

    ``manifest["metadata"]`` has the configuration (``config``), the seed, and the ``environment`` that it was
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
    metadata: Mapping[str, Json],
    keep: int,
    permanent: Collection[int] = (),
) -> Path:
    """Write ``folder/step-...``; remove older ones except the latest ``keep`` and the steps in ``permanent``.

    Each entry NAME of ``tensors`` becomes NAME.safetensors; ``metadata`` (the configuration, the
    seed, the environment) goes into the manifest. Hold the run's lock: one process writes at a time.

    Raises:
        CheckpointError: it cannot be written; older checkpoints stay.
    """
    final = folder / step_name(step)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        _write(final, step, tensors, state, metadata)
    except OSError as error:
        needed = sum(t.numel() * t.element_size() for group in tensors.values() for t in group.values())
        failed = storage_error(error, f"checkpoint of step {step}", folder, needed)
        older = [path.name for path in _folders_by_step(folder).values() if path != final]
        kept = f" ({older[0]} stays)" if older else ""
        raise CheckpointError(failed.message + kept, failed.fix) from error
    _remove_old(folder, step, keep, permanent)
    return final


def _write(
    final: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Json],
    metadata: Mapping[str, Json],
) -> None:
    temporary = temporary_path(final)
    try:
        os.mkdir(temporary)
        files = {
            f"{name}.safetensors": _write_file(temporary, f"{name}.safetensors", encode_tensors(group, name))
            for name, group in tensors.items()
        }
        files[STATE] = _write_file(temporary, STATE, encode_json(state))
        manifest = _manifest(step, files, metadata)
        write_fsync(temporary / MANIFEST, manifest)
        fsync_folder(temporary)
        if not _is_saved(final, manifest):
            replace_folder(temporary, final)
    finally:
        if temporary.exists():
            remove(temporary)


def _write_file(folder: Path, name: str, data: bytes) -> dict[str, Json]:
    write_fsync(folder / name, data)
    return {"bytes": len(data), "sha256": sha256(data)}


def _manifest(step: int, files: Mapping[str, Json], metadata: Mapping[str, Json]) -> bytes:
    """The manifest's bytes; it holds no time, so that equal checkpoints are equal byte for byte."""
    content = {
        "format": FORMAT,
        "version": CONTRACT_VERSION,
        "step": step,
        "files": files,
        "metadata": metadata,
        "versions": {"gancore": gancore.__version__, "torch": torch.__version__},
    }
    return encode_json({**content, "sha256": sha256(encode_json(content))})


def _is_saved(path: Path, manifest: bytes) -> bool:
    """Whether exactly this checkpoint is there already, complete."""
    try:
        return read_regular(path / MANIFEST, MAX_JSON_BYTES) == manifest and load_checkpoint(path).step >= 0
    except (OSError, CheckpointError):
        return False


def _remove_old(folder: Path, step: int, keep: int, permanent: Collection[int]) -> None:
    """Remove old checkpoints. Later ones stay; incomplete ones do not count as kept."""
    kept = 0
    for old, path in _folders_by_step(folder).items():
        if old > step or old in permanent:
            continue
        wanted = old == step or (kept < keep and _sizes_match(path))
        kept += wanted
        if not wanted:
            remove(path)


def _folders_by_step(folder: Path) -> dict[int, Path]:
    """The checkpoint folders by step, latest first, complete or not."""
    with contextlib.suppress(OSError):
        found = {path.name: path for path in folder.iterdir()}
        steps = {int(match[1]): name for name in found if (match := STEP_NAME.fullmatch(name))}
        return {step: found[steps[step]] for step in sorted(steps, reverse=True)}
    return {}


def saved_steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in ``folder``, ascending, complete or not."""
    return sorted(_folders_by_step(folder))


def latest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The latest complete checkpoint, and why each later one was refused (one line each)."""
    refused = []
    for step, path in _folders_by_step(folder).items():
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
        CheckpointError: a file is missing, truncated, altered, of another format or version.
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
    data = read_regular(path / MANIFEST, MAX_JSON_BYTES)
    manifest = decode_json(data, MANIFEST)
    if manifest.get("format") != FORMAT:
        raise CheckpointError(f"{MANIFEST} is not the manifest of a gancore checkpoint")
    if manifest.get("version") != CONTRACT_VERSION:
        raise CheckpointError(
            f"written with contract version {manifest.get('version')!r}, "
            f"this gancore reads {CONTRACT_VERSION}"
        )
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    # The bytes are compared too: a manifest that was altered and parses to the same values is refused.
    try:
        intact = manifest.get("sha256") == sha256(encode_json(content)) and encode_json(manifest) == data
    except (ValueError, RecursionError):  # a lone surrogate, or nested too deep
        intact = False
    if not intact:
        raise CheckpointError(f"{MANIFEST} is damaged")
    wrong = [name for name, right in _RIGHT.items() if not right(manifest.get(name))]
    if wrong:
        raise CheckpointError(f"{MANIFEST}: {wrong[0]} is not what a checkpoint has there")
    return manifest


def _are_files(files: Json) -> bool:
    """Whether this lists files that a checkpoint can have: plain names in its own folder."""
    return (
        isinstance(files, dict)
        and STATE in files
        and all(name == STATE or TENSORS_NAME.fullmatch(name) for name in files)
        and all(isinstance(facts, dict) and set(facts) == {"bytes", "sha256"} for facts in files.values())
        and all(type(facts["bytes"]) is int and isinstance(facts["sha256"], str) for facts in files.values())
    )


def _is_metadata(metadata: Json) -> bool:
    """Whether the parts that are read have the right types; each of them may be missing."""
    if not isinstance(metadata, dict):
        return False
    environment = metadata.get("environment", {})
    return isinstance(environment, dict) and all(isinstance(text, str) for text in environment.values())


_RIGHT: Mapping[str, Callable[[Json], bool]] = {
    "step": lambda step: type(step) is int and 0 <= step < 10**18,
    "files": _are_files,
    "metadata": _is_metadata,
}
"""What each part of a manifest must be, in an undamaged file."""


def _read_file(path: Path, facts: Mapping[str, Json]) -> bytes:
    size = path.stat().st_size
    if size != facts["bytes"]:
        raise CheckpointError(f"{path.name} has {size:,} bytes, not {facts['bytes']:,}")
    data = read_regular(path, min(size, max_tensor_bytes()))
    if sha256(data) != facts["sha256"]:
        raise CheckpointError(f"{path.name} is damaged (its sha256 differs from the manifest's)")
    return data


def _sizes_match(path: Path) -> bool:
    """A quick check without reading the tensors: manifest and sizes."""
    try:
        files = _read_manifest(path)["files"]
        return all((path / name).stat().st_size == facts["bytes"] for name, facts in files.items())
    except (OSError, CheckpointError):
        return False


def optimizer_tensors(setup: TrainingSetup) -> dict[str, torch.Tensor]:
    """The state of every player's optimizer, by name."""
    return {
        f"{player}/{n}": t
        for player, optimizer in setup.optimizers.items()
        for n, t in optimizer.state_dict().items()
    }


def load_networks(game: Game, checkpoint: Checkpoint, fix: str) -> None:
    """Load every tensor of a game from a checkpoint; see :func:`_matching_tensors` for the error."""
    resize_buffers(game, checkpoint.tensors.get("game", {}))
    game.load_state_dict(dict(_matching_tensors(checkpoint, "game", game.state_dict(), fix)))


def load_optimizers(setup: TrainingSetup, checkpoint: Checkpoint, fix: str) -> None:
    """Load the state of every player's optimizer; see :func:`_matching_tensors` for the error."""
    stored = _matching_tensors(checkpoint, "optimizers", optimizer_tensors(setup), fix)
    for player, optimizer in setup.optimizers.items():
        optimizer.load_state_dict({name: stored[f"{player}/{name}"] for name in optimizer.state_dict()})


def _matching_tensors(
    checkpoint: Checkpoint, group: str, own: Mapping[str, torch.Tensor], fix: str
) -> Mapping[str, torch.Tensor]:
    """Raises CheckpointError if names, shapes or types differ from ``own``."""
    stored = checkpoint.tensors.get(group, {})
    kinds = [{name: (t.shape, t.dtype) for name, t in tensors.items()} for tensors in (own, stored)]
    if kinds[0] != kinds[1]:
        message = f"{checkpoint.path}: its {group} tensors do not fit this configuration"
        raise CheckpointError(message, fix)
    return stored
