"""The settings of CELL."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from gancore import RecipeConfig


class CellConfig(RecipeConfig):
    """Adam on all edges at once. The fit ends when a sample shares ``overlap`` of its edges with train."""

    steps: PositiveInt = Field(200, description="steps at most, when the command gives no budget")
    rank: PositiveInt = Field(9, le=512, description="rank of the logits")
    overlap: PositiveFloat = Field(
        0.5, le=1, description="share of train's edges in a sample that ends the fit"
    )
    check_every: PositiveInt = Field(10, description="steps between two looks at the overlap")
    lr: PositiveFloat = Field(0.1, description="Adam's learning rate")
    dense_nodes: PositiveInt = Field(
        20_000, description="nodes above which the softmax has two levels, and a step some of the edges"
    )
    pairs_per_step: PositiveInt = Field(
        1 << 17, description="of the softmax in two levels: edges, in a direction each, of a step of training"
    )
    weight_decay: float = Field(1e-7, ge=0, description="weight of the squared parameters in the gradient")
