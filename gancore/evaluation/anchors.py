"""Sets whose quality is known, which every measure is shown: one as good as can be, and bad ones.

A measure that does not order them is not to be trusted there. Their values are the same for every model, and
are kept.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from gancore.domain import Batch, Spec
from gancore.errors import PluginError
from gancore.evaluation.distances import nearest
from gancore.evaluation.evidence import Evidence, Sampled
from gancore.evaluation.extraction import Maps, spec_digest
from gancore.evaluation.measure import Measure
from gancore.evaluation.measures.two_sample import FEWEST, leave_one_out_details
from gancore.evaluation.principal import flat
from gancore.evaluation.store import code_of, content_of, digest_of
from gancore.evaluation.trust import Anchored, bounds_of, value_of
from gancore.records import MeasureEntry
from gancore.runtime.randomness import Key
from gancore.trees import Tree, map_tree

VERSION = 4
REPEATED = 0.05
"""Share of the held-out rows that the collapse consists of."""
COLUMNS = 512
"""Coordinates that are permuted at once."""
FEW_COORDINATES = 64
LIKELIHOOD_ROWS = 256
"""Rows of an anchor that the model gives the likelihood of: that is another for each model, and not kept."""


def noise(samples: Tree, key: Key) -> Tree:
    """Each coordinate permuted over the rows, independently of the others: only its marginal is kept."""
    numbers = iter(range(1 << 30))

    def permuted(leaf: Tensor) -> Tensor:
        columns, number = leaf.reshape(len(leaf), -1), next(numbers)
        parts = []
        for start in range(0, columns.shape[1], COLUMNS):
            part = columns[:, start : start + COLUMNS]
            order = (key / number / start).uniform(*part.shape).argsort(dim=0)
            parts.append(part.gather(0, order))
        return torch.cat(parts, 1).reshape(leaf.shape)

    return map_tree(permuted, samples)


def is_bad(rows: Tree) -> bool:
    """Whether noise of these rows is no longer like them: at 1 % their nearest neighbours tell them apart.

    Where all coordinates are independent, or there is but one, permuting them changes nothing. The test is
    made of halves, in the coordinates themselves; where there are many of them, or few rows, it is not made.
    """
    x, half = flat(rows), len(flat(rows)) // 2
    if x.shape[1] == 1:
        return False
    if x.shape[1] > FEW_COORDINATES or half < FEWEST:
        return True
    x = (x - x.mean(0)) / x.std(0).clamp_min(1e-12)
    shuffled = noise(x[:half], Key.of("evaluate", "noise"))
    sampled = [Sampled(part, features=part) for part in (shuffled, x[half:])]
    shown = Evidence(sampled[0], sampled[1], sampled[1], Spec({}))
    return bool(leave_one_out_details(shown)["p value"] < 0.01)


def repeated(n: int) -> Tensor:
    """Row numbers of the collapse: the first twentieth (at least one) over and over, ``n`` in all."""
    return torch.arange(n) % max(1, math.ceil(REPEATED * n))


def scaled(features: Tensor, scale: float) -> Tensor:
    """About their mean, (n, d). At a half there are no tails, and in many dimensions all are nearer to real
    rows than these are to each other; at twice the scale they are far from all, and their balls hold all.
    """
    mean = features.double().mean(0)
    return (mean + scale * (features.double() - mean)).float()


def points(features: Tensor) -> Tensor:
    """Nine tenths of the way to the nearest of those rows (n, d) that :func:`repeated` chooses."""
    few = features[: int(repeated(len(features)).max()) + 1].double()
    place = few[nearest(features, few, 1)[1].flatten()]
    return (place + (features.double() - place) / 10).float()


@dataclass
class Anchors:
    """``evidence`` is that of the model; of it the real sets alone are looked at, and of train only what is
    not among the held-out rows.

    ``unseen``: how many of the held-out rows, from the first, no model was trained on; None: all. What a
    trained classifier says is measured on these alone. ``log_prob``: nats per row under the model; None where
    it gives none.
    """

    held_out: Batch
    evidence: Evidence
    maps: Maps
    log_prob: Callable[[Batch], Tensor | None] | None = None
    unseen: int | None = None

    def rows_for(self, measure: Measure) -> int:
        """How many rows its anchors have; 0: there are none that it may be shown."""
        maps = self.maps.by_need
        learned = any(need in maps and maps[need].learned for need in measure.wants)
        if self.unseen is not None and (learned or "judge" in measure.needs):
            return self.unseen
        return len(self.held_out)

    def sets_for(self, measure: Measure) -> Mapping[str, Sampled]:
        """What a measure is shown, by name; where it sees features alone, of features too."""
        sets = self._sets_of(self.rows_for(measure))
        features = sets["real"].features
        if features is None or "features" not in measure.needs or measure.needs - {"features", "train"}:
            return sets
        made = {
            "shrunk": scaled(features, 0.5),
            "widened": scaled(features, 2.0),
            "points": points(features),
        }
        return {**sets, **{name: replace(sets["real"], features=those) for name, those in made.items()}}

    def _sets_of(self, count: int) -> Mapping[str, Sampled]:
        if count not in self._sets:
            rows = self.held_out.rows(0, count)
            real = self.maps.see(rows, keep=True)
            self._sets[count] = {"real": real}
            if self.noise_is_bad:
                shuffled = noise(rows.data, Key.of("evaluate", "noise"))
                with contextlib.suppress(PluginError):  # of noise features need not be finite
                    self._sets[count]["noise"] = self.maps.see(Batch(shuffled, rows.condition), keep=True)
            self._sets[count]["collapse"] = real.rows(repeated(count))
        return self._sets[count]

    @cached_property
    def _sets(self) -> dict[int, dict[str, Sampled]]:
        """By number of rows."""
        return {}

    @cached_property
    def noise_is_bad(self) -> bool:
        key = digest_of("noise", VERSION, content_of(self.held_out.data))
        kept = self.maps.store.json(key)
        if kept is None:
            kept = is_bad(self.held_out.data)
            self.maps.store.put_json(key, kept)
        return bool(kept)

    def measured(self, entry: MeasureEntry, measure: Measure) -> Anchored:
        """What the measure says of each."""
        evidence = replace(self.evidence, key=self.evidence.key / entry.name)
        if "log_prob" in measure.needs:
            return self._likelihoods(evidence, measure)
        if not self.rows_for(measure):
            return Anchored({})
        store, key = self.maps.store, self._key(entry, measure)
        kept = store.json(key)
        if kept is not None:
            return Anchored.from_json(kept)
        seen = {name: replace(evidence, fake=rows) for name, rows in self.sets_for(measure).items()}
        values = {name: value_of(measure, shown) for name, shown in seen.items()}
        found = Anchored(values, bounds_of(measure, seen["real"]))
        if found.is_whole:
            store.put_json(key, found.to_json())
        return found

    def _likelihoods(self, evidence: Evidence, measure: Measure) -> Anchored:
        """Of a model's likelihood: that of anchors in the place of the reference."""
        seen = {}
        for name, rows in self._sets_of(len(self.held_out)).items():
            if self.log_prob is not None and name not in measure.blind:
                few = rows.rows(torch.arange(min(len(rows), LIKELIHOOD_ROWS)))
                log_prob = self.log_prob(Batch(few.samples, few.condition))
                seen[name] = replace(evidence, real=few, log_prob=log_prob)
        values = {name: value_of(measure, shown) for name, shown in seen.items()}
        return Anchored(values, bounds_of(measure, seen["real"]) if "real" in seen else None)

    def _key(self, entry: MeasureEntry, measure: Measure) -> str:
        """Everything that the values depend on."""
        said = {need: self.maps.identity(need) for need in self.maps.by_need}
        return digest_of(
            "anchors",
            VERSION,
            [entry.name, entry.factory, code_of(entry.factory), list(self.evidence.key.path)],
            [self._held_out, self.rows_for(measure)],
            [self._real, *([self._train, self.evidence.train_size] if "train" in measure.wants else [])],
            {need: said[need] for need in sorted(measure.wants & said.keys())},
            spec_digest(self.evidence.spec),
        )

    @cached_property
    def _held_out(self) -> str:
        return content_of([self.held_out.data, self.held_out.condition])

    @cached_property
    def _real(self) -> str:
        return content_of([self.evidence.real.samples, self.evidence.real.condition])

    @cached_property
    def _train(self) -> str:
        return content_of([self.evidence.train.samples, self.evidence.train.condition])
