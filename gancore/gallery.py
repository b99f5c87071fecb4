"""Galleries: samples as pictures, players, texts and quoted files, for every page that shows some."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gancore.errors import DataError
from gancore.media import EMBEDDED_KINDS, IMAGE, LARGEST_BYTES, MAX_TEXT_CHARACTERS, MediaFile, read_file
from gancore.text import escape_control, truncate

if TYPE_CHECKING:
    from jinja2 import Environment
    from PIL.Image import Image

    from gancore.domain import Domain
    from gancore.samples import Samples

SAMPLE_NUMBER = re.compile(r"(\d+)")
PREVIEW = "preview.png"


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

    @property
    def size(self) -> int:
        """The number of characters on the page."""
        of_samples = [file for files in self.by_sample.values() for file in files]
        texts = sum(len(text) for pair in self.texts for text in pair)
        return texts + sum(file.size for file in (*self.overview, *of_samples))

    def first(self, number: int) -> Gallery:
        """With files of single samples up to this number."""
        return replace(self, by_sample={n: files for n, files in self.by_sample.items() if n <= number})

    def of_kinds(self, kinds: Collection[str]) -> Gallery:
        """With files of these kinds alone."""
        kept = {n: [one for one in files if one.kind in kinds] for n, files in self.by_sample.items()}
        return replace(
            self,
            overview=[file for file in self.overview if file.kind in kinds],
            by_sample={n: files for n, files in kept.items() if files},
        )

    def with_small_overview(self, characters: int) -> Gallery:
        """With those files of all samples that fit into this number of characters, the first ones first."""
        kept: list[MediaFile] = []
        for file in self.overview:
            if file.size <= characters:
                kept.append(file)
                characters -= file.size
        return replace(self, overview=kept)


# Write


def write_samples(
    folder: Path, domain: Domain, samples: Samples, max_preview_bytes: int = LARGEST_BYTES
) -> dict[str, Any]:
    """Write the files of ``Domain.write`` and a preview into a new folder; return its index.

    Raises:
        DataError: the domain wrote a file outside the folder.
    """
    folder.mkdir(parents=True)
    files = domain.write(samples, folder)
    outside = [file for file in files if folder not in file.parents]
    if outside:
        message = f"{domain.name} wrote {outside[0].name} outside its folder"
        raise DataError(message, "report it to its authors")
    texts = sample_texts(domain, samples)
    preview = domain.preview(samples) if texts is None else None
    if preview is not None:
        save_picture(preview, folder / PREVIEW, max_preview_bytes)
    return {
        "count": len(samples),
        "files": sorted(file.relative_to(folder).as_posix() for file in files),
        "preview": "" if preview is None else PREVIEW,
        "texts": texts or [],
    }


def sample_texts(
    domain: Domain, samples: Samples, max_characters: int = MAX_TEXT_CHARACTERS
) -> list[tuple[str, str]] | None:
    """Annotation and text of each sample; None if the domain's samples are no text."""
    texts = domain.texts(samples)
    if texts is None:
        return None
    shown = (truncate(escape_control(text), max_characters) for text in texts)
    return list(zip(samples.annotations(), shown, strict=True))


def save_picture(picture: Image, path: Path, max_bytes: int = LARGEST_BYTES) -> None:
    """Write a picture as PNG, made smaller until it has at most this number of bytes."""
    picture = picture.convert("RGB")
    while True:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        if buffer.tell() <= max_bytes:
            path.write_bytes(buffer.getvalue())
            return
        picture = picture.resize((max(1, picture.width // 2), max(1, picture.height // 2)))


# Read


def read_gallery(folder: Path, name: str, index: Mapping[str, Any]) -> Gallery:
    """The gallery of a folder that :func:`write_samples` wrote, with its index, which is not trusted."""
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


def is_picture(file: MediaFile) -> bool:
    return file.kind == IMAGE


# Show


def row_labels(samples: Samples) -> dict[int, str]:
    """The label of each sample, or of each row of samples, by number."""
    return {row + 1: label for row, label in enumerate(samples.labels()[:: samples.columns or 1])}


def fit(galleries: Sequence[Gallery], characters: int) -> list[Gallery]:
    """What fits into this number of characters of a page: of each gallery the same number of samples."""
    count = max((max(gallery.by_sample, default=0) for gallery in galleries), default=0)
    while count > 0 and sum(gallery.first(count).size for gallery in galleries) > characters:
        count -= 1
    return [gallery.first(count) for gallery in galleries]


def render_gallery(gallery: Gallery) -> str:
    """HTML of the samples. What names, labels and texts say is escaped, control characters too."""
    return escape_control(str(_template().samples_of(gallery)))


@cache
def _template() -> Any:
    return template_environment(Path(__file__).parent).get_template("gallery.html").module


def template_environment(folder: Path) -> Environment:
    """The templates of pages in a folder; what they show is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
