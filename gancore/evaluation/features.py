"""Features: a fixed map from canonical samples to vectors, with a name and a hash, that measures share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from torch import Tensor

from gancore.domain import Data, Spec
from gancore.trees import Tree

if TYPE_CHECKING:
    from gancore.models.model import Model


class AskForJudge(Protocol):
    """As :class:`gancore.evaluation.judging.Judging` is called."""

    def __call__(self, recipe: str, changes: Mapping[str, Any], data: Data | None = None) -> Model: ...


@dataclass(frozen=True)
class Workbench:
    """What features may use to get ready: the data, a cache folder, and the loop to train a judge by.

    ``judge(recipe, settings)`` trains a recipe of the domain on the same source, once: the model comes
    from the cache ever after. With a third argument it is trained on these data. ``announce`` tells the user,
    line by line.
    """

    data: Data
    cache: Path
    judge: AskForJudge
    announce: Callable[[str], None] = field(default=lambda line: None)


class Features:
    """What a domain or a plugin defines; :class:`gancore.FeaturesEntry` names it.

    ``prepare`` is called once, before anything else: it fits, trains or reads what the map needs, and
    never downloads. ``embed`` and ``log_posteriors`` see a few hundred rows at a time, on the
    device of the evaluation, where the models that ``Workbench.judge`` gives are too.
    """

    name: ClassVar[str]
    learned: ClassVar[bool] = False
    """Whether it was trained on rows of train, which it then knows from others."""
    frechet: ClassVar[str] = ""
    """What the field calls the Frechet distance on them, where it has a name of its own."""

    def prepare(self, bench: Workbench) -> None:
        """Raises ConfigError where what it needs is not there, and says where it is to be had."""

    @property
    def digest(self) -> str:
        """sha256, hexadecimal, of everything that the map depends on."""
        raise TypeError(f"{type(self).__name__} must define digest")

    def embed(self, samples: Tree, spec: Spec) -> Tensor:
        """Canonical samples to (n, d), float32, finite for finite samples."""
        raise TypeError(f"{type(self).__name__} must define embed(samples, spec)")

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes whose posteriors the map gives; empty: it is no classifier."""
        return ()

    def log_posteriors(self, samples: Tree, spec: Spec) -> Tensor:
        """log p(class | sample), (n, classes); asked for only where ``classes`` is not empty."""
        raise TypeError(f"{type(self).__name__} must define log_posteriors(samples, spec)")
