"""Features of graphs by a graph network with fixed random weights (Thompson et al. 2022)."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from gancore import FeatureContext, FeatureExtractor, Spec
from gancore.data import digest_json
from gancore.random import Key
from gancore_graph.canonical import GraphTensors

VERSION = 1
ROUNDS, WIDTH = 2, 35
"""Those of the authors' code."""
FITTING_ROWS = 2000

Layer = tuple[Tensor, Tensor]
"""A weight (out, in) and a bias (out,)."""


class RandomGIN(FeatureExtractor):
    """Sums over the nodes of a graph isomorphism network (Xu et al. 2019) after each round, 70 numbers.

    A node begins with twice its degree. A round is a perceptron of x_i + the sum of x_j over its neighbours
    j: two layers of 35 units, both with ReLU, of orthogonal weights and small biases, drawn once and for all.
    As in the authors' code, but for its batch normalisation, which divides by sqrt(1 + 1e-5) there. Each
    number is over its standard deviation in train, of 2,000 rows at most; theirs is that of the reference.

    Graphs that are the same but for the order of their nodes have the same features up to rounding. Graphs
    that this refinement of degrees does not distinguish in two rounds share them: triangles are not seen.
    """

    name = "random-gin"

    def prepare(self, context: FeatureContext) -> None:
        train, key = context.data.view("train"), Key.of(self.name)
        rows = train.get_batch(key.permutation(len(train))[:FITTING_ROWS], key).data
        values = node_sums(rows, draw_layers())
        deviations = values.std(0, correction=0)
        self.mean = values.mean(0)
        self.scale = torch.where(deviations > 1e-9 * self.mean.abs().clamp_min(1.0), deviations, 1.0)

    @property
    def digest(self) -> str:
        return digest_json(self.name, VERSION, self.mean.tolist(), self.scale.tolist())

    def embed(self, samples: GraphTensors, spec: Spec) -> Tensor:
        device = samples["nodes"].device
        values = node_sums(samples, draw_layers())
        return ((values - self.mean.to(device)) / self.scale.to(device)).float()


def draw_layers() -> list[Layer]:
    """The layers of all rounds, float64, from a fixed key.

    A weight is orthogonal (Saxe et al. 2014); a bias is uniform within 1 / sqrt(inputs), as torch draws it.
    """
    sizes = [1, *[WIDTH] * (2 * ROUNDS)]
    layers = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        key = Key.of("random-gin", number)
        q, r = torch.linalg.qr((key / "weight").normal(outputs, inputs).double())
        bias = (key / "bias").uniform(outputs, low=-1.0, high=1.0).double() / inputs**0.5
        layers.append((q * r.diagonal().sign(), bias))
    return layers


def node_sums(samples: GraphTensors, layers: list[Layer]) -> Tensor:
    """(rows, rounds * units), float64, of all graphs at once: nodes are numbered through, edges are lists."""
    edges, counts = samples["edges"], samples["nodes"]
    first = counts.cumsum(0) - counts
    row, place = (edges[:, :, 0] >= 0).nonzero(as_tuple=True)
    ends = edges[row, place] + first[row, None]
    source, target = torch.cat([ends[:, 0], ends[:, 1]]), torch.cat([ends[:, 1], ends[:, 0]])
    graph_of = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    x = 2 * torch.bincount(source, minlength=len(graph_of)).double()[:, None]
    sums = []
    for number in range(ROUNDS):
        x = x.index_add(0, target, x[source])
        for weight, bias in layers[2 * number : 2 * number + 2]:
            x = (x @ weight.to(x.device).T + bias.to(x.device)).relu()
        sums.append(x.new_zeros(len(counts), x.shape[1]).index_add(0, graph_of, x))
    return torch.cat(sums, 1)
