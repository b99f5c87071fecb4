"""Maps from sounds to vectors: our classifier's, log-mel statistics, CREPE's, and VGGish's from a file.

A Frechet distance is named after its features: only on VGGish's is it what papers call FAD.
"""

from __future__ import annotations

from torch import Tensor

from gancore import ConfigError, Features, JudgeFeatures, Spec, Workbench
from gancore.evaluation.store import digest_of
from gancore.models.given import given_path
from gancore_audio import crepe, vggish
from gancore_audio.measures import FLOOR_DB, MOMENT_BANDS, clip_features


class ClassifierFeatures(JudgeFeatures):
    """As our classifier hears sounds."""

    def check(self, samples: Tensor, spec: Spec) -> None:
        if spec["rate_hz"] != self.spec["rate_hz"]:
            raise ConfigError(
                f"the classifier hears {self.spec['rate_hz']} Hz, the samples have {spec['rate_hz']}",
                "evaluate against the source that the model was trained on",
            )


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
    frechet = "FAD"

    def prepare(self, bench: Workbench) -> None:
        path = given_path(vggish.SETTING, self.name, "classifier or log-mel")
        self.net, self.sha256 = vggish.load_vggish(path)
        bench.announce(f"vggish: weights of {path.name}, sha256 {self.sha256}")

    @property
    def digest(self) -> str:
        return digest_of(self.name, 1, self.sha256)

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return vggish.embed(self.net.to(samples.device), samples, spec["rate_hz"])
