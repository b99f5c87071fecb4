"""The map of a recipe that judges: what its last layer sees of samples, and what it says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor

from gancore.domain import Data, Domain, Spec
from gancore.evaluation.evidence import Judges
from gancore.evaluation.features import AskForJudge, Features, Workbench
from gancore.evaluation.store import content_of, digest_of
from gancore.trees import Tree


def judge_of(domain: Domain, ask: AskForJudge) -> Callable[[Data], Judges] | None:
    """``Evidence.judge``: the domain's first recipe that declares ``judge``, as it is; None: it has none."""
    able = [name for name, entry in domain.recipes.items() if "judge" in entry.provides]
    return (lambda data: cast(Judges, ask(able[0], {}, data).sampler)) if able else None


class JudgeFeatures(Features):
    """The penultimate layer of the recipe `classifier`, trained on the same source, and its posteriors.

    ``spec`` is that of the source. Write ``check`` where samples could be of a kind that it never saw.
    """

    name = "classifier"
    learned = True

    def prepare(self, bench: Workbench) -> None:
        sampler = bench.judge(self.name, {}).sampler
        self.judge, self.spec = cast(Judges, sampler), bench.data.spec
        self._digest = digest_of(content_of(list(sampler.state_dict().values())), dict(self.spec.facts))

    def check(self, samples: Tree, spec: Spec) -> None:
        """Raises ConfigError where samples differ in kind from those of the source; by default none do."""

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def classes(self) -> Sequence[str]:
        return list(self.spec["classes"])

    @torch.no_grad()
    def embed(self, samples: Tree, spec: Spec) -> Tensor:
        self.check(samples, spec)
        return self.judge.embed(samples)

    @torch.no_grad()
    def log_posteriors(self, samples: Tree, spec: Spec) -> Tensor:
        self.check(samples, spec)
        return self.judge.log_posteriors(samples)
