"""What samples are asked of a model: the options of ``gancore generate``, and of the page to play with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gancore.errors import ConfigError

if TYPE_CHECKING:
    from gancore.models.model import Model
    from gancore.samples import Samples


@dataclass(frozen=True)
class SampleRequest:
    """The arguments of :func:`gancore.generate` on which samples depend."""

    n: int = 16
    seed: int = 0
    label: str | None = None
    each_label: bool = False
    interpolate: int | None = None
    truncation: float | None = None
    temperature: float | None = None
    infill: str | None = None
    batch_size: int = 64

    def check(self) -> None:
        """Raise ConfigError if two arguments exclude each other."""
        if self.each_label and self.label is not None:
            raise ConfigError(
                f"each label and the label {self.label!r} are given", "give one of --label and --each-label"
            )
        if self.interpolate is not None and self.temperature is not None:
            raise ConfigError("an interpolation and a temperature are given", "leave out --temperature")
        others = (self.each_label, self.label, self.interpolate, self.truncation)
        if self.infill is not None and others != (False, None, None, None):
            raise ConfigError(
                "--infill is given with a label, a path or a truncation",
                "of these give --temperature alone beside it",
            )

    def draw(self, model: Model) -> Samples:
        """The samples. Raises ConfigError if the model cannot do what is asked."""
        self.check()
        n, seed, truncation = self.n, self.seed, self.truncation
        if self.infill is not None:
            return model.infill(self.infill, n, seed, self.batch_size, self.temperature)
        if self.interpolate is not None and self.each_label:
            return model.interpolate_each_label(n, self.interpolate, seed, truncation)
        if self.interpolate is not None:
            return model.interpolate(n, self.interpolate, seed, self.label, truncation)
        if self.each_label:
            return model.sample_each_label(n, seed, self.batch_size, truncation, self.temperature)
        return model.sample(n, seed, self.label, self.batch_size, truncation, self.temperature)

    def options(self) -> list[str]:
        """The options of ``gancore generate`` that ask for the same samples."""
        valued = {
            "--label": self.label,
            "--interpolate": self.interpolate,
            "--truncation": self.truncation,
            "--temperature": self.temperature,
            "--infill": self.infill,
        }
        words = ["-n", str(self.n), "--seed", str(self.seed), *(["--each-label"] if self.each_label else [])]
        # in one word, so that a value that begins with a dash is none of an option
        return words + [f"{name}={value}" for name, value in valued.items() if value is not None]
