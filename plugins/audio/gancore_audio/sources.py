"""The sources of audio: named data sets, folders, archives and shards of recordings, built-in percussion."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gancore import Source, SourceEntry
from gancore.data import (
    Announce,
    InspectedFile,
    ItemFiles,
    ItemKind,
    SkippedItem,
    Split,
    open_item_files,
)
from gancore_audio.config import AudioConfig
from gancore_audio.preprocess import Recording
from gancore_audio.recordings import AudioBlock, AudioHeader, find_recordings, read_blocks, readable_suffixes

PERCUSSION = SourceEntry(
    "percussion",
    "drums, cymbals and plucked strings in 8 classes, synthesised at 16 kHz",
    "CC0-1.0",
)
FSDD = SourceEntry(
    "fsdd",
    "Free Spoken Digit Dataset: digits by 5 speakers at 8 kHz (release 1.0.9, 2,500 recordings)",
    "CC-BY-SA-4.0",
    {
        "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.9.tar.gz": (
            "8bc44cde129d505cbbb6b365c09f80c663f2aa77578afc634e6141a2f87100c0"
        )
    },
    12.0,
    "https://github.com/Jakobovski/free-spoken-digit-dataset",
)
DRUMS = SourceEntry(
    "drums",
    "472 drum one-shots of several kits, with an index.csv of class and licence for each file",
    "per file, in index.csv: CC0-1.0, CC-BY-3.0, CC-BY-SA-3.0, GPL-2.0-or-later",
    homepage="the kits of tidalcycles/sounds-tr808-fischer, "
    "sonic-pi-net/sonic-pi and Debian's hydrogen-drumkits",
)
SC09 = SourceEntry(
    "sc09",
    "the digits zero to nine of Speech Commands 0.02 at 16 kHz",
    "CC-BY-4.0",
    {
        "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz": (
            "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"
        )
    },
    2429.0,
    "https://arxiv.org/abs/1804.03209",
)
SOURCES: Mapping[str, SourceEntry] = {entry.name: entry for entry in (PERCUSSION, FSDD, DRUMS, SC09)}


@dataclass(frozen=True)
class Layout:
    """How the files of a named set are laid out.

    ``folders``: only clips below these are used. ``label_pattern`` and ``label_column`` are defaults of the
    configuration. Official splits, if the set has them: ``test_pattern`` on file names, or ``lists``, files
    with the names of a split.
    """

    folders: frozenset[str] = frozenset()
    label_pattern: str | None = None
    label_column: str | None = None
    test_pattern: str | None = None
    lists: Mapping[str, Split] | None = None

    def official_splits(self, names: list[str], files: ItemFiles) -> dict[str, Split]:
        """The official split of each name that has one."""
        official = {
            name: split for name, split in zip(names, files.splits(names), strict=True) if split in HELD_OUT
        }
        if self.test_pattern:
            official |= {name: "test" for name in names if re.search(self.test_pattern, name)}
        for file, split in (self.lists or {}).items():
            if (content := files.read_beside(file)) is not None:
                official |= dict.fromkeys(content.decode().split(), split)
        return official


DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

LAYOUTS: Mapping[str, Layout] = {
    "fsdd": Layout(label_pattern=r"^(\d)_", test_pattern=r"_[0-4]\.\w+$"),
    "drums": Layout(label_column="class"),
    "sc09": Layout(
        folders=frozenset(DIGITS), lists={"validation_list.txt": "valid", "testing_list.txt": "test"}
    ),
}


Range = tuple[float, float]
_PITCH_SUFFIX = re.compile(r"(\d+(?:\.\d+)?)hz$", re.IGNORECASE)


def class_pitches(classes: Sequence[str], given: Mapping[str, Range]) -> list[Range | None]:
    """Lowest and highest pitch of each class in Hz, as given or by the end of its name (``string-220hz``)."""
    named = {name: _PITCH_SUFFIX.search(name) for name in classes}
    from_names = {name: (float(match[1]), float(match[1])) for name, match in named.items() if match}
    return [given.get(name, from_names.get(name)) for name in classes]


MAX_DEFAULT_RATE_HZ = 16_000
COLUMNS = ("audio", "sound", "speech", "recording", "wav", "flac", "mp3", "ogg")
"""Names of the column of recordings in a table, the first that exists is taken."""
ARCHIVES = (".zip", ".tar", ".parquet", ".arrow")
HELD_OUT: tuple[Split, ...] = ("valid", "test")


@dataclass(frozen=True)
class AudioSource:
    """Recordings to preprocess: a hash of their content, how to read them, and what is known already."""

    content_hash: str
    recordings: Callable[[], Iterable[Recording]]
    sample_rate_hz: int
    skipped: Sequence[SkippedItem] = ()
    other_suffixes: Counter[str] = field(default_factory=Counter)
    files: ItemFiles | None = None
    layout: Layout = field(default_factory=Layout)


def recordings_of_arrays(
    clips: Iterable[tuple[str, str | None, AudioBlock]], from_hz: int
) -> Iterator[Recording]:
    for name, label, samples in clips:
        identity = hashlib.sha256(samples.tobytes()).hexdigest()[:32]
        yield Recording(name, identity, len(samples) / from_hz, _resampled(samples, from_hz), label)


def _resampled(samples: AudioBlock, from_hz: int) -> Callable[[int], Iterator[AudioBlock]]:
    def blocks(sample_rate_hz: int) -> Iterator[AudioBlock]:
        import soxr

        yield samples if sample_rate_hz == from_hz else soxr.resample(samples, from_hz, sample_rate_hz)

    return blocks


def resolve_audio(source: Source, config: AudioConfig, announce: Announce) -> AudioSource:
    """The recordings of ``source``: of a folder, an archive or shards, one file, or the built-in percussion.

    Raises:
        DataError: no recording can be used.
    """
    return _builtin_source() if source.is_built_in else _file_source(source, config, announce)


def _builtin_source() -> AudioSource:
    from gancore_audio import percussion

    sample_rate_hz = percussion.SAMPLE_RATE_HZ
    return AudioSource(
        percussion.VERSION,
        lambda: recordings_of_arrays(percussion.synthesize(), sample_rate_hz),
        sample_rate_hz,
    )


def _file_source(source: Source, config: AudioConfig, announce: Announce) -> AudioSource:
    layout = LAYOUTS.get(source.entry.name, Layout()) if source.entry else Layout()
    suffixes = readable_suffixes()
    if source.path is not None and source.path.is_file() and source.path.suffix.lower() not in ARCHIVES:
        suffixes |= {source.path.suffix.lower()}  # a file that is named itself
    kind = ItemKind(suffixes, COLUMNS, config.column, layout.folders)
    inventory = find_recordings(open_item_files(source, kind, config), announce)
    content = hashlib.sha256(
        json.dumps([(found.name, found.content_hash) for found in inventory.found]).encode()
    )

    def recordings() -> Iterator[Recording]:
        announce(f"Preparing {len(inventory.found):,} recordings of {source.name}, once")
        return (_recording(inventory.files, found) for found in inventory.found)

    sample_rate_hz = min(inventory.most_common_rate_hz, MAX_DEFAULT_RATE_HZ)
    return AudioSource(
        content.hexdigest(),
        recordings,
        sample_rate_hz,
        inventory.skipped,
        inventory.files.other_suffixes,
        inventory.files,
        layout,
    )


def _recording(files: ItemFiles, found: InspectedFile[AudioHeader]) -> Recording:
    def blocks(sample_rate_hz: int) -> Iterator[AudioBlock]:
        with files.as_path(found.name) as path:
            yield from read_blocks(path, found.header, sample_rate_hz)

    return Recording(found.name, found.content_hash, found.header.seconds, blocks)
