"""The entries that plugins register. They name a class as a string, which is imported at first use.

Imports no torch: listing plugins is fast.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

CONTRACT_VERSION = 2
"""The version of the contract between gancore and its plugins, and of checkpoints and model folders."""

REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
"""The form ``package.module:Object``."""


@dataclass(frozen=True)
class Entry:
    """A name, what it stands for (``target``, mostly ``"package.module:Object"``), and one line about it."""

    name: str
    target: str
    summary: str
    contract: int = field(default=CONTRACT_VERSION, kw_only=True)


@dataclass(frozen=True)
class DomainEntry(Entry):
    """A domain; ``target`` names a subclass of :class:`gancore.Domain`."""


@dataclass(frozen=True)
class RecipeEntry(Entry):
    """A recipe; ``target`` names a subclass of :class:`gancore.Recipe`.

    ``domain`` is its domain (empty in ``Domain.recipes``). ``capabilities`` declares what its sampler can do;
    it is checked at the start of a run.
    """

    domain: str = ""
    capabilities: frozenset[str] = frozenset()


@dataclass(frozen=True)
class LossEntry(Entry):
    """An adversarial loss; ``target`` names a :class:`gancore.games.losses.AdversarialLoss`."""


@dataclass(frozen=True)
class PenaltyEntry(Entry):
    """A gradient penalty; ``target`` names a function of (weight, every) that returns a PenaltyTerm."""


@dataclass(frozen=True)
class OptimizerEntry(Entry):
    """An optimizer; ``target`` names a ``torch.optim.Optimizer``, or a :class:`gancore.games.Optimizer`."""


@dataclass(frozen=True)
class GameEntry(Entry):
    """A game of two players; ``target`` names a subclass of :class:`gancore.games.AdversarialGame`."""


@dataclass(frozen=True)
class DynamicsEntry(Entry):
    """A dynamics; ``target`` names a :class:`gancore.games.dynamics.Dynamics`."""


@dataclass(frozen=True)
class MetricEntry(Entry):
    """A metric; ``factory`` names a :class:`gancore.Metric`. Empty ``domains`` means every domain."""

    domains: tuple[str, ...] = ()


@dataclass(frozen=True)
class FeatureExtractorEntry(Entry):
    """A fixed map from samples to vectors; ``target`` names a subclass of :class:`gancore.FeatureExtractor`.

    Empty ``domains`` means every domain. ``classifier`` is True if it also gives posteriors of labels.
    """

    domains: tuple[str, ...] = ()
    classifier: bool = False


@dataclass(frozen=True)
class PretrainedModelEntry(Entry):
    """A trained model; ``target`` is the absolute path of a model folder, or the URL of an archive of one.

    ``sha256`` is that of the archive, 64 hexadecimal characters; it is empty for a folder. In a package the
    path is ``str(Path(__file__).parent / "harbour")``. ``gancore generate`` and ``--init-from`` accept the
    name.
    """

    domain: str = ""
    licence: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class LoggerEntry(Entry):
    """A logger; ``target`` names a class with ``scalars``, ``samples`` and ``close``."""


@dataclass(frozen=True)
class ExperimentEntry(Entry):
    """An experiment of the lab."""


@dataclass(frozen=True)
class CommandEntry(Entry):
    """A group of commands; ``target`` names a ``typer.Typer``, which is imported when it is called."""


@dataclass(frozen=True)
class SourceEntry:
    """A named data set.

    ``files`` maps the URL of each file or archive to its sha256; it is empty for built-in data. ``size_mb``
    is the size of the whole data set, 0 if it is unknown. ``homepage`` is where to get it. ``folder`` is its
    folder below a data root or the cache, if several sources share one; by default the name of the source.
    """

    name: str
    summary: str
    licence: str
    files: Mapping[str, str] = field(default_factory=dict)
    size_mb: float = 0.0
    homepage: str = ""
    folder: str = ""
