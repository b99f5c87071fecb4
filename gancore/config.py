"""What a run is told: five sections, each a pydantic model whose fields carry meaning and range."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt


class Section(BaseModel):
    """A section of the configuration: its fields are the keys of ``--set`` and of the YAML file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class DataSection(Section):
    """``data``: a domain adds how its sources are read."""

    source: str | None = Field(None, description="a named data set or a path; none: the domain's built-in default")


class RecipeSection(Section):
    """``recipe``: a recipe adds its architecture, costs and rates."""

    batch_size: PositiveInt = Field(32, description="rows of the joined batch, over processes and micro-batches")
    accumulate: PositiveInt = Field(1, description="micro-batches that a joined batch is cut into, to save memory")
    steps: PositiveInt = Field(10_000, description="rounds, when the command names no budget")


class TrainSection(Section):
    """``train``: budget, seed, machine. At most one of steps, samples, seconds."""

    steps: PositiveInt | None = Field(None, description="budget in rounds")
    samples: PositiveInt | None = Field(None, description="budget in real samples seen")
    seconds: PositiveFloat | None = Field(None, description="budget in seconds of training, on this machine")
    seed: int = Field(0, ge=0, lt=2**31)
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="auto: bf16 where the device is fast in it")
    deterministic: bool = Field(False, description="deterministic kernels on a GPU; the CPU always is")


class UpkeepSection(Section):
    """``upkeep``: how often a run logs, shows, evaluates and saves. Rounds; none: a share of the budget."""

    log_every: PositiveInt | None = Field(None, description="rounds; none: 1/200 of the budget")
    preview_every: PositiveInt | None = Field(None, description="rounds; none: 1/10 of the budget")
    previews: PositiveInt = Field(16, le=256, description="samples in a preview")
    evaluate_every: PositiveInt | None = Field(None, description="rounds; none: 1/10 of the budget")
    evaluate_samples: PositiveInt = Field(256, description="samples that a measure sees")
    select: str | None = Field(None, description="measure on valid that chooses the model; none: the last one")
    patience: PositiveInt | None = Field(None, description="evaluations without improvement before stopping early")
    checkpoint_seconds: PositiveFloat = Field(60.0, description="seconds between checkpoints")
    keep: PositiveInt = Field(2, description="checkpoints kept")
    resident_megabytes: PositiveFloat = Field(1024.0, description="data up to this size live on the device whole")


class RunConfig(Section):
    """A resolved configuration. ``data`` and ``recipe`` are what the domain and the recipe declare."""

    domain: str
    recipe: str
    data: Any
    model: Any
    train: TrainSection = TrainSection()
    upkeep: UpkeepSection = UpkeepSection()
