"""What a measure may look at: generated samples beside real ones, with what a judge says of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from gancore.domain import Data, Spec
from gancore.runtime.randomness import CPU, Key
from gancore.trees import Tree, count_rows, map_tree


def broken_rows(said: Tensor, need: str) -> int:
    """How many rows of (n, d) hold what is no value: features are finite, log posteriors may be -inf."""
    usable = said < torch.inf if need == "log_posteriors" else said.isfinite()
    return int((~usable.all(1)).sum())


class Judges(Protocol):
    """What a recipe gives that declares ``judge``: it is in evaluation mode, on the evaluation's device."""

    def embed(self, data: Tree) -> Tensor: ...

    def log_posteriors(self, data: Tree) -> Tensor: ...


@dataclass(frozen=True)
class Sampled:
    """Canonical samples, on the CPU, and what is known of them; everything has the rows on axis 0.

    ``features`` (n, d) float32 and ``log_posteriors`` (n, classes) are those of fixed maps that all sets
    share; ``condition`` is what the rows were asked to be, or are labelled with. None: not to be had here.
    """

    samples: Tree
    condition: Tree = None
    features: Tensor | None = None
    log_posteriors: Tensor | None = None

    def __len__(self) -> int:
        return count_rows(self.samples)

    def rows(self, indices: Tensor) -> Sampled:
        def cut(tree: Tree) -> Tree:
            return map_tree(lambda leaf: leaf[indices], tree)

        return Sampled(*map(cut, (self.samples, self.condition, self.features, self.log_posteriors)))


@dataclass(frozen=True)
class Evidence:
    """The ground of every measure.

    ``fake``: what is judged. ``real``: rows of the reference split. ``train``: rows of train, for measures
    of memory, and ``train_size``, of how many (None: these are all). ``log_prob``: nats per row of ``real``
    under the model that made ``fake``, (n,); ``bound`` where it is a lower bound. ``classes``: names of the
    posteriors' columns. ``key``: for what a measure draws for itself; the same key gives the same value.
    ``device``: where what is costly is computed. ``judge``: the domain's recipe that judges, trained on these
    data by the ordinary loop, once, and kept; None where it has no such recipe.
    """

    fake: Sampled
    real: Sampled
    train: Sampled
    spec: Spec
    key: Key = field(default_factory=lambda: Key.of("evaluate", 0))
    log_prob: Tensor | None = None
    bound: bool = False
    classes: Sequence[str] = ()
    device: torch.device = CPU
    judge: Callable[[Data], Judges] | None = None
    train_size: int | None = None

    @property
    def share_of_train(self) -> float:
        """That measures of memory see."""
        return min(1.0, len(self.train) / (self.train_size or len(self.train)))

    def broken(self, need: str) -> str:
        """Why what measures need is not to be used, in one line; empty where it is.

        A map may give no finite values for finite samples, as the logarithm of silence.
        """
        if need not in ("features", "log_posteriors"):
            return ""
        for name, part in (("samples", self.fake), ("reference rows", self.real), ("train rows", self.train)):
            said: Tensor | None = getattr(part, need)
            if said is not None and (count := broken_rows(said, need)):
                what = need.replace("_", " ")
                return f"the {what} of {count:,} of {len(said):,} {name} are not finite"
        return ""

    @classmethod
    def of(cls, fake: Tree, real: Tree, spec: Spec) -> Evidence:
        """Samples beside real ones and nothing else: for measures without needs."""
        beside = Sampled(real)
        return cls(Sampled(fake), beside, beside, spec)

    def part(self, fake: int, key: Key) -> Evidence:
        """So many of the samples, drawn without replacement, and the key's draws."""
        return replace(self, fake=self.fake.rows(key.permutation(len(self.fake))[:fake]), key=key)

    def subset(self, fake: int, real: int, key: Key) -> Evidence:
        """Rows drawn without replacement, and the key's draws."""
        chosen = (key / "fake").permutation(len(self.fake))[:fake]
        beside = (key / "real").permutation(len(self.real))[:real]
        return replace(
            self,
            fake=self.fake.rows(chosen),
            real=self.real.rows(beside),
            log_prob=None if self.log_prob is None else self.log_prob[beside],
            key=key,
        )
