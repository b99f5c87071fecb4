"""What a training keeps of the configuration of the run or model from whose weights it starts."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gancore.config import DataConfig, RecipeConfig, RunConfig
from gancore.config_yaml import Setting, escape_line
from gancore.files import Json
from gancore.text import shorten


@dataclass(frozen=True)
class Origin:
    """A run or a model folder from whose weights a training starts, and ``where`` as its name in messages.
    ``model`` and ``data`` are sections of its configuration, ``spec`` are the fields of the spec of its data;
    empty if they are not known.
    """

    path: Path
    where: str
    domain: str
    recipe: str
    model: Mapping[str, Json]
    data: Mapping[str, Json] = field(default_factory=dict)
    spec: Mapping[str, Json] = field(default_factory=dict)

    def recipe_for(self, domain: str) -> str | None:
        """The recipe, for a training in ``domain`` that names none. A program's own (``module:Class``) is not
        taken from a folder.
        """
        return self.recipe if domain == self.domain and ":" not in self.recipe else None

    def network_settings(self, data: type[DataConfig], model: type[RecipeConfig]) -> list[Setting]:
        """The settings here on which the networks of this recipe depend: the ``shape_keys`` of ``data``, and
        of ``model`` what the recipe adds to the keys of rates, costs, batch and budget.
        """
        resolved = {key: self.spec.get(key, self.data.get(key)) for key in sorted(data.shape_keys)}
        given = {("data", key): value for key, value in resolved.items() if value is not None}
        own = model.model_fields.keys() - _training_keys()
        given |= {("model", key): value for key, value in self.model.items() if key in own}
        return [Setting(path, value, self.where) for path, value in given.items()]

    def describe(self, config: RunConfig) -> str:
        """One line: which settings of the network ``config`` has from here, and which differ. Those that both
        leave at the default of the recipe are not named; empty if there are no others.
        """
        if other := self._other_names(config):
            return f"no setting of {self.where} is kept: {' and '.join(other)}"
        kept, differing = [], []
        for setting in self.network_settings(type(config.data), type(config.model)):
            own, default = _value_and_default(config, setting)
            if own != setting.value:
                differing.append(f"{setting.key}={_short(own)}, there {_short(setting.value)}")
            elif own != default:
                kept.append(f"{setting.key}={_short(own)}")
        parts = [f"kept of {self.where}: {', '.join(kept)}"] if kept else []
        parts += [f"set otherwise than in {self.where}: {'; '.join(differing)}"] if differing else []
        return "; ".join(parts)

    def advise(self, config: RunConfig) -> str:
        """What to change in ``config`` if none of the weights fits."""
        if self._other_names(config):
            return f"use --domain {escape_line(self.domain)} --recipe {escape_line(self.recipe)}"
        settings = self.network_settings(type(config.data), type(config.model))
        differing = [each for each in settings if _value_and_default(config, each)[0] != each.value]
        if differing:
            return f"give {' '.join(f'--set {each.key}={_short(each.value)}' for each in differing)}"
        return "the data decide the sizes of these networks: train without --init-from"

    def _other_names(self, config: RunConfig) -> list[str]:
        names = (("domain", config.domain, self.domain), ("recipe", config.recipe, self.recipe))
        return [f"{key} {own}, there {_short(there)}" for key, own, there in names if own != there]


def _training_keys() -> Collection[str]:
    """The keys of rates, costs, batch and budget, which recipes share."""
    from gancore.games import AdversarialConfig

    return AdversarialConfig.model_fields.keys()


def _value_and_default(config: RunConfig, setting: Setting) -> tuple[Json, Json]:
    """The value of this key in ``config`` and its default, as JSON."""
    name, key = setting.path
    section = getattr(config, name)
    value = section.model_dump(mode="json", include={key})[key]
    default = type(section).model_construct().model_dump(mode="json", include={key}).get(key)
    return value, default


def _short(value: Json) -> str:
    return shorten(json.dumps(value, ensure_ascii=False), 60, keep="")
