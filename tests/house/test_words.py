"""The core knows games, players and steps; it knows no sound, no picture format, no sentence, no walk."""

from __future__ import annotations

import re

from places import CORE, shown, sources

LISTED = """
    audio sound sounds wav waveform waveforms spectrogram spectrograms mel pitch loudness hz
    recording recordings clips music speech drum drums
    pixel pixels image images photo photos jpeg
    caption captions sentence sentences corpus paragraph
    walks adjacency node2vec netgan molecule molecules
    digit digits librosa torchaudio torchvision soundfile transformers networkx
"""
WORDS = frozenset(LISTED.split())

ALLOWED = {  # (file, word), and why
    ("gancore/gallery.py", "image"): "PIL's type of a picture, and a media type",
    ("gancore/media.py", "audio"): "the first word of a media type",
    ("gancore/media.py", "image"): "the first word of a media type",
    ("gancore/array_domain.py", "image"): "PIL's type of a picture",
    ("gancore/domain.py", "image"): "PIL's type of a picture, and TensorBoard's add_image",
    ("gancore/training/animation.py", "image"): "PIL's type of a picture",
    ("gancore/training/animation.py", "images"): "PIL's append_images",
    ("gancore/training/animation.py", "jpeg"): "a suffix of what previews may be kept as",
    ("gancore/progress.py", "digits"): "of a number",
}


def words_of(line: str) -> set[str]:
    """The words of a line of code or text: names are split at underscores and capitals."""
    parts = re.findall(r"[A-Za-z][A-Za-z0-9]*", line.replace("_", " "))
    return {word.lower() for part in parts for word in [part, *re.findall(r"[A-Z]?[a-z0-9]+", part)]}


def found() -> dict[tuple[str, str], list[str]]:
    places: dict[tuple[str, str], list[str]] = {}
    for path in sources(CORE):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            for word in words_of(line) & WORDS:
                places.setdefault((shown(path), word), []).append(f"{number}: {line.strip()}")
    return places


def test_words_are_found_in_names_as_in_text():
    assert words_of("def read_wav(SpectrogramPicture): # a few clips") >= {"wav", "spectrogram", "clips"}


def test_no_domain_word_stands_in_the_core():
    assert {place: lines for place, lines in found().items() if place not in ALLOWED} == {}


def test_nothing_is_allowed_that_no_longer_stands_there():
    assert ALLOWED.keys() - found().keys() == set()
