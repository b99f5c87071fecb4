"""Galleries: sample files that a domain writes and pages embed as data URIs, by media type."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.comparison.folder import INDEX, read_json, write_json
from gancore.errors import DataError
from gancore.files import remove, replace_folder, temporary_path
from gancore.media import EMBEDDED_KINDS, IMAGE, LARGEST_BYTES, MAX_TEXT_CHARACTERS, MediaFile, read_file
from gancore.text import escape_control, truncate

if TYPE_CHECKING:
    from jinja2 import Environment

    from gancore.data.dataset import View
    from gancore.domain import Domain
    from gancore.models.model import Model
    from gancore.run_folder import RunFolder
    from gancore.samples import Samples

SAMPLE_NUMBER = re.compile(r"(\d+)")
PREVIEW = "preview.png"
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Gallery:
    """Samples of one model: files that show all samples, files of single samples by number, other files.

    ``texts``: annotation and text of each sample, for a domain of texts. ``labels`` stand beside numbers.
    """

    name: str
    count: int
    overview: Sequence[MediaFile] = ()
    by_sample: Mapping[int, Sequence[MediaFile]] = field(default_factory=dict)
    other_files: Sequence[str] = ()
    texts: Sequence[tuple[str, str]] = ()
    labels: Mapping[int, str] = field(default_factory=dict)

    def size(self, max_number: int) -> int:
        """The number of characters on the page with samples up to ``max_number``."""
        shown = [file for number, files in self.by_sample.items() if number <= max_number for file in files]
        texts = sum(len(text) for pair in self.texts for text in pair)
        return texts + sum(file.size for file in (*self.overview, *shown))


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


def is_inside(folder: Path, relative: str) -> bool:
    """Whether a name is a regular file in ``folder``, reached without links and small enough to embed.

    The index of a comparison from elsewhere is not trusted: its names must not reach other files.
    """
    path, parent = folder / relative, folder.parent
    try:
        here = parent.parent.resolve(strict=True) / parent.name / folder.name
        unlinked = path.resolve(strict=True) == here / relative and here in (here / relative).parents
        return unlinked and path.is_file() and path.stat().st_size <= LARGEST_BYTES
    except (OSError, ValueError, RuntimeError):
        return False


def read_galleries(root: Path, indices: Mapping[str, Mapping[str, Any]]) -> list[Gallery]:
    """The galleries in the order of the report; ``indices`` are by name, each with its folder."""
    return [
        without_repeats(read_gallery(root / index["folder"], name, index)) for name, index in indices.items()
    ]


def is_picture(file: MediaFile) -> bool:
    return file.kind == IMAGE


def without_repeats(gallery: Gallery) -> Gallery:
    """Without the pictures of single samples that a picture of all samples repeats."""
    if not any(is_picture(file) for file in gallery.overview):
        return gallery
    kept = {n: files for n, files in gallery.by_sample.items() if not all(map(is_picture, files))}
    return replace(gallery, by_sample=kept)


def read_gallery(folder: Path, name: str, index: Mapping[str, Any]) -> Gallery:
    """The gallery of a folder that :func:`write_gallery` wrote, with its index."""
    if index.get("texts"):
        texts = [(title, text) for title, text in index["texts"]]
        return Gallery(name, index["count"], other_files=index["files"], texts=texts)
    overview: list[MediaFile] = []
    by_sample: dict[int, list[MediaFile]] = {}
    other_files: list[str] = []
    for relative in index["files"]:
        if not is_inside(folder, relative):
            other_files.append(relative)
            continue
        file = read_file(folder / relative)
        number = SAMPLE_NUMBER.match(file.path.name)
        if file.kind == "other":
            other_files.append(relative)
        elif number:
            by_sample.setdefault(int(number[1]), []).append(file)
        else:
            overview.append(file)
    preview = index.get("preview", "")
    if preview and is_inside(folder, preview) and not any(file.kind in EMBEDDED_KINDS for file in overview):
        overview.insert(0, read_file(folder / preview))
    overview.sort(key=lambda file: file.kind == "text")
    return Gallery(name, index["count"], overview, dict(sorted(by_sample.items())), other_files)


def template_environment() -> Environment:
    """Templates of pages; what they show is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_gallery(gallery: Gallery, max_number: int) -> str:
    """HTML of the samples up to a number."""
    template: Any = template_environment().get_template("gallery.html").module
    return str(template.samples_of(gallery, max_number))


def samples_that_fit(galleries: Sequence[Gallery], characters: int) -> int:
    """The number of samples of each gallery that fit into this number of characters of the page."""
    count = max((max(gallery.by_sample, default=0) for gallery in galleries), default=0)
    while count > 0 and sum(gallery.size(count) for gallery in galleries) > characters:
        count -= 1
    return count


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


def sample_texts(domain: Domain, samples: Samples) -> list[tuple[str, str]] | None:
    """Annotation and text of each sample; None if the domain's samples are no text."""
    texts = domain.texts(samples)
    if texts is None:
        return None
    shown = (truncate(escape_control(text), MAX_TEXT_CHARACTERS) for text in texts)
    return list(zip(samples.annotations(), shown, strict=True))


def write_gallery(folder: Path, domain: Domain, samples: Samples, seed: int, weights_hash: str) -> None:
    """Write the files of ``Domain.write``, a preview and an index; the folder is created atomically.

    Raises:
        DataError: the domain wrote a file outside the folder.
    """
    aside = temporary_path(folder)
    os.makedirs(aside)
    try:
        files = domain.write(samples, aside)
        outside = [file for file in files if aside not in file.parents]
        if outside:
            raise DataError(
                f"{domain.name} wrote {outside[0].name} outside its folder", "report it to its authors"
            )
        texts = sample_texts(domain, samples)
        preview = domain.preview(samples) if texts is None else None
        if preview is not None:
            preview.convert("RGB").save(aside / PREVIEW)
        index = {
            "weights": weights_hash,
            "seed": seed,
            "count": len(samples),
            "files": sorted(file.relative_to(aside).as_posix() for file in files),
            "preview": "" if preview is None else PREVIEW,
            "texts": texts or [],
        }
        write_json(aside / INDEX, index)
        replace_folder(aside, folder)
    finally:
        if aside.exists():
            remove(aside)
