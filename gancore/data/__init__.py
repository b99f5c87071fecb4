"""Tools with which domains read data: files, labels, splits, prepared and packed data, locks, digests, trees.

Public names are imported at first use: importing this package does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gancore.lazy import attach

if TYPE_CHECKING:
    from gancore.data.archives import is_archive, unpack_archive
    from gancore.data.arrays import ARRAY_READ_ERRORS, distinct_rows, keeps_together, read_npy, split_rows
    from gancore.data.cache import cache_folder
    from gancore.data.data_files import DataFile
    from gancore.data.dataset import BoundedText
    from gancore.data.download import file_sha256
    from gancore.data.inventory import (
        FileInspector,
        FolderListing,
        InspectedFile,
        SkipItem,
        SkippedItem,
        build_inventory,
        count_other_suffixes,
        file_stat_key,
        first_skipped,
        is_hidden,
        list_files,
        other_suffix_lines,
        skipped_lines,
    )
    from gancore.data.item_files import ItemFiles, ItemKind
    from gancore.data.labels import (
        FileSet,
        LabelledDataConfig,
        Labels,
        class_fields,
        class_indices,
        folder_reader,
        num_classifier_classes,
        num_conditional_classes,
        read_labels,
    )
    from gancore.data.metadata import MetadataFile
    from gancore.data.packed import PackedArray, PackedArrayWriter
    from gancore.data.prepared import PreparedData, open_prepared, store_unique
    from gancore.data.shard_files import open_item_files, source_files, splits_of_files
    from gancore.data.splits import (
        SPLITS,
        Shares,
        Split,
        assign_splits,
        group_by_split,
        split_from_name,
        splits_from_folders,
    )
    from gancore.data.table_shards import class_names, open_table
    from gancore.data.tar_shards import open_tar_index, parse_fields, read_tar_samples
    from gancore.digests import digest_code, digest_json, digest_tensors
    from gancore.file_lock import exclusive_lock
    from gancore.files import (
        atomic_write,
        mark_used,
        open_regular,
        read_regular,
        remove,
        temporary_path,
        total_memory_bytes,
    )
    from gancore.progress import Announce
    from gancore.trees import Tree, tree_map

__all__ = [
    "ARRAY_READ_ERRORS",
    "SPLITS",
    "Announce",
    "BoundedText",
    "DataFile",
    "FileInspector",
    "FileSet",
    "FolderListing",
    "InspectedFile",
    "ItemFiles",
    "ItemKind",
    "LabelledDataConfig",
    "Labels",
    "MetadataFile",
    "PackedArray",
    "PackedArrayWriter",
    "PreparedData",
    "Shares",
    "SkipItem",
    "SkippedItem",
    "Split",
    "Tree",
    "assign_splits",
    "atomic_write",
    "build_inventory",
    "cache_folder",
    "class_fields",
    "class_indices",
    "class_names",
    "count_other_suffixes",
    "digest_code",
    "digest_json",
    "digest_tensors",
    "distinct_rows",
    "exclusive_lock",
    "file_sha256",
    "file_stat_key",
    "first_skipped",
    "folder_reader",
    "group_by_split",
    "is_archive",
    "is_hidden",
    "keeps_together",
    "list_files",
    "mark_used",
    "num_classifier_classes",
    "num_conditional_classes",
    "open_item_files",
    "open_prepared",
    "open_regular",
    "open_table",
    "open_tar_index",
    "other_suffix_lines",
    "parse_fields",
    "read_labels",
    "read_npy",
    "read_regular",
    "read_tar_samples",
    "remove",
    "skipped_lines",
    "source_files",
    "split_from_name",
    "split_rows",
    "splits_from_folders",
    "splits_of_files",
    "store_unique",
    "temporary_path",
    "total_memory_bytes",
    "tree_map",
    "unpack_archive",
]

__getattr__, __dir__ = attach(__name__, __file__)
