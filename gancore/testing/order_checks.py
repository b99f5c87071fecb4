"""A check of measures: they find real data better than sets that are known to be bad.

Every measure is checked, slow ones and those with needs too. What a model or a judge would say of a set is
made up where it is needed, as a good one would say it: nothing is trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from gancore.domain import Batch, Data, Samples
from gancore.errors import ConfigError
from gancore.evaluation import anchors
from gancore.evaluation.evidence import Evidence, Sampled
from gancore.evaluation.features import Features
from gancore.evaluation.measure import Measure
from gancore.evaluation.principal import flat
from gancore.evaluation.rows import take, view_of
from gancore.plugins import plugins
from gancore.runtime.randomness import Key
from gancore.testing.bench import DomainBench
from gancore.testing.check import Breach, NotApplicable, quoted
from gancore.trees import Tree, cut_rows, leaves, map_tree

MEASURED = 64
"""Rows that a measure is shown, where there are so many."""
ROUNDING = 1e-5
"""Share by which values differ that are sums of the same numbers in another order."""
SURE = 0.9
"""Probability that the judge of the kit gives to a real row's own class."""
UNLIKELY = -1000.0
"""log p of a real row under a model that makes noise, in nats; under a good one it is -1 to -2."""
TAUGHT = 512
TOLD = 0.2
"""How much more often the nearest row must have a real row's label than that of noise."""
NOISE, REPEATED = "noise", "one sample, repeated,"


def measures_order(bench: DomainBench) -> None:
    """Every measure finds real data better than noise, or at least no worse, and than one sample repeated.

    What it is blind to by its own word is left out, and a measure without a better end. Of slow measures and
    those with needs too: the posteriors, the likelihoods and the judge that they are shown are right ones.
    """
    measures = {
        name: plugins().measure(entry) for name, entry in bench.domain.measures_of(bench.data.spec).items()
    }
    sets = KnownSets(bench)
    if not measures:
        raise NotApplicable("the domain has no measures for its tiny data")
    if not any([require_order(name, measure, sets) for name, measure in measures.items()]):
        raise NotApplicable(f"the tiny data have not what its measures need: {', '.join(measures)}")


@dataclass
class KnownSets:
    """Real rows of test beside noise and one sample repeated, with what may be known of each."""

    bench: DomainBench
    features: Features | None = None
    """Prepared; made ready where a measure first needs them."""

    @cached_property
    def tell_noise(self) -> bool:
        """Whether noise is worse than real rows, which it is not where their coordinates are independent."""
        return anchors.is_bad(self.bench.samples(MEASURED, "test").data)

    def evidence(self, measure: Measure) -> Mapping[str, Evidence] | None:
        """By kind, with what the measure declares that it takes; None where that is not to be had."""
        real, reference = (self.bench.samples(MEASURED, split) for split in ("test", "valid"))
        if not measure.wants:
            kinds = dict(_sets(real))
            return {kind: Evidence.of(s.data, reference.data, real.spec) for kind, s in kinds.items()}
        labelled = has_labels(real)
        if measure.needs & {"condition", "log_posteriors", "judge"} and not labelled:
            return None
        judge = teach if "judge" in measure.wants and labelled and self._teaches(real) else None
        if "judge" in measure.needs and judge is None:
            return None
        train = self._seen(self.bench.samples(TAUGHT, "train"), "train", measure)
        beside = self._seen(reference, "real data", measure)
        key = Key.of("kit", "evaluate")
        made = {}
        for kind, samples in _sets(real):
            shown = self._seen(samples, kind, measure)
            evidence = Evidence(shown, beside, train, real.spec, key, classes=real.spec.get("classes") or ())
            made[kind] = replace(evidence, judge=judge, log_prob=self._log_prob(kind, measure))
        return made

    def _seen(self, samples: Samples, kind: str, measure: Measure) -> Sampled:
        wants, condition = measure.wants, samples.condition
        features = self._embedded(samples) if "features" in wants else None
        said = good_posteriors(samples, kind) if "log_posteriors" in wants else None
        return Sampled(samples.data, condition if "condition" in wants else None, features, said)

    def _log_prob(self, kind: str, measure: Measure) -> Tensor | None:
        """A model that makes noise finds real rows unlikely."""
        if "log_prob" not in measure.wants:
            return None
        rows = len(self.bench.samples(MEASURED, "valid"))
        log_prob = -Key.of("kit", "log_prob").uniform(rows, low=1.0, high=2.0)
        return log_prob + (UNLIKELY if kind == NOISE else 0.0)

    def _teaches(self, real: Samples) -> bool:
        """Whether the nearest row tells labels: else a judge taught by real rows is none of a good one."""
        judge = teach(self.bench.data)
        right = [
            float((judge.log_posteriors(data).argmax(1) == real.condition).double().mean())
            for data in (real.data, noise(real.data))
        ]
        return right[0] > right[1] + TOLD

    def _embedded(self, samples: Samples) -> Tensor:
        from gancore.testing.evaluation_checks import default_features

        self.features = self.features or default_features(self.bench)
        return self.features.embed(samples.data, samples.spec)


def require_order(name: str, measure: Measure, sets: KnownSets) -> bool:
    """Whether it could be checked. Raises Breach where it does not put real data first."""
    shown = sets.evidence(measure)
    if shown is None:
        return False
    try:
        values = {kind: float(measure.compute(evidence)) for kind, evidence in shown.items()}
        again = float(measure.compute(shown["real data"]))
    except ConfigError:  # it wants more rows than tiny data have, or what is not installed
        return False
    except Exception as error:
        fix = f"mend it, or declare what else it needs: its needs are {sorted(measure.needs)}"
        raise Breach(f"{name} raises {quoted(error)}", fix) from error
    own, noisy, alone = values.values()
    if not math.isfinite(own):
        raise Breach(f"{name} of real data is {own}", "let it be finite for real data")
    if own != again:
        raise Breach(f"{name} of the same samples is another each time", "draw from evidence.key")
    noises = (noisy,) if sets.tell_noise else (noisy, own)
    if not any(orders(measure, own, each, alone) for each in noises):
        raise Breach(
            f"{name} does not order real above noise: real data {own:.4g}, noise {noisy:.4g}, one sample "
            f"repeated {alone:.4g}, and better is {measure.better!r}",
            "mend the measure, or the better and the blind that it declares",
        )
    return True


def orders(measure: Measure, real: float, noise: float, repeated: float) -> bool:
    """What cannot tell noise from real data shall tell one sample repeated, unless it is blind to that."""
    if measure.better is None or {"noise", "collapse"} <= measure.blind:
        return True
    if math.isclose(real, noise, rel_tol=ROUNDING):
        noise = real
    sign = -1 if measure.better == "higher" else 1
    below, alone = (math.isnan(bad) or sign * bad > sign * real for bad in (noise, repeated))
    return below or (
        (real == noise or "noise" in measure.blind) and alone and "collapse" not in measure.blind
    )


def _sets(real: Samples) -> Iterator[tuple[str, Samples]]:
    yield "real data", real
    yield NOISE, replace(real, data=noise(real.data))
    yield REPEATED, replace(real, data=repeated(real.data), condition=repeated(real.condition))


def noise(data: Tree) -> Tree:
    """As the evaluator's: each coordinate permuted over the rows, so that it keeps the values that it has."""
    return anchors.noise(data, Key.of("kit", "noise"))


def repeated(data: Tree) -> Tree:
    """The first row in the place of all."""
    return map_tree(lambda leaf: cut_rows(leaf, 0, 1).expand_as(leaf).clone(), data)


def has_labels(samples: Samples) -> bool:
    """Whether each row has one of the classes that the spec names."""
    labels = samples.condition
    one_each = isinstance(labels, Tensor) and labels.dim() == 1 and not labels.is_floating_point()
    return one_each and bool(samples.spec.get("classes"))


def good_posteriors(samples: Samples, kind: str = "real data") -> Tensor | None:
    """What a good judge says of a known set, (rows, classes); None where rows have no labels."""
    labels = samples.condition
    if not isinstance(labels, Tensor) or not has_labels(samples):
        return None
    return _posteriors(labels, len(samples.spec["classes"]), kind)


def _posteriors(labels: Tensor, classes: int, kind: str) -> Tensor:
    """What a good judge says, (rows, classes): of noise that it may be anything."""
    flat_out = torch.full((len(labels), classes), 1.0 / classes)
    if kind != NOISE:
        flat_out = torch.full_like(flat_out, (1 - SURE) / max(1, classes - 1))
        flat_out[torch.arange(len(labels)), labels.long().clamp(min=0)] = SURE if classes > 1 else 1.0
    tilt = Key.of("kit", "posteriors", kind).uniform(*flat_out.shape, low=0.99, high=1.01)
    return (flat_out * tilt).log().log_softmax(1)


def teach(data: Data) -> NearestRow:
    """A judge of labelled data, as :attr:`Evidence.judge` makes one."""
    train = view_of(data, "train")
    rows = torch.arange(min(len(train), TAUGHT))
    return NearestRow(take(train, rows, Key.of("kit", "judge")), len(data.spec["classes"]))


@dataclass(frozen=True)
class NearestRow:
    """A judge that needs no training: a row has the class of the nearest row that it was taught."""

    taught: Batch
    classes: int

    def embed(self, data: Tree) -> Tensor:
        return flat(data)

    def log_posteriors(self, data: Tree) -> Tensor:
        nearest = torch.cdist(flat(data), flat(self.taught.data)).argmin(1)
        labels = self.taught.condition[nearest]
        device = leaves(data)[0].device
        return _posteriors(labels, self.classes, "real data").to(device)
