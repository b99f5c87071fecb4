"""Sources of data: the built-in default, a named data set, a path, or an array in memory."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gancore.data.archives import is_archive, unpack_archive
from gancore.data.cache import data_folder
from gancore.data.download import MAX_BYTES, Progress, check_scheme, download
from gancore.data.patterns import is_pattern, is_remote, is_url
from gancore.entries import SourceEntry
from gancore.errors import ConfigError, DataError
from gancore.file_lock import exclusive_lock
from gancore.files import atomic_write, mark_used, sha256
from gancore.hub import is_hub_name
from gancore.progress import Announce, throttle
from gancore.text import escape_unprintable, suggestion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gancore.data.data_files import DataFile


@dataclass(frozen=True)
class Source:
    """A source of data: its name and its file or folder; the path is None for built-in data and for shards.

    ``announce`` prints a line of progress to the user. Of a domain with ``reads_shards``, ``location`` is a
    pattern or a URL, and ``files`` are those of a data set of the hub.
    """

    name: str
    path: Path | None = None
    entry: SourceEntry | None = None
    announce: Callable[[str], None] = field(default=lambda line: None, compare=False)
    location: str = ""
    files: Sequence[DataFile] = ()

    @property
    def is_built_in(self) -> bool:
        """Whether the domain generates the data."""
        return self.path is None and not self.location and not self.files


SLACK_BYTES = 100_000_000
"""A file may be larger by this than twice the size that the source states for the whole data set."""


def is_built_in(entry: SourceEntry) -> bool:
    """Whether the domain generates the data: the source has neither files nor a home page."""
    return not entry.files and not entry.homepage


def absolute_source(given: str | None, entries: Mapping[str, SourceEntry]) -> str | None:
    """Make an existing path absolute; any other text (a name, a wrong path) is returned unchanged."""
    if given is None or given in entries:
        return given
    path = os.path.expanduser(given)
    is_path = os.path.exists(path) or (is_pattern(given) and not is_url(given) and not is_hub_name(given))
    return os.path.abspath(path) if is_path else given


def resolve_source(
    given: str | None,
    entries: Mapping[str, SourceEntry],
    data_root: Path | None,
    announce: Announce,
    array_folder: Path | None = None,
    may_download: bool = True,
    reads_shards: bool = False,
) -> Source:
    """The source of ``--data``.

    Args:
        given: None for the built-in default, a name of ``entries``, a path (``./name`` if a data set has the
            same name), a pattern, a URL of fsspec, or a data set of the hub.
        entries: the named data sets. A data set is searched in ``data_root``, ``$GANCORE_DATA`` and the
            cache, otherwise downloaded into the cache; nothing else is downloaded.
        data_root: a folder with data sets.
        announce: prints a line to the user.
        array_folder: the folder in which a run stores an array that a program passed in memory.
        may_download: whether a data set that is not found may be downloaded, and other machines are asked.
        reads_shards: whether the domain reads patterns, URLs and data sets of the hub.

    Raises:
        DataError: there is no such name or path, or the data set is not found and not downloaded.
    """
    if data_root is not None and not data_root.is_dir():
        raise DataError(f"--data-root {data_root} is not a folder", "give an existing folder")
    if given is None:
        return _default_source(entries, announce)
    if given in entries:
        return _named_source(entries[given], data_root, announce, may_download)
    if array_folder is not None and ARRAY_NAME.fullmatch(given) and (array_folder / given).is_file():
        return _source(given, array_folder / given, None, announce)
    if is_hub_name(given) or is_url(given) or is_pattern(given):
        return _shard_source(given, announce, may_download, reads_shards)
    path = os.path.expanduser(given)
    if ARRAY_NAME.fullmatch(given) and not os.path.exists(path):
        raise DataError(
            f"the array {given}, which a program passed in memory, was not found",
            f"give the file in the run folder: --data RUN/data/{given}",
        )
    if not os.path.exists(path):
        raise DataError(
            f"there is no file, folder or data set {given!r}",
            suggestion(given, entries),
        )
    return _source(Path(path).resolve().name, Path(path), None, announce)


def _shard_source(given: str, announce: Announce, may_download: bool, reads_shards: bool) -> Source:
    if not reads_shards:
        raise DataError(
            f"this domain reads no pattern, URL or data set of the hub: {escape_unprintable(given)}",
            "give a file or a folder",
        )
    if not may_download and (is_hub_name(given) or is_remote(given)):
        raise DataError(f"{escape_unprintable(given)} is not on this machine", "name it: --data")
    if is_hub_name(given):
        from gancore.data.hub_data import open_hub_data

        entry, files = open_hub_data(given, announce)
        return Source(entry.name, None, entry, announce, files=files)
    name = escape_unprintable(given.rstrip("/").rpartition("/")[2] or given)
    return Source(name, None, None, announce, location=os.path.expanduser(given))


def _default_source(entries: Mapping[str, SourceEntry], announce: Announce) -> Source:
    for entry in entries.values():
        if is_built_in(entry):
            return _source(entry.name, None, entry, announce)
    raise DataError(
        "this domain has no built-in data", f"name a data set or a path ({suggestion('', entries)})"
    )


def _named_source(
    entry: SourceEntry, data_root: Path | None, announce: Announce, may_download: bool
) -> Source:
    if is_built_in(entry):
        return _source(entry.name, None, entry, announce)
    folder = entry.folder or entry.name
    if found := _first_folder(_roots(data_root), folder):
        with suppress(DataError):  # without a cache folder, the other folders are searched
            if found.parent == data_folder():
                mark_used(found)
        return _source(entry.name, found, entry, announce)
    if found := _first_folder(_roots(data_root), f"{folder}_sample"):
        announce(f"Using {found}: only a sample of {entry.name}")
        return _source(entry.name, found, entry, announce)
    if not entry.files:
        places = ", ".join(str(root / folder) for root in _roots(data_root))
        raise DataError(
            f"the data set {entry.name!r} was not found in {places} and has no download",
            f"get it from {entry.homepage} and put it into the folder --data-root or $GANCORE_DATA",
        )
    if not may_download:
        raise DataError(f"the data set {entry.name!r} is not on this machine", "name its folder: --data-root")
    return _source(entry.name, fetch(entry, data_folder() / folder, announce), entry, announce)


def _source(name: str, path: Path | None, entry: SourceEntry | None, announce: Announce) -> Source:
    return Source(escape_unprintable(name), path, entry, announce)


def _roots(data_root: Path | None) -> Iterator[Path]:
    """The folders in which a named data set is searched, in order."""
    if data_root is not None:
        yield data_root
    if environment := os.environ.get("GANCORE_DATA"):
        yield Path(os.path.expanduser(environment))
    yield data_folder()


def _first_folder(roots: Iterable[Path], name: str) -> Path | None:
    return next((root / name for root in roots if (root / name).is_dir()), None)


def fetch(entry: SourceEntry, folder: Path, announce: Announce) -> Path:
    """Download and unpack a data set. ``folder`` is complete or absent.

    If an archive contains a single folder and nothing else, the content of that folder is used.
    """
    announce(
        f"{entry.name}: {entry.summary}. Licence: {entry.licence}. "
        f"{f'About {entry.size_mb:,.0f} MB, kept' if entry.size_mb else 'Kept'} in {folder}"
    )
    work = folder.with_name(f"{folder.name}.part")
    try:
        with exclusive_lock(folder.with_name(f"{folder.name}.lock"), announce):
            if folder.is_dir():  # another process has downloaded it in the meantime
                return folder
            content = work / "content"
            shutil.rmtree(content, ignore_errors=True)
            most = round(2e6 * entry.size_mb + SLACK_BYTES) if entry.size_mb else MAX_BYTES
            for url, sha256 in entry.files.items():
                check_scheme(url)
                target, say = work / Path(urlsplit(url).path).name, _progress_reporter(announce)
                _copy_or_unpack(download(url, target, sha256, announce, say, most_bytes=most), content)
            _single_subfolder(content).rename(folder)
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error}", "set GANCORE_CACHE to another folder"
        ) from None
    return folder


def _copy_or_unpack(path: Path, content: Path) -> None:
    content.mkdir(parents=True, exist_ok=True)
    if is_archive(path):
        unpack_archive(path, content)
    else:
        shutil.copyfile(path, content / path.name)


def _single_subfolder(folder: Path) -> Path:
    children = list(folder.iterdir())
    return children[0] if len(children) == 1 and children[0].is_dir() else folder


def _progress_reporter(announce: Announce) -> Progress:
    """A function that announces the progress of a download every REPORT_SECONDS."""
    say = throttle(announce)

    def report(done: int, total: int | None) -> None:
        say(f"  {done / 1e6:,.1f} MB" + (f" of {total / 1e6:,.1f} MB" if total else ""))

    return report


ARRAY_NAME = re.compile(r"rows-[0-9a-f]{16}\.npy")
_KINDS = "biuf"
"""Kinds of numpy dtypes: bool, signed and unsigned integer, float."""


@dataclass(frozen=True)
class ArraySource:
    """An array as the content of an npy file. Its ``name`` has its sha256: equal arrays are one source."""

    name: str
    content: bytes

    def store(self, folder: Path) -> Path:
        """Write the file into ``folder`` unless it exists."""
        path = folder / self.name
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            atomic_write(path, self.content)
        return path


LABELLED_FIELDS = ("data", "label")
"""The fields of the numpy dtype of examples with labels."""


def is_array(value: object) -> bool:
    """Whether ``value`` has examples in memory: a tensor, an array, or a ``torch.utils.data.Dataset``."""
    return (hasattr(value, "__array__") and hasattr(value, "shape")) or _is_dataset(value)


def _is_dataset(value: object) -> bool:
    torch_data = sys.modules.get("torch.utils.data")  # if it is not imported, no object is a Dataset
    return torch_data is not None and isinstance(value, torch_data.Dataset)


def array_source(value: Any) -> ArraySource:
    """Make a source from examples in memory.

    ``value`` is a tensor or array of rows, or a Dataset of rows or of (row, label) pairs. Rows with labels
    become an array with a numpy dtype of the fields ``data`` and ``label``.

    Raises:
        ConfigError: the values are not finite real numbers, there are no examples, or the items of a Dataset
            have different shapes or are neither rows nor (row, integer label).
    """
    import numpy as np

    if _is_dataset(value):
        rows, labels = _dataset_arrays(value)
        array = _checked_array(rows)
        if labels is not None:
            pairs = np.empty(len(array), [("data", array.dtype, array.shape[1:]), ("label", np.int64)])
            pairs["data"], pairs["label"] = array, labels
            array = pairs
    else:
        array = _checked_array(value)
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    content = file.getvalue()
    return ArraySource(f"rows-{sha256(content)[:16]}.npy", content)


def _dataset_arrays(dataset: Any) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The rows of a map-style Dataset, and its labels if its items are pairs."""
    import numpy as np

    fix = "give a Dataset of rows, or of pairs of a row and an integer label"
    if not hasattr(dataset, "__len__"):
        raise ConfigError(f"data is a {type(dataset).__name__}, which has no length", fix)
    items = [dataset[index] for index in range(len(dataset))]
    tuples = [item if isinstance(item, (tuple, list)) else (item,) for item in items]
    widths = {len(item) for item in tuples}
    if not widths <= {1, 2} or len(widths) > 1:
        raise ConfigError(f"the items of data have {', '.join(map(str, sorted(widths)))} parts", fix)
    try:
        columns = [np.stack([np.asarray(part) for part in column]) for column in zip(*tuples, strict=True)]
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"the items of data do not stack to one array: {error}", fix) from None
    if not columns:
        raise ConfigError(f"data is a {type(dataset).__name__} without items", fix)
    labels = columns[1] if len(columns) > 1 else None
    if labels is not None and (labels.dtype.kind not in "biu" or labels.size != len(labels)):
        raise ConfigError(f"the labels of data are {labels.dtype} of shape {labels.shape[1:]}", fix)
    return columns[0], None if labels is None else labels.reshape(-1)


def _checked_array(value: Any) -> NDArray[Any]:
    """Rows of finite real numbers as an array. Raises ConfigError."""
    import numpy as np

    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"data is a {type(value).__name__} that numpy cannot store: {error}", "give float32 numbers"
        ) from None
    if array.dtype.kind not in _KINDS:
        raise ConfigError(f"data is an array of {array.dtype}", "give real numbers, such as float32 or uint8")
    if array.ndim < 2 or not array.size:
        raise ConfigError(f"data has shape {array.shape}", "give rows on the first axis: (rows, numbers)")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0, 0])
        raise ConfigError(f"row {row} of data is not finite", "leave such rows out")
    return array
