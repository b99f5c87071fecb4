"""Samples as HTML for a notebook: pictures, players or texts, as the domain writes and previews them."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from gancore.media import IMAGE, MediaFile, read_file
from gancore.text import count_noun, escape_control, truncate
from gancore.trees import tree_slice

if TYPE_CHECKING:
    from PIL.Image import Image

    from gancore.domain import Domain
    from gancore.samples import Samples

MAX_SHOWN, MAX_PLAYERS = 16, 8
MAX_CHARACTERS = 4_000_000
"""A notebook keeps what it shows: players and quoted files that would exceed this are left out."""
MAX_PICTURE_BYTES = 1 << 20
MAX_TEXT = 1000
"""Characters of a text."""


def samples_html(samples: Samples, domain: Domain) -> str:
    """The first samples as HTML of at most about four million characters; all text in it is escaped."""
    shown = _first(samples, samples.overview_count(MAX_SHOWN, MAX_SHOWN))
    head = f"{count_noun(len(samples), 'sample')} of {domain.name}"
    if len(shown) < len(samples):
        head += f", the first {len(shown)}"
    texts = domain.texts(shown)
    body = _texts(shown, texts) if texts is not None else _media(shown, domain)
    return f"<div><p>{escape(escape_control(head))}</p>{body}</div>"


def _first(samples: Samples, n: int) -> Samples:
    return replace(
        samples,
        data=tree_slice(samples.data, 0, n),
        condition=None if samples.condition is None else tree_slice(samples.condition, 0, n),
        headings=samples.headings[:n],
        remarks=samples.remarks[:n],
    )


def _texts(samples: Samples, texts: list[str]) -> str:
    items = []
    for title, text in zip(samples.annotations(), texts, strict=True):
        label = f"<b>{escape(escape_control(title))}</b> " if title else ""
        quoted = escape(escape_control(truncate(text, MAX_TEXT)))
        items.append(f'<li>{label}<span style="white-space: pre-wrap">{quoted}</span></li>')
    return f"<ol>{''.join(items)}</ol>"


def _media(samples: Samples, domain: Domain) -> str:
    """The preview, players for what can be played, and quoted files if there is nothing to see or hear."""
    picture = domain.preview(samples)
    parts = [] if picture is None else [_image(picture)]
    with tempfile.TemporaryDirectory() as folder:
        few = _first(samples, samples.overview_count(MAX_PLAYERS, MAX_PLAYERS))
        files = [read_file(path) for path in sorted(domain.write(few, Path(folder)))]
        left = MAX_CHARACTERS - sum(map(len, parts))
        for html in _elements(files, with_text=not parts):
            if (left := left - len(html)) < 0:
                break
            parts.append(html)
    return "".join(parts)


def _image(picture: Image) -> str:
    """A picture as a PNG in the page, made smaller until it has at most ``MAX_PICTURE_BYTES``."""
    picture = picture.convert("RGB")
    while True:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        if buffer.tell() <= MAX_PICTURE_BYTES:
            content = base64.b64encode(buffer.getvalue()).decode()
            return f'<img style="max-width: 100%" alt="samples" src="data:image/png;base64,{content}">'
        picture = picture.resize((max(1, picture.width // 2), max(1, picture.height // 2)))


def _elements(files: list[MediaFile], with_text: bool) -> Iterator[str]:
    for file in files:
        name = escape(escape_control(file.path.name))
        if file.kind == "text" and with_text:
            yield f"<p>{name}</p><pre>{escape(escape_control(file.text))}</pre>"
        elif file.kind not in (IMAGE, "text", "other") and file.size <= MAX_CHARACTERS:
            yield f'<div><{file.kind} controls src="{file.data_uri}"></{file.kind}> {name}</div>'
