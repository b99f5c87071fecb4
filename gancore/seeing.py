"""The verbs that show what a model makes: its samples, these beside train, how they came to be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gancore.arguments import checked
from gancore.errors import ConfigError, GancoreError
from gancore.files import atomic_write, write_whole
from gancore.loading import load, model_folder
from gancore.training.run import RunFolder

if TYPE_CHECKING:
    from gancore.domain import Domain, Samples
    from gancore.evaluation.neighbours import Neighbours
    from gancore.training.film import Film


@checked
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
    batch_size: int = 64,
    device: str = "auto",
    force: bool = False,
    announce: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Write ``n`` samples into ``out``; returns the files. The same seed gives the same samples.

    Where ``out`` holds samples already, ``force`` replaces them, and ``announce`` is told how many.

    ``each_label``: ``n`` of every label, side by side. ``interpolate``: ``n`` ways of so many steps from one
    sample to another. ``truncation``: see :meth:`gancore.models.model.Model.sample`.

    Raises:
        GancoreError: a mistake that the user can mend, in one line; as where ``out`` holds other samples.
    """
    before = _samples_before(Path(out), force)
    if each_label and label is not None:
        raise ConfigError(f"each label, and {label!r} alone", "give one of --label and --each-label")
    loaded = load(model_folder(model, announce), device)
    if interpolate is not None and each_label:
        samples = loaded.interpolation_of_each_label(n, interpolate, seed, truncation)
    elif interpolate is not None:
        samples = loaded.interpolation(n, interpolate, seed, label, truncation)
    elif each_label:
        samples = loaded.each_label(n, seed, batch_size, truncation)
    else:
        samples = loaded.sample(n, seed, label, batch_size, truncation)
    written = _write(loaded.domain, samples, Path(out))
    _remove_stale(before, written, announce)
    return written


@checked
def neighbours(
    model: str | Path,
    *,
    n: int = 16,
    k: int = 5,
    out: str | Path = "neighbours",
    features: str | None = None,
    against: str | Path | None = None,
    seed: int = 0,
    label: str | None = None,
    device: str = "auto",
    data_root: str | Path | None = None,
    force: bool = False,
    announce: Callable[[str], None] = lambda line: None,
) -> Neighbours:
    """Write ``n`` samples into ``out``, each beside its ``k`` nearest rows of train, and ``neighbours.json``.

    ``features``: in which they are near; by default those that the domain names. ``against``: as in
    :func:`evaluate`. ``force``: as in :func:`generate`. What is returned says whether the samples are copies.

    Raises:
        GancoreError: a mistake that the user can mend, in one line; as where the data are not here.
    """
    from gancore.evaluation.neighbours import Asked
    from gancore.evaluation.neighbours import neighbours as found

    before = _samples_before(Path(out), force)
    place = model_folder(model, announce)
    loaded, run = load(place, device), RunFolder(place.absolute().parent)
    asked = Asked(
        k,
        features,
        None if against is None else str(against),
        None if data_root is None else Path(data_root),
        announce,
    )
    result = found(loaded, loaded.sample(n, seed, label), run if run.read_status() else None, asked)
    written = _write(loaded.domain, result.samples, Path(out))
    told = {"model": str(model), "seed": seed, **result.as_json()}
    atomic_write(Path(out) / "neighbours.json", json.dumps(told, indent=1) + "\n")
    _remove_stale(before, [*written, Path(out) / "neighbours.json"], announce)
    return result


@checked
def film(
    run: str | Path, *, out: str | Path | None = None, announce: Callable[[str], None] = lambda line: None
) -> Film:
    """Join the previews of a run into one GIF, by default ``film.gif`` in its folder.

    Raises:
        GancoreError: a mistake that the user can mend, in one line.
    """
    from gancore.training.film import make_film

    folder = RunFolder(Path(run))
    return make_film(folder, folder.path / "film.gif" if out is None else Path(out), announce)


SAMPLE = re.compile(r"(\d{4}(-.*)?|samples|overview|neighbours)\.\w+")
"""Names of the files that samples are written to: ``0001-<label>.png``, ``overview.png``, ``samples.csv``."""


def _samples_before(folder: Path, force: bool) -> list[Path]:
    """The samples that a folder holds. Raises ConfigError where there are any, unless they are replaced."""
    try:
        found = sorted(path for path in folder.iterdir() if SAMPLE.fullmatch(path.name) and path.is_file())
    except OSError:  # there is no such folder, or it cannot be read: writing will tell
        return []
    if found and not force:
        raise ConfigError(
            f"{folder} holds {len(found)} files of other samples, as {found[0].name}",
            "give another --out, or replace them with --force",
        )
    return found


def _remove_stale(before: Sequence[Path], written: Sequence[Path], announce: Callable[[str], None]) -> None:
    """Remove samples of before that the new ones did not overwrite."""
    if not before:
        return
    stale = [path for path in before if path not in set(written)]
    for path in stale:
        path.unlink(missing_ok=True)
    announce(f"{len(before)} files of other samples in {before[0].parent} are replaced")


def _write(domain: Domain, samples: Samples, folder: Path) -> list[Path]:
    try:
        return write_whole(folder, lambda aside: domain.write(samples, aside), f"the domain {domain.name!r}")
    except OSError as error:
        raise GancoreError(
            f"cannot write samples to {folder}: {error.strerror}", "give another --out"
        ) from error
