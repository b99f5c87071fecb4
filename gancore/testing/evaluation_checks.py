"""Checks of what an evaluation asks of a domain: its features, and its measures with their intervals."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gancore.domain import Data, Samples
from gancore.errors import ConfigError
from gancore.evaluation.catalogue import MEASURES, PRINCIPAL
from gancore.evaluation.evidence import Evidence, Sampled
from gancore.evaluation.features import Features, Workbench
from gancore.evaluation.measure import Measure
from gancore.evaluation.reading import encode
from gancore.models.model import Model, open_model
from gancore.plugins import plugins
from gancore.records import FeaturesEntry
from gancore.runtime.randomness import Key
from gancore.testing.bench import DomainBench, RecipeBench
from gancore.testing.check import Breach, NotApplicable, quoted
from gancore.testing.compare import apart, global_generators
from gancore.testing.order_checks import good_posteriors, has_labels, teach
from gancore.testing.training_checks import undisturbed
from gancore.trees import cut_rows

ROWS = 64
PARTS = (0, 1, 8, 16)
"""Where rows are cut to be shown apart."""
ROUNDING = 1e-3
PARTS_OF_A_SET = frozenset({"features", "log_posteriors", "condition"})


def maps_rows_apart(bench: DomainBench) -> None:
    """Features are finite, the same again, and hang on no other row; their classes are those of the data."""
    found = dict(_ready(bench))
    if not found:
        raise NotApplicable("the domain has no features for its tiny data")
    real = bench.samples(ROWS, "test")
    for name, features in found.items():
        if not re.fullmatch("[0-9a-f]{64}", str(features.digest)):
            raise Breach(f"the digest of {name} is {features.digest!r}", "give a sha256 in hexadecimal")
        _check_map(name, features.embed, real)
        if features.classes:
            _check_posteriors(name, features, real)
        with global_generators(1):
            again = _prepared(bench, bench.domain.features_of(bench.data.spec)[name])
        if again.digest != features.digest:
            raise Breach(f"prepared twice, {name} has two digests", "let it hang on data and settings alone")


def _ready(bench: DomainBench) -> Iterator[tuple[str, Features]]:
    """Those of the domain that can be had here; the default must be."""
    for number, (name, entry) in enumerate(bench.domain.features_of(bench.data.spec).items()):
        try:
            features = _shared(bench, entry)
        except ConfigError as error:
            if number == 0:
                raise Breach(
                    f"the default features {name!r} cannot be had: {error.message}",
                    "let features_of begin with what can be had for such data",
                ) from error
            continue
        if entry.classifier != bool(features.classes):
            raise Breach(
                f"the record of {name} says classifier={entry.classifier}, its classes are "
                f"{list(features.classes)}",
                "let both say the same",
            )
        yield name, features


def default_features(bench: DomainBench) -> Features:
    """Those of the domain that stand first, or else the core's, made ready."""
    entries = bench.domain.features_of(bench.data.spec).values()
    return _shared(bench, next(iter(entries), PRINCIPAL))


def _shared(bench: DomainBench, entry: FeaturesEntry) -> Features:
    """Made ready once for each bench: a judge may be trained for them."""
    name = f"features/{entry.name}"
    if name not in bench.made:
        bench.made[name] = _prepared(bench, entry)
    features: Features = bench.made[name]
    return features


def _prepared(bench: DomainBench, entry: FeaturesEntry) -> Features:
    def judge(recipe: str, changes: Mapping[str, Any], data: Data | None = None) -> Model:
        """Trained for a few rounds: nothing here hangs on how well it judges."""
        record, made = plugins().recipe(bench.domain, recipe)
        home = bench if data is None else DomainBench(bench.domain, data)
        trained = undisturbed(RecipeBench(home, record, made).changed(**changes))
        trained.session.publish(trained.state)
        return open_model(trained.session.run.model, "cpu")

    features = plugins().features(entry)
    features.prepare(Workbench(bench.data, bench.folder, judge))
    return features


def _check_map(name: str, call: Any, real: Samples) -> Tensor:
    """Raises Breach where it is no map of rows; else what it gives for all of them."""
    whole: Tensor = call(real.data, real.spec)
    if whole.dim() != 2 or len(whole) != len(real) or not whole.isfinite().all():
        held = f"shape {tuple(whole.shape)}" if whole.isfinite().all() else "values that are not finite"
        raise Breach(f"{name} gives {held} for {len(real)} rows", "give (rows, numbers), finite")
    with global_generators(1):
        again = call(real.data, real.spec)
    if not torch.equal(whole, again):
        raise Breach(f"{name} of the same samples is another each time", "draw nothing, or from a fixed key")
    ends = itertools.pairwise(PARTS)
    parts = [call(cut_rows(real.data, *end), real.spec) for end in ends if end[0] < len(real)]
    away = apart(whole[: PARTS[-1]], torch.cat(parts))
    if away > ROUNDING:
        raise Breach(
            f"{name} of a row hangs on the rows beside it (by {away:.2g} of its size)",
            "leave out means over the rows, and batch normalisation in training mode",
        )
    return whole


def _check_posteriors(name: str, features: Features, real: Samples) -> None:
    said = _check_map(f"{name}.log_posteriors", features.log_posteriors, real)
    off = float((said.double().exp().sum(1) - 1).abs().max())
    if said.shape[1] != len(features.classes) or off > ROUNDING:
        count = f"{said.shape[1]} posteriors for {len(features.classes)} classes"
        raise Breach(
            f"{name} gives {count}, whose sum is off one by {off:.2g}",
            "give log_softmax over the classes",
        )
    own = list(real.spec.get("classes") or [])
    if own and own != list(features.classes):
        raise Breach(f"{name} has other classes than the data, or in another order", "take those of the spec")


def bounds_its_measures(bench: DomainBench) -> None:
    """A measure looks at what it declares alone, gives the same again, and its interval holds its value."""
    measures = {name: plugins().measure(entry) for name, entry in _entries(bench).items()}
    quick = {name: measure for name, measure in measures.items() if measure.quick}
    if not quick:
        raise NotApplicable("the domain has no measures for its tiny data")
    shown, unseen = real_evidence(bench, quick.values()), []
    for name, measure in quick.items():
        try:
            check_value(name, measure, shown)
        except NotApplicable as reason:
            unseen.append(str(reason))
    if len(unseen) == len(quick):
        raise NotApplicable("; ".join(unseen))


def _entries(bench: DomainBench) -> Mapping[str, Any]:
    entries = bench.domain.measures_of(bench.data.spec)
    for name in entries.keys() & {entry.name for entry in MEASURES}:
        raise Breach(f"the measure {name} has the name of one of the core's", "give it another")
    return entries


def real_evidence(bench: DomainBench, measures: Iterable[Measure]) -> Evidence:
    """Real rows of test as if they had been generated, with all that these measures want to know of them.

    Where rows have labels, and no features know them, what a judge says is made up.
    """
    wants = frozenset[str]().union(*(measure.wants for measure in measures))
    known = _ready(bench) if "log_posteriors" in wants else ()
    judge = next((features for _, features in known if features.classes), None)

    def see(split: str) -> Sampled:
        rows = bench.samples(ROWS, split)
        embedded = said = None
        if "features" in wants:
            embedded = default_features(bench).embed(rows.data, rows.spec)
        if "log_posteriors" in wants:
            said = judge.log_posteriors(rows.data, rows.spec) if judge else good_posteriors(rows)
        return Sampled(rows.data, rows.condition, embedded, said)

    fake, real, train = map(see, ("test", "valid", "train"))
    made = Evidence(fake, real, train, bench.data.spec, Key.of("kit", "evaluate"))
    return replace(
        made,
        log_prob=-Key.of("kit", "log_prob").uniform(len(real), low=1.0, high=2.0),
        classes=judge.classes if judge else bench.data.spec.get("classes") or (),
        judge=teach if has_labels(bench.samples(ROWS, "train")) else None,
    )


def _needed(name: str, shown: Evidence, measure: Measure) -> Evidence:
    """What it declares that it needs or uses, and nothing else. Raises NotApplicable: it is not to be had."""
    wants: frozenset[str] = measure.wants
    held = {**{part: getattr(shown.fake, part) for part in PARTS_OF_A_SET}, "judge": shown.judge}
    if missing := sorted(need for need in measure.needs if need in held and held[need] is None):
        raise NotApplicable(f"the tiny data have not what {name} needs: {', '.join(missing)}")

    def cut(sampled: Sampled) -> Sampled:
        kept = {name: getattr(sampled, name) if name in wants else None for name in PARTS_OF_A_SET}
        return replace(sampled, **kept)

    return replace(
        shown,
        fake=cut(shown.fake),
        real=cut(shown.real),
        train=cut(shown.train) if "train" in wants else Sampled(shown.train.samples, shown.train.condition),
        log_prob=shown.log_prob if "log_prob" in wants else None,
        judge=shown.judge if "judge" in wants else None,
    )


def check_value(name: str, measure: Measure, shown: Evidence) -> None:
    """Looks at one measure.

    Raises:
        Breach: it looks at more than it declares, draws by chance, or bounds another value.
        NotApplicable: it has no value here: what it needs is missing, or it wants more rows.
    """
    evidence = _needed(name, shown, measure)
    try:
        value = float(measure.compute(evidence))
    except ConfigError as error:
        raise NotApplicable(f"{name} has no value for the tiny data: {error.message}") from error
    except Exception as error:
        fix = f"mend it, or declare what else it needs: its needs are {sorted(measure.needs)}"
        raise Breach(f"{name} of real data raises {quoted(error)}", fix) from error
    with global_generators(1):
        again = float(measure.compute(evidence))
    if value != again and not (math.isnan(value) and math.isnan(again)):
        raise Breach(f"{name} of the same samples is another each time", "draw from evidence.key")
    if measure.interval is not None:
        _check_interval(name, measure, evidence, value)
    if measure.details is not None:
        try:
            encode(measure.details(evidence))
        except TypeError as error:
            raise Breach(
                f"the details of {name} are no JSON: {error}", "give numbers, texts, lists"
            ) from error


def _check_interval(name: str, measure: Measure, evidence: Evidence, value: float) -> None:
    assert measure.interval is not None
    try:
        low, high, method = measure.interval(evidence)
    except ConfigError:  # too few rows
        return
    if not low <= value <= high:
        raise Breach(
            f"{name} is {value:.4g}, outside its interval {low:.4g} to {high:.4g}", "bound the same evidence"
        )
    if not method.strip():
        raise Breach(f"the interval of {name} does not say how it was made", "name the method")
