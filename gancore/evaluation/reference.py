"""The real data of an evaluation: the data of the training, or another source with the same settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gancore.config import DataConfig, RecipeConfig
from gancore.config_layers import build_config, flatten_settings, load_config_file
from gancore.data.dataset import Batch, Data, View
from gancore.data.sources import Source, resolve_source
from gancore.digests import digest_json, digest_tensors
from gancore.errors import ConfigError
from gancore.models.model import Model
from gancore.models.sampling import to_cpu
from gancore.random import Key, RowRange, evaluation_key
from gancore.run_folder import RunFolder
from gancore.trees import Tree, tree_cat, tree_leaves


@dataclass(frozen=True)
class ReferenceData:
    """Opened data of an evaluation. ``section`` has the settings of the data; ``note`` is for the user."""

    source: Source
    section: DataConfig
    data: Data
    note: str = ""


def open_reference(
    model: Model,
    run: RunFolder | None,
    against: str | None,
    data_root: Path | None,
    announce: Callable[[str], None],
    may_download: bool = True,
) -> ReferenceData:
    """Open the data of the training, or those of ``against``. See :func:`resolve_source` for the others.

    Raises:
        ConfigError: the model does not name its training data, or the source is of another kind.
        DataError: the data are missing or cannot be read.
    """
    section = _data_section(model, run, against)
    rows = None if run is None else run.rows_folder
    if against is None and run is None:  # a stranger's model does not choose which machines are asked
        may_download = may_download and section.source in (None, *model.domain.sources)
    source = resolve_source(
        section.source,
        model.domain.sources,
        data_root,
        announce,
        rows,
        may_download,
        model.domain.reads_shards,
    )
    data = model.domain.open(source, section)
    _check_compatible(model, source.name, data)
    return ReferenceData(source, section, data, _fingerprint_note(model, data) if against is None else "")


def _data_section(model: Model, run: RunFolder | None, against: str | None) -> DataConfig:
    """The settings of the data: of the run or the model; for ``against`` completed from the spec."""
    own = _stored_settings(model, run)
    if against is None:
        if own is None or "source" not in own:
            raise ConfigError("the model does not name its training data", "give the data with --data")
        return _validate(model, own)
    pinned = {key: value for key, value in _settings_in_spec(model).items() if (own or {}).get(key) is None}
    return _validate(model, {**(own or {}), **pinned, "source": against})


def _stored_settings(model: Model, run: RunFolder | None) -> dict[str, Any] | None:
    if run is not None and run.config_file.exists():
        values: dict[str, Any] = load_config_file(run.config_file).data.model_dump(mode="json")
        return values
    stored = model.config.get("data")
    return dict(stored) if isinstance(stored, Mapping) else None


def _settings_in_spec(model: Model) -> dict[str, Any]:
    """Values of the spec for keys of the data section, such as a size that was taken from the source."""
    keys = model.domain.Config.model_fields.keys() - {"source"}
    return {key: model.spec.fields[key] for key in keys & model.spec.fields.keys()}


def _validate(model: Model, values: Mapping[str, Any]) -> DataConfig:
    content = {"domain": model.domain.name, "recipe": str(model.config["recipe"]), "data": values}
    layer = flatten_settings(content, "settings of the model's data")
    section: DataConfig = build_config(model.domain.Config, RecipeConfig, [layer]).data
    return section


def _check_compatible(model: Model, name: str, data: Data) -> None:
    """Raise ConfigError if the data are of another kind than the samples of the model."""
    for key, own in _settings_in_spec(model).items():
        other = data.spec.get(key, own)
        if other != own:
            raise ConfigError(
                f"{name} has {key} {other}, the model {own}", "give data of the same kind as the model's"
            )
    own, other = (list(spec.get("classes") or []) for spec in (model.spec, data.spec))
    if model.sampler.conditional and own != other:
        raise ConfigError(
            f"the {len(own)} classes of the model are not the {len(other)} classes of {name}",
            "give data with the classes of the model",
        )


def _fingerprint_note(model: Model, data: Data) -> str:
    """A note if the model was trained on other data: rows of test may have been in its train."""
    values = model.config.get("training")
    trained_fingerprint = values.get("fingerprint") if isinstance(values, Mapping) else None
    if trained_fingerprint in (None, data.fingerprint):
        return ""
    return "the model was trained on other data or other splits"


DIGEST_ROWS = 1000
"""The number of rows of a split that :func:`digest_data` reads."""
MIN_CONTROL_ROWS = 300
"""The number of held-out rows below which rows of train are added to the controls."""
MAX_TRAIN_ROWS, MAX_TRAIN_COORDINATES = 10_000, 100_000_000


@dataclass(frozen=True)
class RealData:
    """The real rows of an evaluation, a function of the seed and the data only.

    Attributes:
        real: rows of the reference split.
        train: rows of train for metrics of memorization, as many as fit in memory.
        held_out: rows for the controls, disjoint from ``real``; None if there are no further rows.
        held_out_counts: the number of these rows from each split, in this order; those of train are last.
        n_train_disjoint: the number of leading rows of ``train`` that are not in ``held_out``.
    """

    real: Batch
    train: Batch
    held_out: Batch | None
    held_out_counts: Mapping[str, int]
    n_train_disjoint: int

    @property
    def n_not_trained_on(self) -> int:
        """The number of leading held-out rows on which no model was trained."""
        return sum(count for split, count in self.held_out_counts.items() if split != "train")


def select_real_data(data: Data, split: str, n: int, key: Key) -> RealData:
    """Select up to ``n`` rows of the split, as many rows of train as fit, and up to ``n`` held-out rows.

    The held-out rows are the other rows of the reference split and rows of valid; if these are fewer than
    300, also rows from the end of train, at most half of it.

    Raises:
        ConfigError: there is no such split, or it has no rows.
    """
    if not len(data.view(split)):
        raise ConfigError(f"the data have no rows in {split}", "give another --split, or more data")
    real = _read_split(data, split, key, 0, n)
    size, max_rows = len(data.view("train")), max_train_rows(real.data, n)
    held_out: list[Batch] = []
    counts: dict[str, int] = {}
    others = [name for name in dict.fromkeys((split, "valid")) if name != "train"]
    for name in (*others, "train"):
        rows, n_used = len(data.view(name)), n if name == split else 0
        n_free, wanted = rows - n_used, n - sum(counts.values())
        if name == "train":
            n_free, wanted = min(n_free, rows // 2), min(wanted, MIN_CONTROL_ROWS - sum(counts.values()))
        if (count := min(n_free, wanted)) > 0:
            batch = _read_split(data, name, key, rows - count if name == "train" else n_used, count)
            if real.condition is not None and batch.condition is None:
                continue  # metrics of labels cannot use rows without labels
            held_out.append(batch if real.condition is not None else Batch(batch.data))
            counts[name] = count
    n_train_disjoint = min(max_rows, size - counts.get("train", 0))
    train = _read_split(data, "train", key, 0, max_rows)
    return RealData(real, train, _joined(held_out), counts, n_train_disjoint)


def max_train_rows(rows: Tree, n: int) -> int:
    """The number of rows of train: at least ``n``, at most 10,000, limited by the memory of their values."""
    coordinates = sum(leaf[0].numel() for leaf in tree_leaves(rows))
    return max(n, min(MAX_TRAIN_ROWS, MAX_TRAIN_COORDINATES // max(1, coordinates)))


def _read_split(data: Data, split: str, key: Key, first: int, count: int) -> Batch:
    view = data.view(split)
    return read_rows(view, (key / split).permutation(len(view))[first : first + count], key / split / first)


def _joined(batches: Sequence[Batch]) -> Batch | None:
    if not batches:
        return None
    conditions = [batch.condition for batch in batches]
    return Batch(
        tree_cat([batch.data for batch in batches]), None if conditions[0] is None else tree_cat(conditions)
    )


def read_rows(view: View, indices: Tensor, key: Key) -> Batch:
    """Canonical rows on the CPU with their conditions."""
    batch = view.get_batch(indices, key.with_rows(RowRange.all(len(indices))))
    return Batch(to_cpu(batch.data), to_cpu(batch.condition))


def describe_shapes(tree: Tree) -> str:
    """Shape and dtype of a row for every leaf, such as ``1 x 64 float32``; equal for samples of one kind."""
    return ", ".join(
        f"{' x '.join(map(str, leaf.shape[1:])) or 1} {str(leaf.dtype).removeprefix('torch.')}"
        for leaf in tree_leaves(tree)
    )


def digest_data(data: Data) -> str:
    """A digest of the fingerprint and of some rows of train and valid with their conditions.

    The fingerprint identifies the files only: the rows that a plugin makes of them may change with its code.
    """
    parts: list[object] = [data.fingerprint]
    for split in ("train", "valid"):
        for view in data.views(split).values():
            key = evaluation_key("identity", split, len(view))
            rows = key.permutation(len(view))[:DIGEST_ROWS]
            batch = read_rows(view, rows, key) if len(rows) else None
            parts += [len(view), batch and digest_tensors([batch.data, batch.condition])]
    return digest_json(*parts)
