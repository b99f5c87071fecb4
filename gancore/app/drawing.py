"""Samples as HTML and as an archive of the files that ``gancore generate`` writes."""

from __future__ import annotations

import shlex
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path

from gancore.comparison.formatting import format_seconds
from gancore.comparison.gallery import open_remarked
from gancore.data.dataset import View
from gancore.errors import GancoreError
from gancore.gallery import (
    Gallery,
    fit,
    is_picture,
    read_gallery,
    render_gallery,
    row_labels,
    sample_texts,
    save_picture,
    write_samples,
)
from gancore.media import EMBEDDED_KINDS, MediaFile, read_file
from gancore.models.model import Model
from gancore.models.request import SampleRequest
from gancore.run_folder import RunFolder
from gancore.samples import Samples
from gancore.text import count_noun

MOST_CHARACTERS = 12_000_000
"""The size of the samples on the page; further ones are in the archive alone."""
MOST_DRAWN = 12
"""The number of samples that are drawn one by one, of a domain that writes no pictures."""
KEPT_ARCHIVES = 8


@dataclass(frozen=True)
class Drawing:
    """What the page shows for one request: HTML, and the archive of the files."""

    html: str
    archive: Path


class Artist:
    """Draws the samples of one model, one request at a time, in a temporary folder.

    ``name`` is what the user called the model. ``run`` is the run of the model if there is one, where the
    domain's remarks find the training data.
    """

    def __init__(
        self, model: Model, name: str, folder: Path, run: RunFolder | None, data_root: Path | None
    ) -> None:
        self.model, self.name, self.run, self.data_root = model, name, run, data_root
        self._folder, self._lock = folder, threading.Lock()
        self._archives: list[Path] = []

    def draw(self, request: SampleRequest) -> Drawing:
        """Draw samples. Raises GancoreError if the model cannot do what is asked."""
        with self._lock:
            before = time.monotonic()
            samples = request.draw(self.model)
            seconds = time.monotonic() - before
            folder = Path(tempfile.mkdtemp(dir=self._folder))
            try:
                shown, files = self._gallery(samples, request.seed, folder)
                (fitting,) = fit([shown], MOST_CHARACTERS)
                kind = "drawn" if shown.by_sample and not shown.labels else "files"
                html = f'<div class="{kind}">{inert(render_gallery(fitting))}</div>'
                archive = self._archive(files, request.seed)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        notes = self._notes(samples, shown, fitting, seconds)
        return Drawing(f"{html}{self._footer(request, notes)}", archive)

    def _gallery(self, samples: Samples, seed: int, folder: Path) -> tuple[Gallery, list[Path]]:
        """What is shown of the samples, and the files that the domain writes."""
        domain, place = self.model.domain, folder / "samples"
        index = write_samples(place, domain, samples)
        gallery = read_gallery(place, f"seed {seed}", index)
        files = [place / name for name in index["files"]]
        if gallery.texts:
            remarked = self._with_remarks(samples)
            return replace(gallery, texts=sample_texts(domain, remarked) or (), other_files=()), files
        media = gallery.of_kinds(EMBEDDED_KINDS)
        if media.by_sample:
            return replace(media, overview=(), labels=row_labels(samples)), files
        pictures = [file for file in gallery.overview if is_picture(file) and file.path in files]
        if pictures:
            return replace(gallery, overview=pictures, by_sample={}), files
        drawn = self._draw_each(samples, folder)
        return replace(gallery, overview=(), by_sample=drawn or gallery.by_sample), files

    def _draw_each(self, samples: Samples, folder: Path) -> dict[int, list[MediaFile]]:
        """The domain's preview of single samples; {} if it has none."""
        drawn: dict[int, list[MediaFile]] = {}
        for row in range(min(len(samples), MOST_DRAWN)):
            picture = self.model.domain.preview(replace(samples.slice(row, row + 1), columns=0))
            if picture is not None:
                path = folder / f"{row + 1:04d}.png"
                save_picture(picture, path)
                drawn[row + 1] = [read_file(path)]
        return drawn

    def _archive(self, files: Sequence[Path], seed: int) -> Path:
        """A ZIP of files, which replaces the oldest archive."""
        path = Path(tempfile.mkdtemp(dir=self._folder)) / f"samples-seed-{seed}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.name)
        self._archives.append(path)
        while len(self._archives) > KEPT_ARCHIVES:
            shutil.rmtree(self._archives.pop(0).parent, ignore_errors=True)
        return path

    def _with_remarks(self, samples: Samples) -> Samples:
        train, _ = self._train
        if train is None:
            return samples
        return replace(samples, remarks=self.model.domain.remarks(samples, train))

    @cached_property
    def _train(self) -> tuple[View | None, str]:
        """The training data for remarks, opened once; or the reason why they are missing."""
        try:
            return open_remarked(self.model, self.run, self.data_root, may_download=False), ""
        except GancoreError as error:
            return None, f"Not compared with the training data: {error}."

    def _notes(self, samples: Samples, shown: Gallery, fitting: Gallery, seconds: float) -> str:
        """How many samples, how long they took, and what is not shown."""
        note = f"{count_noun(len(samples), 'sample')} in {format_seconds(seconds)}"
        rows, largest = len(samples) // (samples.columns or 1), max(fitting.by_sample, default=0)
        if shown.by_sample and largest < rows:
            note = f"{note}, {largest} of {rows} shown; the archive has all"
        missing = self._train[1] if shown.texts else ""
        return f"{note}. {missing}".strip()

    def _footer(self, request: SampleRequest, notes: str) -> str:
        """The notes, and the command for the same files."""
        words = ["gancore", "generate", self.name, *request.options(), "--out", "samples"]
        return (
            f'<p class="note">{inert(escape(notes))} The same files by the command:</p>'
            f'<pre class="command" tabindex="0">{inert(escape(shlex.join(words)))}</pre>'
        )


def inert(html: str) -> str:
    """HTML without the signs of Gradio's templates, which would evaluate what a sample says."""
    return html.replace("{", "&#123;").replace("$", "&#36;").replace("`", "&#96;")
