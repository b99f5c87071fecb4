"""The real data that a model is held against: those that it was trained on, or another source read alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gancore.config import DataSection, RecipeSection
from gancore.configure import load_config, read_config, settings
from gancore.data.sources import resolve
from gancore.domain import Data, Source
from gancore.errors import ConfigError
from gancore.models.model import Model
from gancore.training.run import RunFolder


@dataclass(frozen=True)
class Reference:
    """``section``: the settings that the data were read by; ``note``: what the user should know of them."""

    source: Source
    section: DataSection
    data: Data
    note: str = ""


def open_reference(
    model: Model,
    run: RunFolder | None,
    against: str | None,
    data_root: Path | None,
    announce: Callable[[str], None],
) -> Reference:
    """Reads the data.

    Raises:
        ConfigError: the model does not say what it was trained on, or the source is of another kind.
        DataError: the data are not here, or cannot be read.
    """
    section = _section(model, run, against)
    rows = None if run is None else run.rows
    source = resolve(section.source, model.domain.sources, data_root, announce, rows)
    data = model.domain.open(replace(source, announce=announce), section)
    _agree(model, source.name, data)
    return Reference(source, section, data, _changed(model, data) if against is None else "")


def _section(model: Model, run: RunFolder | None, against: str | None) -> DataSection:
    """The data settings of the run, or else of the model; with ``against``, read as the model's spec says."""
    own = _own(model, run)
    if against is None:
        if own is None or "source" not in own:
            raise ConfigError("the model does not say where its data are", "give them with --against")
        return _checked(model, own)
    pinned = {key: value for key, value in _shared(model).items() if (own or {}).get(key) is None}
    return _checked(model, {**(own or {}), **pinned, "source": against})


def _own(model: Model, run: RunFolder | None) -> dict[str, Any] | None:
    if run is not None and run.config_file.exists():
        values: dict[str, Any] = read_config(run.config_file).data.model_dump(mode="json")
        return values
    kept = model.config.get("data")
    return dict(kept) if isinstance(kept, Mapping) else None


def _shared(model: Model) -> dict[str, Any]:
    """What the spec says of keys of the data section: a rate that was left to the source, say."""
    keys = model.domain.Config.model_fields.keys() - {"source"}
    return {key: model.spec.facts[key] for key in keys & model.spec.facts.keys()}


def _checked(model: Model, values: Mapping[str, Any]) -> DataSection:
    told = {"domain": model.domain.name, "recipe": str(model.config["recipe"]), "data": values}
    layer = settings(told, "settings of the model's data")
    section: DataSection = load_config(model.domain.Config, RecipeSection, [layer]).data
    return section


def _agree(model: Model, name: str, data: Data) -> None:
    """Raises ConfigError where the data are of another kind than the model's samples."""
    for key, own in _shared(model).items():
        other = data.spec.get(key, own)
        if other != own:
            raise ConfigError(
                f"{name} has {key} {other}, and the model {own}", "give data of the model's kind"
            )
    own, other = (list(spec.get("classes") or []) for spec in (model.spec, data.spec))
    if getattr(model.sampler, "conditional", False) and own != other:
        raise ConfigError(
            f"the model's {len(own)} classes are not the {len(other)} of {name}",
            "give data with its classes",
        )


def _changed(model: Model, data: Data) -> str:
    """A note where the data are not those that the model was trained on: test rows may have been in train."""
    told = model.config.get("training")
    known = told.get("fingerprint") if isinstance(told, Mapping) else None
    if known in (None, data.fingerprint):
        return ""
    return "the data, or their splits, are not those that the model was trained on"
