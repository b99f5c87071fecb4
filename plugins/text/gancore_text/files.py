"""Files of texts: which a path holds, their encoding, and whether they can be read at all."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import os
import stat
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, cast

from gancore.data import (
    Announce,
    DataFile,
    FileInspector,
    FolderListing,
    InspectedFile,
    SkipItem,
    SkippedItem,
    build_inventory,
    count_other_suffixes,
    first_skipped,
    list_files,
    open_table,
    open_tar_index,
    other_suffix_lines,
    read_tar_samples,
    total_memory_bytes,
)
from gancore.errors import DataError
from gancore.text import escape_unprintable, format_size

KINDS = {
    ".txt": "lines",
    ".jsonl": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "table",
    ".arrow": "table",
    ".tar": "tar",
}
SUFFIXES = frozenset({*KINDS, ".gz"})
CHUNK_BYTES = 1 << 20
TAR_EXTENSIONS = ("txt", "json", "cls")
"""The extensions of members of tar files that are read."""
MAX_MEMBER_BYTES = 1 << 24
BYTES_OF_MEMORY = 24
"""A byte of text takes so many of memory, at most, while texts are divided and counted: measured are 11, of
lines of 58 bytes; shorter lines take more."""

_GZIP, _UTF_32 = b"\x1f\x8b", (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROL = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1b")
_OTHER = f"give a file of text: {', '.join(KINDS)}"
_CONVERT = "convert it to UTF-8: iconv -f latin1 -t utf-8 FILE > NEW"


@dataclass(frozen=True, slots=True)
class TextHeader:
    """What must be known to read a file. ``size``: its bytes, unpacked."""

    kind: str
    encoding: str
    packed: bool
    size: int


@dataclass(frozen=True)
class TextFiles:
    """The files that can be used, in order, and those that are skipped."""

    files: Sequence[DataFile]
    found: list[InspectedFile[TextHeader]]
    skipped: list[SkippedItem] = field(default_factory=list)
    other_suffixes: Counter[str] = field(default_factory=Counter)


def find_texts(path: Path, announce: Announce, names: list[str] | None = None) -> TextFiles:
    """One file, or all files of texts below a folder; ``names``: only these, below the folder.

    Raises:
        DataError: none can be used, or they do not fit in memory.
    """
    if not path.is_dir():
        return inspect_files([DataFile.local(path)], path, FolderListing([], []), announce)
    listing = list_files(path)
    if names is None:
        names = [name for name in listing.names if _is_text(name)]
    return inspect_files([DataFile.local(path / name, name) for name in names], path, listing, announce)


def inspect_files(
    files: Sequence[DataFile], location: Path | str, listing: FolderListing, announce: Announce
) -> TextFiles:
    """Those of ``files`` that can be used. ``listing`` is all that the folder ``location`` holds.

    Raises as :func:`find_texts`.
    """
    known = {file.name: file for file in files}
    _require_memory(location, sum(_stored_bytes(file) for file in files))
    inspector = FileInspector(
        TextHeader, lambda name: known[name].stat_key(), lambda name: inspect(known[name])
    )
    inventory = build_inventory("text", location, list(known), inspector, announce)
    skipped = inventory.skipped + listing.skipped
    others = count_other_suffixes(listing.names, SUFFIXES)
    if not inventory.found:
        raise _no_file(location, len(files) == 1 and not listing.names, skipped, others)
    _require_memory(location, sum(found.header.size for found in inventory.found))
    for found in inventory.found:
        if found.header.kind == "tar":
            refused = open_tar_index(known[found.name]).refused
            skipped += [(f"{found.name}/{name}".rstrip("/"), reason) for name, reason in refused]
    return TextFiles([known[found.name] for found in inventory.found], inventory.found, skipped, others)


def _no_file(
    location: Path | str, single: bool, skipped: list[SkippedItem], others: Counter[str]
) -> DataError:
    shown = escape_unprintable(str(location))
    if single and skipped:
        return DataError(
            f"{shown} cannot be used: {skipped[0][1]}", _CONVERT if "UTF" in skipped[0][1] else _OTHER
        )
    reasons = [first_skipped(skipped)] if skipped else other_suffix_lines(others)
    why = f": {reasons[0]}" if reasons else ""
    return DataError(f"no file of texts in {shown} can be used{why}", _OTHER)


def _stored_bytes(file: DataFile) -> int:
    """The bytes of a local file of text; 0 of a tar file or a table, which may hold more than texts."""
    if file.filesystem is not None or file_kind(file.name) in ("tar", "table"):
        return 0
    try:
        status = Path(file.location).stat()
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _require_memory(location: Path | str, size: int) -> None:
    memory = total_memory_bytes()
    if size * BYTES_OF_MEMORY > memory:
        most = format_size(memory // BYTES_OF_MEMORY)
        raise DataError(
            f"{escape_unprintable(str(location))} holds {format_size(size)} of text; "
            f"with {format_size(memory)} of memory at most {most} can be prepared",
            "give a part of it: shuf -n 1000000 FILE > PART",
        )


def _is_text(name: str) -> bool:
    return file_kind(name) in KINDS.values()


def file_kind(name: str) -> str:
    """How a file is read, by its suffix; a suffix ``.gz`` is ignored. Other files are "other"."""
    return KINDS.get(os.path.splitext(name.lower().removesuffix(".gz"))[1], "other")


def inspect(file: DataFile) -> tuple[TextHeader, str]:
    """The header and the SHA-256 of a file, which is read once, in chunks.

    Raises:
        SkipItem: not a file, empty, damaged, too large, binary, or in another encoding.
        OSError: it cannot be read.
    """
    kind = file_kind(file.name)
    with file.reading(), file.open() as stream:
        head = stream.read(4)
    if not head:
        raise SkipItem("it is empty (0 bytes)")
    packed = head.startswith(_GZIP)
    if kind == "tar":
        return _inspect_tar(file)
    text_bytes = None
    if kind == "table" and not packed:
        with open_table(file) as table:
            text_bytes = table.text_bytes()
    try:
        with open_bytes(file, packed) as stream:
            header, digest = _inspect_bytes(stream, "lines" if kind == "other" else kind, packed)
        return (header if text_bytes is None else replace(header, size=text_bytes)), digest
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise SkipItem("its gzip data are damaged or cut short") from None


def _inspect_tar(file: DataFile) -> tuple[TextHeader, str]:
    """Of a tar file only the members that are texts are read."""
    digest, size = hashlib.sha256(), 0
    for sample in read_tar_samples(file, TAR_EXTENSIONS, MAX_MEMBER_BYTES):
        for name, content in sample.items():
            content = content or b""  # too long: left out, and counted, when texts are read
            digest.update(f"{name} {len(content)} ".encode("utf-8", "surrogateescape") + content)
            size += len(content)
    return TextHeader("tar", "", False, size), digest.hexdigest()


def _inspect_bytes(stream: IO[bytes], kind: str, packed: bool) -> tuple[TextHeader, str]:
    digest, size = hashlib.sha256(), 0
    most = total_memory_bytes() // BYTES_OF_MEMORY
    chunk = stream.read(CHUNK_BYTES)
    encoding = "" if kind == "table" else _encoding(chunk)
    decoder = _Utf8Check() if encoding == "utf-8-sig" else None
    while chunk:
        digest.update(chunk)
        size += len(chunk)
        if packed and size > most:
            raise SkipItem(f"unpacked it is larger than {format_size(most)}")
        if decoder:
            decoder.feed(chunk)
        chunk = stream.read(CHUNK_BYTES)
    if decoder:
        decoder.feed(b"", last=True)
    return TextHeader(kind, encoding, packed, size), digest.hexdigest()


@contextmanager
def open_bytes(file: DataFile, packed: bool) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked; a pipe or a device is refused and does not block.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    with file.open() as stream:
        if packed:
            with gzip.open(stream) as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            yield stream


def _encoding(head: bytes) -> str:
    """The encoding of a file that begins with ``head``. Raises SkipItem: none that is read, or binary."""
    if head.startswith(_UTF_32):
        raise SkipItem("it is UTF-32, which is not read")
    if head.startswith(_UTF_16):
        return "utf-16"
    zeros = [head[at::2].count(0) / max(1, len(head[at::2])) for at in (0, 1)]
    if max(zeros) > 0.3 and min(zeros) < 0.1:
        name = "UTF-16LE" if zeros[1] > zeros[0] else "UTF-16BE"
        raise SkipItem(f"it seems to be {name} without a byte order mark")
    if sum(head.count(byte) for byte in _CONTROL) > 8 + 0.05 * len(head):
        raise SkipItem("it is binary, no text")
    return "utf-8-sig"


class _Utf8Check:
    """Decodes chunks to find the first byte that is not UTF-8."""

    def __init__(self) -> None:
        self._decoder: Callable[..., str] = codecs.getincrementaldecoder("utf-8")().decode
        self._lines = 1

    def feed(self, chunk: bytes, last: bool = False) -> None:
        """Raises SkipItem, with byte and line."""
        try:
            self._decoder(chunk, last)
        except UnicodeDecodeError as error:
            line = self._lines + error.object[: error.start].count(b"\n")
            byte = error.object[error.start]
            raise SkipItem(f"it is not UTF-8: byte {byte:#04x} in line {line:,}") from None
        self._lines += chunk.count(b"\n")
