"""What a model's spec must hold before anything is built of it: a model folder may come from anybody."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError, model_validator

from gancore.config_text import short
from gancore.errors import CheckpointError

Text = Annotated[str, Field(max_length=1 << 20)]


class SpecFacts(BaseModel):
    """The facts of a spec that the core reads; a domain adds those that its recipes and writers read.

    A fact of the wrong type or out of its range is refused; those that are not named here may be anything.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, strict=True)

    classes: list[Text] | None = Field(default=None, description="names of the labels")
    class_shares: list[NonNegativeFloat] | None = Field(
        default=None, description="how often each label occurs in train"
    )
    source: Text = Field(default="", description="the data set that it was trained on")
    licence: Text = Field(default="", description="of the data")

    @model_validator(mode="after")
    def _one_share_for_each_class(self) -> Self:
        if self.class_shares is None:
            return self
        if len(self.class_shares) != len(self.classes or ()):
            raise ValueError("class_shares must hold one share for each of classes")
        if self.class_shares and not 0 < math.fsum(self.class_shares) < 2:
            raise ValueError("class_shares must be shares of a whole")
        return self


def check_facts(kind: type[SpecFacts], facts: Mapping[str, Any], where: str) -> None:
    """Raises CheckpointError, naming the fact, where ``facts`` are not those of a domain's specs."""
    try:
        kind.model_validate(dict(facts))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, ("spec", *first["loc"])))
        raise CheckpointError(
            f"{where}: {place}: {first['msg']}, not {short(first['input'])}"[:400],
            "restore config.json as it was written, or fetch the model again",
        ) from error
