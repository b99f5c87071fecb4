"""Maps from pictures to vectors. A Frechet distance is named after its features: none of these is FID's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gancore import ConfigError, Features, Spec, Workbench
from gancore.evaluation.store import content_of, digest_of
from gancore.games import Judge


class ClassifierFeatures(Features):
    """The penultimate layer of the recipe `classifier`, trained on the same source, and its posteriors."""

    name = "classifier"

    def prepare(self, bench: Workbench) -> None:
        spec = bench.data.spec
        judge = bench.judge("classifier", {}).sampler
        assert isinstance(judge, Judge)
        self.judge, self.shape = judge, (spec["channels"], spec["side"])
        self._classes = list(spec["classes"])
        self._digest = digest_of(content_of(list(judge.state_dict().values())), self.shape, self._classes)

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def classes(self) -> Sequence[str]:
        return self._classes

    @torch.no_grad()
    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return self.judge.embed(self._of_its_shape(samples))

    @torch.no_grad()
    def log_posteriors(self, samples: Tensor, spec: Spec) -> Tensor:
        return self.judge.log_posteriors(self._of_its_shape(samples))

    def _of_its_shape(self, samples: Tensor) -> Tensor:
        channels, side = self.shape
        if samples.shape[1:] != (channels, side, side):
            raise ConfigError(
                f"the classifier sees {channels} channels of {side}x{side}, the samples are "
                f"{' x '.join(map(str, samples.shape[1:]))}",
                "evaluate against the source that the model was trained on",
            )
        return samples
