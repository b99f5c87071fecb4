"""Maps from sounds to vectors: our classifier's, log-mel statistics, CREPE's, and VGGish's from a file.

A Frechet distance is named after its features: only on VGGish's is it what papers call FAD.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from gancore import ConfigError, Features, Spec, Workbench
from gancore.evaluation.store import content_of, digest_of
from gancore.games import Judge
from gancore_audio import crepe, vggish
from gancore_audio.measures import FLOOR_DB, MOMENT_BANDS, clip_features


class ClassifierFeatures(Features):
    """The penultimate layer of the recipe `classifier`, trained on the same source, and its posteriors."""

    name = "classifier"

    def prepare(self, bench: Workbench) -> None:
        spec = bench.data.spec
        judge = bench.judge("classifier", {}).sampler
        assert isinstance(judge, Judge)
        self.judge, self.rate_hz, self._classes = judge, spec["rate_hz"], list(spec["classes"])
        self._digest = digest_of(content_of(list(judge.state_dict().values())), self.rate_hz, self._classes)

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def classes(self) -> Sequence[str]:
        return self._classes

    @torch.no_grad()
    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return self.judge.embed(self._at_its_rate(samples, spec))

    @torch.no_grad()
    def log_posteriors(self, samples: Tensor, spec: Spec) -> Tensor:
        return self.judge.log_posteriors(self._at_its_rate(samples, spec))

    def _at_its_rate(self, samples: Tensor, spec: Spec) -> Tensor:
        if spec["rate_hz"] != self.rate_hz:
            raise ConfigError(
                f"the classifier hears {self.rate_hz} Hz, the samples have {spec['rate_hz']}",
                "evaluate against the source that the model was trained on",
            )
        return samples


class LogMelFeatures(Features):
    """Mean and standard deviation over time of 32 log-mel bands, in dB: (n, 64)."""

    name = "log-mel"

    @property
    def digest(self) -> str:
        return digest_of(self.name, 1, MOMENT_BANDS, FLOOR_DB)

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return clip_features(samples, spec["rate_hz"]).float()


class CrepeFeatures(Features):
    """The embedding of a pitch tracker, averaged over a sound's frames by their power: (n, 256)."""

    name = "crepe"

    def prepare(self, bench: Workbench) -> None:
        crepe.load_crepe("cpu")

    @property
    def digest(self) -> str:
        return digest_of(self.name, 1, crepe.SHA256, crepe.HOP)

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return crepe.analyse(samples, spec["rate_hz"])[0]


class VGGishFeatures(Features):
    """VGGish's 128 numbers, averaged over a sound's patches, from weights that the user has."""

    name = "vggish"

    def prepare(self, bench: Workbench) -> None:
        path = os.environ.get(vggish.SETTING)
        if not path:
            raise ConfigError(
                "features vggish need the published weights, which gancore neither brings nor downloads",
                f"set {vggish.SETTING} to their file, or use features classifier or log-mel",
            )
        self.net, self.sha256 = vggish.load_vggish(Path(path))
        bench.announce(f"vggish: weights of {Path(path).name}, sha256 {self.sha256}")

    @property
    def digest(self) -> str:
        return digest_of(self.name, 1, self.sha256)

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return vggish.embed(self.net.to(samples.device), samples, spec["rate_hz"])
