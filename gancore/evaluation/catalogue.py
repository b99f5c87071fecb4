"""Which measures and features there are for some data: the core's, the domain's, other plugins'.

Light records, as everywhere: a measure is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from gancore.errors import ConfigError, PluginError, nearest
from gancore.plugins import plugins
from gancore.records import FeaturesEntry, MeasureEntry

if TYPE_CHECKING:
    from gancore.domain import Domain, Spec
    from gancore.evaluation.measure import Measure

ALL = "all"
"""In place of names: every measure there is, those outside the default set included."""

Kind = TypeVar("Kind", MeasureEntry, FeaturesEntry)


def _core(name: str, home: str, summary: str) -> MeasureEntry:
    return MeasureEntry(name, f"gancore.evaluation.measures.{home}", summary)


MEASURES: tuple[MeasureEntry, ...] = (
    _core("frechet", "frechet:distance", "Frechet distance of Gaussians with the moments of the features"),
    _core("frechet_infinity", "frechet:infinity", "the same at infinitely many samples"),
    _core("kid", "kernel:kid", "squared MMD with a cubic kernel, without bias"),
    _core(
        "mmd_gaussian", "kernel:mmd_gaussian", "squared MMD with a Gaussian kernel as wide as the reference"
    ),
    _core("precision", "neighbours:precision_measure", "share of samples within a real row's k-NN ball"),
    _core("recall", "neighbours:recall_measure", "share of real rows within a sample's k-NN ball"),
    _core("density", "neighbours:density_measure", "real k-NN balls about a sample, over k"),
    _core("coverage", "neighbours:coverage_measure", "share of real k-NN balls that hold a sample"),
    _core("prd_recall", "prd:prd_recall", "F_8 of the precision-recall curve of distributions"),
    _core("prd_precision", "prd:prd_precision", "F_1/8 of the same curve"),
    _core("sliced_wasserstein", "sliced:sliced", "Wasserstein-2 distance over random directions"),
    _core("c2st_neighbour", "two_sample:leave_one_out", "accuracy of the nearest neighbour: sample or real?"),
    _core("c2st_trained", "two_sample:trained", "accuracy of a small trained network: sample or real?"),
    _core("jensen_shannon", "informed:jensen_shannon", "how far apart the laws are at least, 0 to 1"),
    _core("peeling", "peeling:peeling", "how separable samples are along directions found one after another"),
    _core("ndb", "bins:ndb", "share of bins of the data with too many or too few samples"),
    _core("copies", "copies:copies", "share of samples that are copies of train rows"),
    _core("authenticity", "memory:authenticity", "share of samples farther from train than train's own rows"),
    _core("nearest_train", "memory:nearest_train", "distance to train over that of unseen rows"),
    _core("birthday", "birthday:birthday", "size of the support, from how many samples coincide"),
    _core(
        "inception_score", "scores:inception_score", "exp of the information that a sample has of its class"
    ),
    _core(
        "modified_inception_score", "scores:modified_inception_score", "exp of the mean KL between samples"
    ),
    _core("am_score", "scores:am", "shares of the classes beside train's, plus the classifier's doubt"),
    _core("posterior_entropy", "scores:posterior_entropy", "the classifier's doubt"),
    _core("class_coverage", "scores:class_coverage", "classes with a fair share of the samples"),
    _core(
        "scarcest_class", "class_shares:scarcest_class", "how much there is of the class that is lacking most"
    ),
    _core("label_accuracy", "scores:label_accuracy", "share of samples of the class that was asked for"),
    _core(
        "classification_accuracy",
        "classification:classification_accuracy",
        "accuracy on real rows of a judge that samples alone have taught",
    ),
    _core("nll", "likelihood:nll", "-log p of the reference rows under the model"),
)
"""The core's, in the order of the table."""

PRINCIPAL = FeaturesEntry(
    "principal", "gancore.evaluation.principal:Principal", "standardised principal components of train"
)
COORDINATES = FeaturesEntry(
    "coordinates", "gancore.evaluation.coordinates:Coordinates", "the values of a sample, as they are"
)
"""Features of any data at all."""


def measures_for(domain: Domain, spec: Spec, announce: Callable[[str], None]) -> dict[str, MeasureEntry]:
    """By name: the core's, then the domain's own, then those of plugins for it. The first keeps a name."""
    hooked = _hooked("gancore_measures", MeasureEntry, domain)
    return _by_name([*MEASURES, *domain.measures_of(spec).values(), *hooked], "measure", announce)


def features_for(domain: Domain, spec: Spec, announce: Callable[[str], None]) -> dict[str, FeaturesEntry]:
    """By name, the default first: the domain's own, then the core's, then those of plugins for it."""
    hooked = _hooked("gancore_features", FeaturesEntry, domain)
    return _by_name(
        [*domain.features_of(spec).values(), PRINCIPAL, COORDINATES, *hooked], "features", announce
    )


def _hooked(hook: str, kind: type[Kind], domain: Domain) -> list[Kind]:
    entries = [entry for entry in plugins().records(hook) if isinstance(entry, kind)]
    return [entry for entry in entries if not entry.domains or domain.name in entry.domains]


def _by_name(entries: Sequence[Kind], what: str, announce: Callable[[str], None]) -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for entry in entries:
        holder = found.setdefault(entry.name, entry)
        if holder is not entry:
            announce(f"{what} {entry.name!r} of {entry.factory} is left out: {holder.factory} has its name")
    return found


def resolve_measures(
    known: Mapping[str, MeasureEntry], names: Sequence[str] | None, announce: Callable[[str], None]
) -> dict[str, Measure]:
    """The measures of these names, in the order asked for; None: those of the default set.

    One that cannot be imported is left out, and told of, where it was not asked for by its name.

    Raises:
        ConfigError: no such measure; names the nearest.
        PluginError: one that was asked for cannot be imported.
    """
    if names is not None and not names:
        raise ConfigError("no measure is named", nearest("", known))
    if names is not None and list(names) != [ALL]:
        for name in names:
            if name not in known:
                raise ConfigError(f"no measure {name!r} for these data", nearest(name, known))
        return {name: plugins().measure(known[name]) for name in names}
    found = {}
    for name, entry in known.items():
        try:
            found[name] = plugins().measure(entry)
        except PluginError as error:
            announce(f"measure {name!r} is left out: {error}")
    return {name: measure for name, measure in found.items() if measure.quick or names is not None}
