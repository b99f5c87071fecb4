"""Shows what a model makes: samples, their nearest neighbours in train, an animation of the training."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gancore.arguments import validate_arguments
from gancore.errors import ConfigError, GancoreError
from gancore.files import atomic_write, write_files_atomic
from gancore.model_lookup import find_model, load
from gancore.progress import Announce, silent
from gancore.run_folder import RunFolder

if TYPE_CHECKING:
    from gancore.domain import Domain
    from gancore.evaluation.neighbours import NeighbourResult
    from gancore.samples import Samples
    from gancore.training.animation import Animation


@validate_arguments
def generate(
    model: str | Path,
    *,
    n: int = 16,
    out: str | Path = "samples",
    seed: int = 0,
    label: str | None = None,
    each_label: bool = False,
    interpolate: int | None = None,
    truncation: float | None = None,
    temperature: float | None = None,
    batch_size: int = 64,
    device: str = "auto",
    overwrite: bool = False,
    announce: Announce = silent,
) -> list[Path]:
    """Write ``n`` samples into ``out``; returns the files. The same seed gives the same samples.

    If ``out`` holds samples already, ``overwrite`` replaces them, and ``announce`` is called with their
    number.

    ``each_label``: ``n`` of every label, side by side. ``interpolate``: ``n`` paths with this number of steps
    from one sample to another. ``truncation``, ``temperature``: see
    :meth:`gancore.models.model.Model.sample`.

    Raises:
        GancoreError: a user error, in one line; for example if ``out`` holds other samples.
    """
    existing = _existing_samples(Path(out), overwrite)
    if each_label and label is not None:
        raise ConfigError(f"each label, and {label!r} alone", "give one of --label and --each-label")
    if interpolate is not None and temperature is not None:
        raise ConfigError("an interpolation and a temperature", "leave out --temperature")
    loaded = load(find_model(model, announce), device)
    if interpolate is not None and each_label:
        samples = loaded.interpolate_each_label(n, interpolate, seed, truncation)
    elif interpolate is not None:
        samples = loaded.interpolate(n, interpolate, seed, label, truncation)
    elif each_label:
        samples = loaded.sample_each_label(n, seed, batch_size, truncation, temperature)
    else:
        samples = loaded.sample(n, seed, label, batch_size, truncation, temperature)
    written = _write(loaded.domain, samples, Path(out))
    _remove_replaced(existing, written, announce)
    for line in loaded.domain.text_lines(samples):
        announce(line)
    return written


@validate_arguments
def neighbours(
    model: str | Path,
    *,
    n: int = 16,
    k: int = 5,
    out: str | Path = "neighbours",
    feature_extractor: str | None = None,
    data: str | Path | None = None,
    seed: int = 0,
    label: str | None = None,
    device: str = "auto",
    data_root: str | Path | None = None,
    overwrite: bool = False,
    announce: Announce = silent,
) -> NeighbourResult:
    """Write ``n`` samples into ``out``, each beside its ``k`` nearest rows of train, and ``neighbours.json``.

    ``feature_extractor``: those in which distances are measured; by default those of the domain. ``data``: as
    in :func:`evaluate`. ``overwrite``: as in :func:`generate`. The result says whether the samples are
    copies.

    Raises:
        GancoreError: a user error, in one line; for example if the data are not on this machine.
    """
    from gancore.evaluation.neighbours import NeighbourRequest, find_neighbours

    existing = _existing_samples(Path(out), overwrite)
    place = find_model(model, announce)
    loaded, run = load(place, device), RunFolder(place.absolute().parent)
    request = NeighbourRequest(
        k,
        feature_extractor,
        None if data is None else str(data),
        None if data_root is None else Path(data_root),
        announce,
    )
    result = find_neighbours(
        loaded, loaded.sample(n, seed, label), run if run.read_status() else None, request
    )
    written = _write(loaded.domain, result.samples, Path(out))
    content = {"model": str(model), "seed": seed, **result.to_json()}
    atomic_write(Path(out) / "neighbours.json", json.dumps(content, indent=1) + "\n")
    _remove_replaced(existing, [*written, Path(out) / "neighbours.json"], announce)
    return result


@validate_arguments
def animate(run: str | Path, *, out: str | Path | None = None, announce: Announce = silent) -> Animation:
    """Write the previews of a run as one animated GIF, by default ``animation.gif`` in its folder.

    Raises:
        GancoreError: a user error, in one line.
    """
    from gancore.training.animation import make_animation

    folder = RunFolder(Path(run))
    return make_animation(folder, folder.path / "animation.gif" if out is None else Path(out), announce)


SAMPLE_NAME = re.compile(r"(\d{4}(-.*)?|samples|overview|neighbours)\.\w+")
"""Names of the files that samples are written to: ``0001-<label>.png``, ``overview.png``, ``samples.csv``."""


def _existing_samples(folder: Path, overwrite: bool) -> list[Path]:
    """The samples in a folder. Raises ConfigError if there are any, unless ``overwrite``."""
    try:
        found = sorted(
            path for path in folder.iterdir() if SAMPLE_NAME.fullmatch(path.name) and path.is_file()
        )
    except OSError:  # no such folder, or it cannot be read: writing will report it
        return []
    if found and not overwrite:
        raise ConfigError(
            f"{folder} holds {len(found)} files of other samples, as {found[0].name}",
            "give another --out, or replace them with --overwrite",
        )
    return found


def _remove_replaced(existing: Sequence[Path], written: Sequence[Path], announce: Announce) -> None:
    """Remove old samples that the new ones did not overwrite."""
    if not existing:
        return
    stale = [path for path in existing if path not in set(written)]
    for path in stale:
        path.unlink(missing_ok=True)
    announce(f"{len(existing)} files of other samples in {existing[0].parent} are replaced")


def _write(domain: Domain, samples: Samples, folder: Path) -> list[Path]:
    try:
        return write_files_atomic(
            folder, lambda temporary: domain.write(samples, temporary), f"the domain {domain.name!r}"
        )
    except OSError as error:
        raise GancoreError(
            f"cannot write samples to {folder}: {error.strerror}", "give another --out"
        ) from error
