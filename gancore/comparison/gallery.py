"""The galleries of a comparison: a folder of samples with an index for each model, and one of real rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.comparison.folder import INDEX, read_json, write_json
from gancore.files import remove, replace_folder, temporary_path
from gancore.gallery import Gallery, is_picture, read_gallery, write_samples

if TYPE_CHECKING:
    from gancore.data.dataset import View
    from gancore.domain import Domain
    from gancore.models.model import Model
    from gancore.run_folder import RunFolder
    from gancore.samples import Samples


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a folder of samples; {} if it is missing or a value has another type."""
    index = read_json(folder / INDEX)
    files, count = index.get("files"), index.get("count")
    is_valid = (
        isinstance(files, list)
        and all(isinstance(name, str) for name in files)
        and isinstance(count, int)
        and isinstance(index.get("preview", ""), str)
        and _are_texts(index.get("texts", []))
    )
    return index if is_valid else {}


def _are_texts(value: Any) -> bool:
    """A list of pairs: title and text."""
    pairs = value if isinstance(value, list) else [value]
    return all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
        for pair in pairs
    )


def read_galleries(root: Path, indices: Mapping[str, Mapping[str, Any]]) -> list[Gallery]:
    """The galleries in the order of the report; ``indices`` are by name, each with its folder."""
    return [
        without_repeats(read_gallery(root / index["folder"], name, index)) for name, index in indices.items()
    ]


def without_repeats(gallery: Gallery) -> Gallery:
    """Without the pictures of single samples that a picture of all samples repeats."""
    if not any(is_picture(file) for file in gallery.overview):
        return gallery
    kept = {n: files for n, files in gallery.by_sample.items() if not all(map(is_picture, files))}
    return replace(gallery, by_sample=kept)


def add_remarks(samples: Samples, model: Model, run: RunFolder, data_root: Path | None) -> Samples:
    """The samples with what the domain remarks on them; data are opened only for a domain that does."""
    train = open_remarked(model, run, data_root)
    return samples if train is None else replace(samples, remarks=model.domain.remarks(samples, train))


def open_remarked(
    model: Model, run: RunFolder | None, data_root: Path | None, may_download: bool = True
) -> View | None:
    """Train, for ``Domain.remarks``; None for a domain that remarks nothing. Raises as open_reference."""
    from gancore.domain import Domain
    from gancore.evaluation.reference import open_reference

    if type(model.domain).remarks is Domain.remarks:
        return None
    data = open_reference(model, run, None, data_root, lambda line: None, may_download).data
    return next(iter(data.views("train").values()))


def write_gallery(folder: Path, domain: Domain, samples: Samples, seed: int, weights_hash: str) -> None:
    """Write the files of ``Domain.write``, a preview and an index; the folder is created atomically.

    Raises:
        DataError: the domain wrote a file outside the folder.
    """
    aside = temporary_path(folder)
    try:
        index = write_samples(aside, domain, samples)
        write_json(aside / INDEX, {"weights": weights_hash, "seed": seed, **index})
        replace_folder(aside, folder)
    finally:
        if aside.exists():
            remove(aside)
