"""The configuration of a run: a pydantic model for each section, with description and range of every key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from gancore.budget import Count, Duration

BUDGET_FIELDS = ("steps", "samples", "time")
"""The keys of ``train`` of which at most one is given."""


class Section(BaseModel):
    """A section of the configuration. Its fields are the keys of ``--set`` and of the YAML file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _reject_bool_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a boolean where a number is expected; pydantic would read ``true`` as 1."""
        field = cls.model_fields.get(info.field_name or "")
        if isinstance(value, bool) and field is not None and not _accepts_bool(field.annotation):
            raise ValueError("expected a number, got true or false")
        return value


def _accepts_bool(annotation: Any) -> bool:
    if annotation in (bool, Any, object):
        return True
    return any(isinstance(part, bool) or _accepts_bool(part) for part in get_args(annotation))


class DataConfig(Section):
    """Section ``data``: the source. A domain adds the keys for reading its sources.

    ``shape_keys`` are those on which the shape of an example depends, such as a length. A training that
    starts from a model keeps their values: those of the fields of the same names of the model's spec, which
    hold what an automatic value became, or else those of its configuration.
    """

    shape_keys: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if unknown := cls.shape_keys - cls.model_fields.keys():
            raise TypeError(f"{cls.__name__}.shape_keys has {min(unknown)!r}, which is none of its keys")

    source: str | None = Field(
        default=None,
        description="named data set, path, pattern, URL or hub:OWNER/NAME; null: the built-in default",
    )


class RecipeConfig(Section):
    """Section ``model``: batch size and default budget. A recipe adds its architecture, costs and rates."""

    batch_size: PositiveInt = Field(
        default=32, description="examples of the global batch, over all processes"
    )
    micro_batches: PositiveInt = Field(
        default=1, description="micro-batches of a global batch, to save memory"
    )
    steps: PositiveInt = Field(default=10_000, description="budget in steps if none is given")

    def unused_keys(self) -> Mapping[str, str]:
        """Keys that have no effect with these settings, each with the setting that enables it.

        A value other than the default is refused for such a key.
        """
        return {}

    def effective_keys(self) -> set[str]:
        """Keys that advice may suggest: keys with an effect, and ``key=value`` if that value helps."""
        return set(type(self).model_fields) - self.unused_keys().keys()

    @model_validator(mode="after")
    def _check_divisible(self) -> Self:
        if self.batch_size % self.micro_batches:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of micro_batches {self.micro_batches}"
            )
        return self


class DynamicsConfig(Section):
    """Section ``train.dynamics``: the order and the rule of the updates in a step."""

    name: str | None = Field(
        default=None, description="alternating, extragradient, ...; null: that of the recipe"
    )
    settings: dict[str, JsonValue] = Field(
        default_factory=dict, description="settings of the dynamics by name, such as gamma of consensus"
    )


class TrainConfig(Section):
    """Section ``train``: budget, seed, device. At most one of steps, samples and time may be set."""

    steps: Count | None = Field(default=None, description="budget in training steps")
    samples: Count | None = Field(default=None, description="budget in training examples seen")
    time: Duration | None = Field(
        default=None,
        description="wall-clock budget with evaluation and checkpoints: 90s, 10m, 2h or seconds",
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="seed of all random numbers")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: bf16 if the device is faster in it, otherwise fp32"
    )
    deterministic: bool = Field(
        default=False,
        description="use deterministic kernels on a GPU; on a CPU results are always deterministic",
    )
    dynamics: DynamicsConfig = Field(
        default=DynamicsConfig(), description="order and rule of the updates in a step, for every recipe"
    )
    distributed_timeout: PositiveFloat = Field(
        default=600.0, description="seconds without an answer after which another process is considered lost"
    )
    device_cache_mb: PositiveFloat = Field(
        default=1024.0, description="data sets up to this size (MB) are kept on the device"
    )

    @model_validator(mode="after")
    def _check_single_budget(self) -> Self:
        given = [name for name in BUDGET_FIELDS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; a run has one budget")
        return self


class LoggingConfig(Section):
    """Section ``logging``: the intervals of logs and previews; null: a fraction of the budget."""

    every: PositiveInt | None = Field(default=None, description="steps; null: 1/200 of the budget")
    preview_every: PositiveInt | None = Field(default=None, description="steps; null: 1/10 of the budget")
    preview_samples: PositiveInt = Field(default=16, le=256, description="samples in a preview")


class ValidationConfig(Section):
    """Section ``validation``: metrics on the valid split during training, and the selection of the model."""

    every: PositiveInt | None = Field(default=None, description="steps; null: 1/10 of the budget")
    samples: PositiveInt = Field(default=256, description="samples that each metric uses")
    select: str | None = Field(
        default=None, description="metric on valid that selects the model; null: the last model"
    )
    patience: PositiveInt | None = Field(
        default=None, description="stop after this number of evaluations without improvement; null: never"
    )


class CheckpointConfig(Section):
    """Section ``checkpoint``: how often a run saves checkpoints, and which ones it keeps."""

    every: PositiveInt | None = Field(
        default=None,
        description="steps between checkpoints that are never deleted; null: none",
    )
    seconds: PositiveFloat = Field(default=60.0, description="seconds between checkpoints")
    keep: PositiveInt = Field(default=2, description="number of newest checkpoints to keep")


class RunConfig(Section):
    """A resolved configuration. The domain defines the section ``data``, the recipe the section ``model``."""

    domain: str = Field(description="kind of data; `gancore plugins` lists them")
    recipe: str = Field(description="name of the recipe")
    data: Any
    model: Any
    train: TrainConfig = TrainConfig()
    logging: LoggingConfig = LoggingConfig()
    validation: ValidationConfig = ValidationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()


_NOT_TRAINING: dict[str, Any] = {
    "logging": True,
    "validation": True,
    "checkpoint": True,
    "data": {"source"},
    "train": {"distributed_timeout", "device_cache_mb"},
}
"""Settings that do not change the trained model."""


BUDGET_KEYS = frozenset({*(f"train.{name}" for name in BUDGET_FIELDS), "model.steps"})
"""Keys of the budget: they may change when a run is resumed."""


def training_settings(config: RunConfig) -> dict[str, Any]:
    """The settings that determine the trained model, as JSON values.

    Left out are ``logging``, ``validation``, ``checkpoint``, ``train.distributed_timeout``,
    ``train.device_cache_mb``, and ``data.source``: a fingerprint identifies the data.
    """
    return config.model_dump(mode="json", exclude=_NOT_TRAINING)


def config_hash(config: RunConfig) -> str:
    """The sha256 of :func:`training_settings`."""
    return hashlib.sha256(json.dumps(training_settings(config), sort_keys=True).encode()).hexdigest()


def budget_signature(config: RunConfig) -> tuple[float | None, ...]:
    """A value that is equal for two configurations with the same number of steps."""
    train, model = config.train, config.model
    given = [getattr(train, name) for name in BUDGET_FIELDS]
    steps = model.steps if given == [None] * len(BUDGET_FIELDS) else None
    return (*given, steps, model.batch_size if train.samples is not None else None)


def diff_configs(old: RunConfig, new: RunConfig, ignore: Collection[str] = ()) -> list[str]:
    """Settings that differ and would change a resumed run: ``["model.width: 16 -> 32"]``.

    Settings that :func:`training_settings` leaves out and the keys of ``ignore`` are not compared.
    """
    before, after = (dict(_flatten(training_settings(config))) for config in (old, new))
    keys = [*before, *(key for key in after if key not in before)]
    return [
        f"{key}: {before.get(key, '(absent)')} -> {after.get(key, '(absent)')}"
        for key in keys
        if before.get(key) != after.get(key) and key not in ignore
    ]


def _flatten(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(tree, Mapping) and tree:
        for name, branch in tree.items():
            yield from _flatten(branch, f"{path}.{name}" if path else str(name))
    else:
        yield path, json.dumps(tree, ensure_ascii=False)
