"""Tar files whose members are read at their offsets, without unpacking: shards in WebDataset's layout.

Members with the same key, their path up to the first dot of the file name, are one sample: ``0001.ext`` with
``0001.cls`` or ``0001.json``, whose label is the label of the sample's other members
(https://github.com/webdataset/webdataset).
"""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from gancore.data.archives import leads_outside
from gancore.data.data_files import DataFile
from gancore.data.inventory import MAX_ITEM_BYTES, SkipItem, SkippedItem, is_hidden
from gancore.data.metadata import plain_label
from gancore.data.shard_index import ShardIndex, open_index
from gancore.text import format_size

CLASS_COLUMN = "cls"
"""The name of the column of labels that members ``KEY.cls`` are."""
SIDECAR_SUFFIXES = (".json", ".cls")
MAX_SIDECAR_BYTES = 1 << 20
_BLOCK = 512
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


@dataclass(frozen=True)
class _Member:
    name: str
    offset: int
    size: int


@dataclass
class _Members:
    """The members of a tar file that can be read, in order, and the others with the reason."""

    found: list[_Member] = field(default_factory=list)
    refused: list[SkippedItem] = field(default_factory=list)


def sample_key(name: str) -> str:
    """The path of a member up to the first dot of its file name."""
    folder, file = posixpath.split(name)
    return posixpath.join(folder, file.partition(".")[0])


def index_tar(file: DataFile, label_columns: Sequence[str]) -> ShardIndex:
    """Find the members of a tar file and their labels: fields of ``KEY.json``, or the content of ``KEY.cls``.

    A file that is cut short is used up to there, and named.

    Raises:
        SkipItem: the file is no tar file, is compressed, or cannot be read.
    """
    with file.reading(), file.open() as stream:
        members = _read_members(stream)
        labels = _read_labels(stream, members, label_columns)
    return ShardIndex(
        [member.name for member in members.found],
        [member.offset for member in members.found],
        [member.size for member in members.found],
        {
            column: [known.get(sample_key(member.name)) for member in members.found]
            for column, known in labels.items()
            if known
        },
        members.refused,
    )


def open_tar_index(file: DataFile, label_columns: Sequence[str] = ()) -> ShardIndex:
    """As :func:`index_tar`, from the cache unless the file was replaced."""
    return open_index(file, label_columns, lambda: index_tar(file, label_columns))[0]


def read_tar_samples(
    file: DataFile, extensions: Collection[str], max_bytes: int = MAX_ITEM_BYTES
) -> Iterator[dict[str, bytes | None]]:
    """The members of each sample that have these extensions, by extension; samples without any are left out.

    None in place of a content: the member is larger than ``max_bytes``.

    Raises:
        SkipItem: the file is no tar file, is compressed, or cannot be read.
    """
    index = open_tar_index(file)
    samples: dict[str, list[tuple[str, int]]] = {}
    for number, name in enumerate(index.names):
        extension = posixpath.basename(name).partition(".")[2].lower()
        if extension in extensions:
            samples.setdefault(sample_key(name), []).append((extension, number))
    with file.reading(), file.open() as stream:
        for members in samples.values():
            content: dict[str, bytes | None] = {}
            for extension, number in members:
                stream.seek(index.places[number])
                fits = index.sizes[number] <= max_bytes
                content[extension] = stream.read(index.sizes[number]) if fits else None
            yield content


def _read_members(stream: IO[bytes]) -> _Members:
    if stream.read(6).startswith(_COMPRESSED):
        raise SkipItem("it is compressed, and members are read at their places; decompress it")
    end = stream.seek(0, 2)
    stream.seek(0)
    members = _Members()
    entries: dict[str, _Member] = {}
    counts: Counter[str] = Counter()
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for entry in _entries(tar):
                _place(entry, end, entries, counts, members.refused)
            if reason := _torn(stream, tar.offset, end):
                members.refused.append(("", reason))
    except (tarfile.TarError, OverflowError, ValueError, EOFError) as error:
        if not entries:
            raise SkipItem(f"it is no tar file ({error})") from None
        members.refused.append(("", f"it is damaged or cut short after {len(entries):,} members ({error})"))
    for name, member in entries.items():
        if counts[name] > 1:
            members.refused.append((name, f"the file holds {counts[name]} members of this name"))
        else:
            members.found.append(member)
    return members


def _entries(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """All entries; the list of them that tarfile keeps for itself is emptied, which else takes 1 kB each."""
    kept: list[tarfile.TarInfo] = vars(tar)["members"]
    while (entry := tar.next()) is not None:
        yield entry
        kept.clear()


def _place(
    entry: tarfile.TarInfo,
    end: int,
    entries: dict[str, _Member],
    counts: Counter[str],
    refused: list[SkippedItem],
) -> None:
    """Add an entry to ``entries``, unless it is a folder or hidden; or to ``refused``."""
    name = entry.name.removeprefix("./")
    if entry.isdir() or any(is_hidden(part) and part not in ("..", ".") for part in name.split("/")):
        return
    member: _Member | None = None
    if leads_outside(name):
        reason = "its name leads out of the archive"
    elif entry.islnk() or entry.issym():
        member = entries.get(_link_target(entry, name))
        reason = "it links to what the archive does not hold before it"
    elif not entry.isreg() or entry.sparse is not None:
        reason = "it is no ordinary file"
    elif entry.offset_data + entry.size > end:
        reason = f"it is cut short: {max(0, end - entry.offset_data):,} of {entry.size:,} bytes"
    else:
        member = _Member(name, entry.offset_data, entry.size)
    if member is None:
        refused.append((name, reason))
    else:
        counts[name] += 1
        entries[name] = _Member(name, member.offset, member.size)


def _link_target(entry: tarfile.TarInfo, name: str) -> str:
    """The name of the member that a link means: of a symbolic one relative to its own folder."""
    base = posixpath.dirname(name) if entry.issym() else ""
    return posixpath.normpath(posixpath.join(base, entry.linkname.removeprefix("./")))


def _torn(stream: IO[bytes], offset: int, end: int) -> str:
    """Why the file ends too early: after the last member there is a block of zeros."""
    stream.seek(min(offset, end))
    block = stream.read(_BLOCK)
    if len(block) == _BLOCK and not any(block):
        return ""
    if not block:
        return "its end mark is missing: it may be cut short"
    return f"it is damaged at byte {offset:,}: what follows is not read"


def _read_labels(stream: IO[bytes], members: _Members, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """The labels by column and key of a sample; a sidecar that cannot be read is added to ``refused``."""
    labels: dict[str, dict[str, str]] = {column: {} for column in columns}
    for member in members.found:
        extension = posixpath.basename(member.name).partition(".")[2].lower()
        if extension not in ("json", CLASS_COLUMN):
            continue
        key = sample_key(member.name)
        try:
            content = _sidecar(stream, member)
            if extension == CLASS_COLUMN and CLASS_COLUMN in labels:
                labels[CLASS_COLUMN][key] = content.decode().strip()
            elif extension == "json":
                fields = parse_fields(content)
                for column in columns:
                    if (label := label_text(fields.get(column))) is not None:
                        labels[column][key] = label
        except SkipItem as refused:
            members.refused.append((member.name, str(refused)))
        except UnicodeDecodeError:
            members.refused.append((member.name, "it is not UTF-8"))
    return labels


def _sidecar(stream: IO[bytes], member: _Member) -> bytes:
    if member.size > MAX_SIDECAR_BYTES:
        raise SkipItem(f"it takes {format_size(member.size)}, more than {format_size(MAX_SIDECAR_BYTES)}")
    stream.seek(member.offset)
    return stream.read(member.size)


def parse_fields(content: bytes) -> dict[str, Any]:
    """The fields of a JSON object; of other JSON values none. Raises SkipItem: it is no JSON."""
    try:
        fields = json.loads(content)
    except UnicodeDecodeError:
        raise SkipItem("it is not UTF-8") from None
    except ValueError as error:
        raise SkipItem(f"it is not JSON ({error})") from None
    except RecursionError:
        raise SkipItem("it is nested too deeply") from None
    return fields if isinstance(fields, dict) else {}


def label_text(value: object) -> str | None:
    """A label as text; None: there is none, or it is no text or number."""
    return None if value in (None, "") or not isinstance(value, str | int | float) else plain_label(value)
