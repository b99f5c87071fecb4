"""The features of an evaluation, and its classifier: chosen, made ready, and shared by all measures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import gancore
from gancore.errors import ConfigError, GancoreError, PluginError, nearest
from gancore.evaluation.extraction import Maps
from gancore.evaluation.features import Features, Workbench
from gancore.evaluation.measure import Measure
from gancore.evaluation.rows import identity_of
from gancore.evaluation.store import code_of, digest_of
from gancore.plugins import plugins
from gancore.records import FeaturesEntry


@dataclass
class Preparing:
    """Makes each ready once, however often it is asked for. ``lacking``: why there is no classifier."""

    entries: Mapping[str, FeaturesEntry]
    bench: Workbench
    lacking: str = ""
    ready: dict[str, Features] = field(default_factory=dict)

    def choose(self, name: str | None) -> str:
        """The name of the features; by default the first. Raises ConfigError: no such features."""
        if name is not None and name not in self.entries:
            raise ConfigError(f"no features {name!r} for these data", nearest(name, self.entries))
        return name or next(iter(self.entries))

    def prepare(self, maps: Maps, name: str, measures: Iterable[Measure]) -> None:
        """Puts into ``maps`` what the measures need, or use.

        Raises:
            GancoreError: the features cannot be had, and says where to get what they need.
        """
        wants = frozenset[str]().union(*(measure.wants for measure in measures))
        if "features" in wants:
            self.look(maps, name)
        if "log_posteriors" in wants:
            self._classify(maps, name)

    def look(self, maps: Maps, name: str) -> None:
        """Features alone. Raises GancoreError: they cannot be had."""
        maps.features, maps.made_of["features"] = self._ready(name), self._made_of(name)

    def _ready(self, name: str) -> Features:
        if name not in self.ready:
            features = plugins().features(self.entries[name])
            features.prepare(self.bench)
            self.ready[name] = features
        return self.ready[name]

    def _made_of(self, name: str) -> str:
        """The code of the features, the versions of those who wrote it, and the data that they may be fitted
        to: a digest of their own may miss each.
        """
        entry = self.entries[name]
        plugin = plugins().origin(entry)
        written = [gancore.__version__, *((plugin.distribution, plugin.version) if plugin else ())]
        return digest_of(written, code_of(entry.factory), self._data)

    @cached_property
    def _data(self) -> str:
        return identity_of(self.bench.data)

    def _classify(self, maps: Maps, chosen: str) -> None:
        """The features themselves, where they classify, else the first that does and can be had."""
        able = [name for name, entry in self.entries.items() if entry.classifier]
        reasons = []
        for name in sorted(able, key=lambda name: name != chosen):
            try:
                maps.classifier = self._agreeing(self._ready(name))
                maps.made_of["log_posteriors"] = self._made_of(name)
                return
            except GancoreError as error:
                reasons.append(f"{name}: {error.message}")
        self.lacking = "; ".join(reasons) or "there is no classifier for these data"

    def _agreeing(self, features: Features) -> Features:
        """Raises PluginError where its classes are not those of the data, number by number."""
        own = list(self.bench.data.spec.get("classes") or [])
        if own and own != list(features.classes):
            raise PluginError(
                f"features {features.name!r} know other classes than the data's", "train others"
            )
        return features
