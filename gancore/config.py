"""What a run is told: five sections, each a pydantic model whose fields carry meaning and range."""

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

BUDGETS = ("steps", "samples", "seconds")
"""The keys of ``train`` of which at most one is given."""


class Section(BaseModel):
    """A section of the configuration: its fields are the keys of ``--set`` and of the YAML file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_true_as_one(cls, value: Any, info: ValidationInfo) -> Any:
        """pydantic would take ``true`` for the number 1: a slip of the pen that nobody would notice."""
        field = cls.model_fields.get(info.field_name or "")
        if isinstance(value, bool) and field is not None and not _takes_bool(field.annotation):
            raise ValueError("true and false are no numbers")
        return value


def _takes_bool(annotation: Any) -> bool:
    if annotation in (bool, Any, object):
        return True
    return any(isinstance(part, bool) or _takes_bool(part) for part in get_args(annotation))


class DataSection(Section):
    """``data``: a domain adds how its sources are read."""

    source: str | None = Field(
        default=None, description="a named data set or a path; none: the built-in default"
    )


class RecipeSection(Section):
    """``recipe``: a recipe adds its architecture, costs and rates."""

    renamed: ClassVar[Mapping[str, str]] = {}
    """Keys as they were called once, and their names now: runs of then are read, new settings refused."""

    batch_size: PositiveInt = Field(default=32, description="rows of the joined batch, over all processes")
    accumulate: PositiveInt = Field(default=1, description="micro-batches of a joined batch, to save memory")
    steps: PositiveInt = Field(default=10_000, description="rounds, when the command names no budget")

    @classmethod
    def key_now(cls, key: str, value: Any) -> str:
        """The name of a key that a run of before may have under another one."""
        return key if key in cls.model_fields else cls.renamed.get(key, key)

    def without_effect(self) -> Mapping[str, str]:
        """The keys that change nothing while others have their values, each with what to set instead.

        Where the user gives such a key another value than its default, that is refused.
        """
        return {}

    def keys_that_help(self) -> set[str]:
        """What remedies may name: keys that have an effect, and ``key=value`` where that would help."""
        return set(type(self).model_fields) - self.without_effect().keys()

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Self:
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate {self.accumulate} does not divide batch_size {self.batch_size}")
        return self


class DynamicsSection(Section):
    """``train.dynamics``: how the players' moves follow one another."""

    name: str | None = Field(
        default=None, description="alternating, extragradient, ...; none: the recipe's own"
    )
    settings: dict[str, JsonValue] = Field(
        default_factory=dict, description="of the dynamics, by name, as gamma for consensus"
    )


class TrainSection(Section):
    """``train``: budget, seed, machine. At most one of steps, samples, seconds."""

    steps: PositiveInt | None = Field(default=None, description="budget in rounds")
    samples: PositiveInt | None = Field(default=None, description="budget in real samples seen")
    seconds: PositiveFloat | None = Field(
        default=None,
        description="budget in seconds on the wall of this machine: training, evaluation, checkpoints",
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="every draw is a function of it")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: bf16 where it is fast"
    )
    deterministic: bool = Field(
        default=False, description="deterministic kernels on a GPU; the CPU always is"
    )
    dynamics: DynamicsSection = Field(
        default=DynamicsSection(), description="how moves follow one another, in any recipe"
    )

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        given = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; a run has one budget")
        return self


class UpkeepSection(Section):
    """``upkeep``: how often a run logs, shows, evaluates and saves. Rounds; none: a share of the budget."""

    log_every: PositiveInt | None = Field(default=None, description="rounds; none: 1/200 of the budget")
    preview_every: PositiveInt | None = Field(default=None, description="rounds; none: 1/10 of the budget")
    previews: PositiveInt = Field(default=16, le=256, description="samples in a preview")
    evaluate_every: PositiveInt | None = Field(default=None, description="rounds; none: 1/10 of the budget")
    evaluate_samples: PositiveInt = Field(default=256, description="samples that a measure sees")
    select: str | None = Field(
        default=None, description="measure on valid that chooses the model; none: the last"
    )
    patience: PositiveInt | None = Field(
        default=None, description="evaluations without improvement before an early stop"
    )
    checkpoint_every: PositiveInt | None = Field(
        default=None,
        description="rounds between checkpoints that stay, beside those of keep; none: none stay",
    )
    checkpoint_seconds: PositiveFloat = Field(default=60.0, description="seconds between checkpoints")
    keep: PositiveInt = Field(default=2, description="newest checkpoints kept")
    peer_seconds: PositiveFloat = Field(
        default=600.0, description="on several processes, silence after which one is taken for lost"
    )
    resident_megabytes: PositiveFloat = Field(
        default=1024.0, description="data up to this size live on the device"
    )


class RunConfig(Section):
    """A resolved configuration. ``data`` and ``recipe`` are what the domain and the recipe declare."""

    domain: str = Field(description="the kind of data: `gancore plugins` lists them")
    recipe: str = Field(description="how to train a model of it")
    data: Any
    model: Any
    train: TrainSection = TrainSection()
    upkeep: UpkeepSection = UpkeepSection()


BUDGET_KEYS = frozenset({*(f"train.{name}" for name in BUDGETS), "model.steps"})
"""Keys that say how long a run trains: they may change when it is resumed."""


def what_trains(config: RunConfig) -> dict[str, Any]:
    """The values that decide what is trained, as JSON.

    Without ``upkeep``, and without the place of the data: the data are known by their fingerprint.
    """
    return config.model_dump(mode="json", exclude={"upkeep": True, "data": {"source"}})


def config_hash(config: RunConfig) -> str:
    """sha256 over :func:`what_trains`."""
    return hashlib.sha256(json.dumps(what_trains(config), sort_keys=True).encode()).hexdigest()


def budget(config: RunConfig) -> tuple[float | None, ...]:
    """Equal for two configurations that plan equally many rounds."""
    train, model = config.train, config.model
    given = [getattr(train, name) for name in BUDGETS]
    rounds = model.steps if given == [None] * len(BUDGETS) else None
    return (*given, rounds, model.batch_size if train.samples is not None else None)


def difference(old: RunConfig, new: RunConfig, but: Collection[str] = ()) -> list[str]:
    """What a resumed run would do otherwise: ``["model.width: 16 -> 32"]``; empty: nothing.

    ``upkeep`` and the place of the data may change freely, and so may the keys in ``but``.
    """
    before, after = (dict(_leaves(what_trains(config))) for config in (old, new))
    keys = [*before, *(key for key in after if key not in before)]
    return [
        f"{key}: {before.get(key, '(absent)')} -> {after.get(key, '(absent)')}"
        for key in keys
        if before.get(key) != after.get(key) and key not in but
    ]


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(tree, Mapping) and tree:
        for name, branch in tree.items():
            yield from _leaves(branch, f"{path}.{name}" if path else str(name))
    else:
        yield path, json.dumps(tree, ensure_ascii=False)
