"""What a model can be asked for on the page: controls by capability, and their values as a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gancore.domain import Domain
from gancore.errors import ConfigError
from gancore.models.model import Model
from gancore.models.request import SampleRequest

Mode = Literal["samples", "path", "infill"]
ANY_LABEL, EACH_LABEL = -1, -2
"""Values of the control of labels beside the numbers of classes."""
DEFAULT_COUNT, MOST_COUNT, MOST_SAMPLES = 16, 64, 256
"""The number of samples at first and at most, and of all classes or paths together."""


@dataclass(frozen=True)
class Values:
    """The values of all controls; a truncation or temperature of 0 is none."""

    mode: Mode = "samples"
    seed: int = 0
    n: int = DEFAULT_COUNT
    label: int = ANY_LABEL
    paths: int = 1
    points: int = 8
    truncation: float = 0.0
    temperature: float = 0.0
    prompt: str = ""


@dataclass(frozen=True)
class Controls:
    """The controls that a model has. ``classes``: its labels; ``count``, ``most``: the number of samples."""

    modes: Sequence[Mode]
    classes: Sequence[str]
    count: int
    most: int
    truncation: bool
    temperature: bool
    infill: bool

    @classmethod
    def of(cls, model: Model) -> Controls:
        """The controls of a model. Raises ConfigError if it generates nothing."""
        model.require_generator()
        sampler, domain = model.sampler, model.domain
        has_own_count = type(domain).report_sample_count is not Domain.report_sample_count
        count = domain.report_sample_count(model.spec) if has_own_count else DEFAULT_COUNT
        modes: dict[Mode, bool] = {
            "samples": True,
            "path": sampler.can("latents"),
            "infill": sampler.can("infill"),
        }
        return cls(
            modes=[mode for mode, possible in modes.items() if possible],
            classes=list(model.spec.get("classes") or []) if sampler.conditional else [],
            count=count,
            most=max(MOST_COUNT, 4 * count),
            truncation=sampler.can("latents") and sampler.prior.truncate is not None,
            temperature=sampler.can("temperature"),
            infill=sampler.can("infill"),
        )

    def request(self, values: Values) -> SampleRequest:
        """What the values ask for. Values of controls that a mode does not show are ignored.

        Raises:
            ConfigError: a value is missing, or more samples are asked for than the page shows.
        """
        if values.mode == "infill":
            return SampleRequest(
                values.n,
                values.seed,
                temperature=values.temperature or None if self.temperature else None,
                infill=values.prompt,
            )
        is_path, each = values.mode == "path", values.label == EACH_LABEL
        count = values.paths * values.points if is_path else values.n
        self._check_count(count * (len(self.classes) if each else 1))
        return SampleRequest(
            values.paths if is_path else values.n,
            values.seed,
            label=self.classes[values.label] if self.classes and values.label >= 0 else None,
            each_label=each and bool(self.classes),
            interpolate=values.points if is_path else None,
            truncation=values.truncation or None if self.truncation else None,
            temperature=values.temperature or None if self.temperature and not is_path else None,
        )

    def _check_count(self, count: int) -> None:
        most = max(MOST_SAMPLES, self.most)
        if count > most:
            raise ConfigError(
                f"{count:,} samples are more than this page shows ({most:,})",
                "lower the number, or use the command",
            )
