"""Checks of feature extractors."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from gancore.data.dataset import Data
from gancore.entries import FeatureExtractorEntry
from gancore.errors import ConfigError
from gancore.evaluation.catalogue import PRINCIPAL_COMPONENTS
from gancore.evaluation.features import FeatureContext, FeatureExtractor
from gancore.models.model import Model, load_model
from gancore.plugins import plugins
from gancore.samples import Samples
from gancore.testing.check import CheckFailure, SkipCheck, global_seed, relative_difference
from gancore.testing.fixtures import DomainFixture, RecipeFixture
from gancore.testing.training_checks import uninterrupted
from gancore.trees import tree_slice

ROWS = 64
PARTS = (0, 1, 8, 16)
"""Bounds of the parts of a batch that are embedded separately and compared with the whole."""
MAP_TOLERANCE = 1e-3


def embeds_rows_independently(fixture: DomainFixture) -> None:
    """Features are finite, reproducible and depend on their own row only; classes are those of the data."""
    found = dict(ready_features(fixture))
    if not found:
        raise SkipCheck("the domain has no feature extractor for its tiny data")
    real = fixture.samples(ROWS, "test")
    for name, features in found.items():
        if not re.fullmatch("[0-9a-f]{64}", str(features.digest)):
            raise CheckFailure(f"the digest of {name} is {features.digest!r}", "give a sha256 in hexadecimal")
        _check_map(name, features.embed, real)
        if features.classes:
            _check_posteriors(name, features, real)
        with global_seed(1):
            again = _prepared(fixture, fixture.domain.feature_extractors_for(fixture.data.spec)[name])
        if again.digest != features.digest:
            raise CheckFailure(
                f"{name} has another digest when it is prepared again",
                "compute it from data and settings only",
            )


def ready_features(fixture: DomainFixture) -> Iterator[tuple[str, FeatureExtractor]]:
    """Name and extractor of those of the domain that can be prepared here.

    Raises:
        CheckFailure: the first one, which is the default, cannot be prepared.
    """
    for number, (name, entry) in enumerate(fixture.domain.feature_extractors_for(fixture.data.spec).items()):
        try:
            features = _shared(fixture, entry)
        except ConfigError as error:
            if number == 0:
                raise CheckFailure(
                    f"the default feature extractor {name!r} cannot be prepared: {error.message}",
                    "put an extractor that works for such data first in feature_extractors_for",
                ) from error
            continue
        if entry.classifier != bool(features.classes):
            raise CheckFailure(
                f"the entry of {name} has classifier={entry.classifier}, the extractor has the classes "
                f"{list(features.classes)}",
                "make them agree",
            )
        yield name, features


def default_features(fixture: DomainFixture) -> FeatureExtractor:
    """The prepared default extractor: the first one of the domain, otherwise the extractor of the core."""
    entries = fixture.domain.feature_extractors_for(fixture.data.spec).values()
    return _shared(fixture, next(iter(entries), PRINCIPAL_COMPONENTS))


def _shared(fixture: DomainFixture, entry: FeatureExtractorEntry) -> FeatureExtractor:
    """The extractor, prepared once for each fixture: preparing may train a classifier."""
    name = f"features/{entry.name}"
    if name not in fixture.shared:
        fixture.shared[name] = _prepared(fixture, entry)
    features: FeatureExtractor = fixture.shared[name]
    return features


def _prepared(fixture: DomainFixture, entry: FeatureExtractorEntry) -> FeatureExtractor:
    def judge(recipe: str, changes: Mapping[str, Any], data: Data | None = None) -> Model:
        """Train a classifier for a few steps: no check depends on its accuracy."""
        record, made = plugins().load_recipe(fixture.domain, recipe)
        home = fixture if data is None else DomainFixture(fixture.domain, data)
        trained = uninterrupted(RecipeFixture(home, record, made).changed(**changes))
        trained.session.export_model(trained.state)
        return load_model(trained.session.run.model, "cpu")

    features = plugins().load(entry, FeatureExtractor)
    features.prepare(FeatureContext(fixture.data, fixture.folder, judge))
    return features


def _check_map(name: str, call: Any, real: Samples) -> Tensor:
    """Return the features of all rows, (rows, d).

    Raise CheckFailure if a row's features depend on other rows.
    """
    whole: Tensor = call(real.data, real.spec)
    if whole.dim() != 2 or len(whole) != len(real) or not whole.isfinite().all():
        held = f"shape {tuple(whole.shape)}" if whole.isfinite().all() else "values that are not finite"
        raise CheckFailure(
            f"{name} gives {held} for {len(real)} rows", "return finite numbers of shape (rows, d)"
        )
    with global_seed(1):
        again = call(real.data, real.spec)
    if not torch.equal(whole, again):
        raise CheckFailure(
            f"{name} of the same samples differs between calls", "draw from a fixed key, or not at all"
        )
    ends = itertools.pairwise(PARTS)
    parts = [call(tree_slice(real.data, *end), real.spec) for end in ends if end[0] < len(real)]
    away = relative_difference(whole[: PARTS[-1]], torch.cat(parts))
    if away > MAP_TOLERANCE:
        raise CheckFailure(
            f"{name} of a row changes with the other rows (relative change {away:.2g})",
            "remove means over rows and batch normalisation in training mode",
        )
    return whole


def _check_posteriors(name: str, features: FeatureExtractor, real: Samples) -> None:
    said = _check_map(f"{name}.log_posteriors", features.log_posteriors, real)
    off = float((said.double().exp().sum(1) - 1).abs().max())
    if said.shape[1] != len(features.classes) or off > MAP_TOLERANCE:
        count = f"{said.shape[1]} posteriors for {len(features.classes)} classes"
        raise CheckFailure(
            f"{name} gives {count}, and their sum differs from one by {off:.2g}",
            "return log_softmax over the classes",
        )
    own = list(real.spec.get("classes") or [])
    if own and own != list(features.classes):
        raise CheckFailure(f"{name} has other classes than the data, or another order", "use spec['classes']")
