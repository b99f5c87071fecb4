"""Writes samples of a model, their nearest neighbours in train, and an animation of a training."""

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
from gancore.models.request import SampleRequest
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
    infill: str | None = None,
    formats: str | Sequence[str] = (),
    batch_size: int = 64,
    device: str = "auto",
    overwrite: bool = False,
    announce: Announce = silent,
) -> list[Path]:
    """Write samples of a model as files, and return their paths.

    Args:
        model: a run folder, a model folder, or the name of a model.
        n: the number of samples.
        out: the folder of the files; it is created if it does not exist.
        seed: the seed of the samples; equal seeds give equal samples.
        label: the class of all samples.
        each_label: write ``n`` samples of every class.
        interpolate: write ``n`` paths of this number of samples between two samples.
        truncation: see :meth:`gancore.models.model.Model.sample`.
        temperature: see there.
        infill: a prompt whose gaps each sample fills (:meth:`gancore.models.model.Model.infill`).
        formats: of the files, each sample in each; by default those that the domain writes.
        batch_size: the number of samples on the device at a time; it does not change samples.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        overwrite: replace samples that are in ``out``.
        announce: called with a line about replaced samples.

    Raises:
        GancoreError: an argument or the model is wrong, or ``out`` has samples; the message is one line.
    """
    existing = _existing_samples(Path(out), overwrite)
    request = SampleRequest(
        n, seed, label, each_label, interpolate, truncation, temperature, infill, batch_size
    )
    request.check()
    loaded = load(find_model(model, announce), device)
    formats = [formats] if isinstance(formats, str) else list(dict.fromkeys(formats))
    loaded.domain.require_formats(formats)
    samples = request.draw(loaded)
    written = _write(loaded.domain, samples, Path(out), formats)
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
    """Write samples with their nearest rows of train, and ``neighbours.json``; test for copies.

    Args:
        model: a run folder, a model folder, or the name of a model.
        n: the number of samples.
        k: the number of rows of train for each sample.
        out: the folder of the files.
        feature_extractor: name of the extractor whose features define distances; by default the domain's.
        data: another source, as in :func:`evaluate`.
        seed: the seed of the samples.
        label: the class of all samples.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        data_root: a folder with named data sets.
        overwrite: replace samples that are in ``out``.
        announce: called with each line of progress.

    Raises:
        GancoreError: an argument, the model or the data are wrong; the message is one line.
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
    """Write the previews of a run as an animated GIF, by default ``animation.gif`` in its folder.

    Raises:
        GancoreError: there is no such run, or it has no previews; the message is one line.
    """
    from gancore.training.animation import make_animation

    folder = RunFolder(Path(run))
    return make_animation(folder, folder.path / "animation.gif" if out is None else Path(out), announce)


SAMPLE_NAME = re.compile(r"(\d{4}(-.*)?|samples|overview|neighbours)\.\w+")
"""Names of files of samples: ``0001-<label>.png``, ``overview.png``, ``samples.csv``."""


def _existing_samples(folder: Path, overwrite: bool) -> list[Path]:
    """The files of samples in a folder. Raises ConfigError if there are any, unless ``overwrite``."""
    try:
        found = sorted(
            path for path in folder.iterdir() if SAMPLE_NAME.fullmatch(path.name) and path.is_file()
        )
    except OSError:  # a missing or unreadable folder, which writing reports
        return []
    if found and not overwrite:
        raise ConfigError(
            f"{folder} has {len(found)} files of other samples, such as {found[0].name}",
            "give another --out, or replace them with --overwrite",
        )
    return found


def _remove_replaced(existing: Sequence[Path], written: Sequence[Path], announce: Announce) -> None:
    """Remove old files of samples that were not overwritten."""
    if not existing:
        return
    stale = [path for path in existing if path not in set(written)]
    for path in stale:
        path.unlink(missing_ok=True)
    announce(f"{len(existing)} files of other samples in {existing[0].parent} are replaced")


def _write(domain: Domain, samples: Samples, folder: Path, formats: Sequence[str] = ()) -> list[Path]:
    def write(temporary: Path) -> list[Path]:
        if formats:
            return domain.write_formats(samples, temporary, formats)
        return domain.write(samples, temporary)

    try:
        return write_files_atomic(folder, write, f"the domain {domain.name!r}")
    except OSError as error:
        raise GancoreError(
            f"cannot write samples to {folder}: {error.strerror}", "give another --out"
        ) from error
