"""Maps from pictures to vectors. A Frechet distance is named after its features: none of these is FID's."""

from __future__ import annotations

from torch import Tensor

from gancore import ConfigError, JudgeFeatures, Spec


class ClassifierFeatures(JudgeFeatures):
    """As our classifier sees pictures."""

    def check(self, samples: Tensor, spec: Spec) -> None:
        channels, side = self.spec["channels"], self.spec["side"]
        if samples.shape[1:] != (channels, side, side):
            raise ConfigError(
                f"the classifier sees {channels} channels of {side}x{side}, the samples are "
                f"{' x '.join(map(str, samples.shape[1:]))}",
                "evaluate against the source that the model was trained on",
            )
