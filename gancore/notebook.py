"""Samples as HTML for a notebook: pictures, players or texts, as the domain writes and previews them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from gancore.gallery import (
    PREVIEW,
    Gallery,
    fit,
    read_gallery,
    render_gallery,
    row_labels,
    sample_texts,
    write_samples,
)
from gancore.media import PLAYED_KINDS, read_file
from gancore.text import count_noun, escape_control

if TYPE_CHECKING:
    from gancore.domain import Domain
    from gancore.samples import Samples

MAX_SHOWN, MAX_PLAYERS = 16, 8
MAX_CHARACTERS = 4_000_000
"""A notebook keeps what it shows: players and quoted files that would exceed this are left out."""
MAX_PICTURE_BYTES = 1 << 20
MAX_TEXT = 1000
"""Characters of a text."""
STYLE = """<style>
.gancore-samples :is(img, video) { max-width: 100%; }
.gancore-samples ul { list-style: none; padding: 0; }
.gancore-samples ol > li { white-space: pre-wrap; }
.gancore-samples li > small { margin-right: .5em; }
</style>"""


def samples_html(samples: Samples, domain: Domain) -> str:
    """The first samples as HTML of at most about four million characters; all text in it is escaped."""
    shown = samples.slice(0, samples.overview_count(MAX_SHOWN, MAX_SHOWN))
    head = f"{count_noun(len(samples), 'sample')} of {domain.name}"
    if len(shown) < len(samples):
        head += f", the first {len(shown)}"
    texts = sample_texts(domain, shown, MAX_TEXT)
    if texts is None:
        body = _media(shown, domain)
    else:
        body = render_gallery(Gallery(domain.name, len(shown), texts=texts))
    return f'<div class="gancore-samples">{STYLE}<p>{escape(escape_control(head))}</p>{body}</div>'


def _media(samples: Samples, domain: Domain) -> str:
    """The preview, and players for what can be played; without a preview all that the domain writes."""
    rows = samples.overview_count(MAX_PLAYERS, MAX_PLAYERS) // (samples.columns or 1)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "samples"
        index = write_samples(place, domain, samples, MAX_PICTURE_BYTES)
        gallery = replace(read_gallery(place, domain.name, index), labels=row_labels(samples))
        if index["preview"]:
            players = gallery.of_kinds(PLAYED_KINDS)
            gallery = replace(players, overview=[read_file(place / PREVIEW), *players.overview])
        gallery = gallery.first(rows).with_small_overview(MAX_CHARACTERS)
        return render_gallery(*fit([gallery], MAX_CHARACTERS))
