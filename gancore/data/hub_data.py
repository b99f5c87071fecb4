"""Data sets of the Hugging Face hub, ``hub:OWNER/NAME``, through the library datasets.

The library downloads a data set into its own cache (``HF_HOME``) as Arrow files, which are read as shards. It
runs no code of a data set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gancore.data.data_files import DataFile
from gancore.data.splits import split_from_name
from gancore.entries import SourceEntry
from gancore.errors import DataError, GancoreError
from gancore.hub import NO_ACCESS, HubName, explain, hub_errors, hub_library, parse_hub_name
from gancore.progress import Announce
from gancore.text import escape_unprintable


def open_hub_data(given: str, announce: Announce) -> tuple[SourceEntry, tuple[DataFile, ...]]:
    """What is known of the data set that ``given`` names, and its files, in the library's cache.

    Raises:
        ConfigError: the name has another form, or a library is not installed.
        DataError: there is no such data set or subset, it is private, cannot be prepared, or is not in the
            cache and the hub is not reached.
    """
    name = parse_hub_name(given, kind="data set")
    library = _datasets()
    if os.path.exists(name.repo):
        raise DataError(
            f"the folder {name.repo} here would be taken for {name}",
            f"name the folder: --data ./{name.repo}, or start in another folder",
        )
    with _data_errors(name, library):
        builder = library.load_dataset_builder(
            name.repo, name.subset or None, revision=None if name.revision == "main" else name.revision
        )
        is_cached = os.path.isdir(builder.cache_dir)
        entry = _entry(name, builder, is_cached)
        if not is_cached:
            size = f"About {entry.size_mb:,.0f} MB, kept" if entry.size_mb else "Kept"
            announce(f"{name}: licence: {entry.licence}. {size} in {library.config.HF_CACHE_HOME}")
        builder.download_and_prepare()
        files = _files(builder.as_dataset(), str(library.config.HF_CACHE_HOME), name, announce)
    return entry, files


def _files(splits: Mapping[str, Any], cache: str, name: HubName, announce: Announce) -> tuple[DataFile, ...]:
    """The Arrow files of the splits. If one is train, splits that are none of ours are left out."""
    named = {split: split_from_name(split) for split in splits}
    if "train" in named.values():
        for split in [split for split, own in named.items() if own is None]:
            announce(f"{name}: its split {escape_unprintable(split)} is left out")
            del named[split]
    else:
        named = dict.fromkeys(named)
    files = tuple(
        DataFile(f"{split}/{Path(part['filename']).name}", part["filename"], own, embedded_below=cache)
        for split, own in named.items()
        for part in splits[split].cache_files
    )
    if not files:
        raise DataError(f"{name} has no rows", "name another data set")
    return files


def _entry(name: HubName, builder: Any, is_cached: bool) -> SourceEntry:
    """What the card and the hub say of the data set: licence, size."""
    size = builder.info.download_size or (0 if is_cached else _repository_bytes(name))
    return SourceEntry(
        name.repo,
        f"{name} of the Hugging Face hub",
        escape_unprintable(_licence(name) or builder.info.license or "none stated"),
        size_mb=size / 1e6,
        homepage=f"https://huggingface.co/datasets/{name.repo}",
    )


def _repository_bytes(name: HubName) -> int:
    """The bytes of all files; 0 if the hub does not say."""
    hub = hub_library()
    with suppress(Exception):  # of the network: the size is only shown
        api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="gancore")
        about = api.dataset_info(name.repo, revision=name.revision, files_metadata=True)
        return sum(file.size or 0 for file in about.siblings or ())
    return 0


def _licence(name: HubName) -> str:
    """The licence in the front matter of the card; empty if there is none."""
    hub = hub_library()
    card = hub.try_to_load_from_cache(name.repo, "README.md", repo_type="dataset", revision=name.revision)
    if not isinstance(card, str):
        return ""
    try:
        licence = hub.DatasetCard.load(card).data.to_dict().get("license")
    except Exception:  # a damaged card; yaml and the library raise many
        return ""
    return ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence or "")


def _datasets() -> Any:
    """The library datasets, silent. Raises DataError: it is not installed."""
    try:
        import datasets
    except ImportError:
        raise DataError(
            "data sets of the hub need the library datasets", 'pip install "gancore[data]"'
        ) from None
    library: Any = datasets
    library.disable_progress_bars()
    library.logging.set_verbosity_error()
    return library


@contextmanager
def _data_errors(name: HubName, library: Any) -> Iterator[None]:
    """Context manager that turns every error of both libraries into one line."""
    errors = library.exceptions
    with hub_errors(name, DataError):
        try:
            yield
        except GancoreError:
            raise
        except errors.DatasetNotFoundError as error:
            raise DataError(f"{name} does not exist, or is private", NO_ACCESS) from error
        except ConnectionError as error:
            message = f"{name} is not in the cache, and the hub is not reached"
            raise DataError(message, "connect this machine, and leave HF_HUB_OFFLINE unset") from error
        except ValueError as error:
            is_subset = "config" in str(error).lower()
            fix = "name one: hub:OWNER/NAME/SUBSET" if is_subset else "name another data set"
            raise DataError(f"{name} cannot be used: {explain(error)}", fix) from error
        except errors.DatasetsError as error:
            reason = explain(error.__cause__ or error)
            raise DataError(f"{name} cannot be prepared: {reason}", "name another data set") from error
