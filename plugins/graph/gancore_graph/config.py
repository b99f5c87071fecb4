"""``data`` for graphs: files, direction, components, and what is held out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from gancore import DataConfig, SpecSchema
from gancore.data import BoundedText

Format = Literal["auto", "edges", "adjacency", "npz", "mtx", "graphml"]


class GraphConfig(DataConfig):
    """Graphs are undirected and without weights: pairs in both directions and repeated ones are one edge,
    self-loops are left out, and all of this is counted in the summary.
    """

    format: Format = Field(
        "auto", description="how a file is read; auto: by its suffix, and .csv by its columns"
    )
    nodes: PositiveInt | None = Field(
        None,
        le=100_000_000,
        description="number of nodes, where edges alone are listed and ids run from 0: isolated nodes count",
    )
    graphs: PositiveInt | None = Field(
        None, ge=20, le=100_000, description="graphs of a generated set (planar, sbm); none: 1,000"
    )
    directed: Literal["symmetrise", "refuse"] = Field(
        "symmetrise", description="directed input is made undirected, and the summary says so; or is refused"
    )
    largest_component: bool = Field(
        True, description="keep the largest connected component; false: all nodes"
    )
    split: Literal["drawn", "published"] = Field(
        "drawn", description="held-out edges are drawn, or are those published with the data set (cora_ml)"
    )
    valid_fraction: float = Field(
        0.1, gt=0, le=0.4, description="share of edges (of a set: of graphs) held out to select by"
    )
    test_fraction: float = Field(
        0.05, gt=0, le=0.4, description="share of edges (of a set: of graphs) held out to report on"
    )
    seed: NonNegativeInt = Field(
        0, description="seed of what is held out, edges or graphs, and of the graphs of a generated set"
    )


class GraphSchema(SpecSchema):
    """What a model of graphs knows of its data."""

    graphs: Annotated[int, Field(ge=1, le=100_000_000, description="graphs of train; 1: one large graph")]
    max_nodes: Annotated[int, Field(ge=2, le=100_000_000, description="nodes of the largest graph")]
    max_edges: Annotated[int, Field(ge=1, le=10_000_000_000, description="edges of the largest graph")]
    train_edges: int | None = Field(
        default=None, ge=1, le=10_000_000_000, description="edges of the one graph of train"
    )
    bandwidth: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="most places between the ends of an edge in breadth-first orders; none: too large",
    )
    node_names: list[BoundedText] | None = Field(
        default=None, description="what the source calls the nodes, if these are no numbers"
    )
