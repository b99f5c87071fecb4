"""Networks on dense graphs of one size: a generator of all edges at once, and a critic.

A dense graph is ``{"adjacency": (batch, size, size), "present": (batch, size)}``, float: symmetric, 0 or 1
(or between, at interpolates), and which of the nodes are there.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import chi2
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from gancore import Spec
from gancore.data import Tree
from gancore.games import Discriminator
from gancore.nn import zero_init
from gancore_graph.sizes import SizeLaw, mean_degree

DenseTensors = dict[str, Tensor]

HEADS = 4
FIRST_WEIGHT = 20.0
"""Of squared distances, at first; it is learned. Edges are then nearly a function of the points."""


class NodeBlock(nn.Module):
    """Attention among the nodes of a graph, then a perceptron of each node, both with a skip connection.

    A permutation of the nodes permutes its output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 2 * width), nn.LeakyReLU(0.2), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """(batch, size, width) and (batch, size) to the first's shape."""
        batch, size, width = x.shape
        parts = self.project(self.norm(x)).view(batch, size, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
        weights = scores.masked_fill(present[:, None, None, :] == 0, -torch.inf).softmax(-1)
        x = x + self.merge((weights @ value).transpose(1, 2).reshape(batch, size, width))
        made: Tensor = x + self.perceptron(self.second_norm(x))
        return made


class GeometricGenerator(nn.Module):
    """From latents to a graph: each node is a point, and near points are joined.

    Latents are normal: one for the number of nodes, by the law of train; ``shared`` of the whole graph;
    ``own`` of each node; one of each pair. A node's point x is a linear function of its own latents plus what
    attention among the nodes adds to it, which is 0 at first: logit(i, j) = b_i + b_j - sum_k w_k (x_ik -
    x_jk)^2. At first the graph is a random geometric one of train's density. An edge is there with the
    probability of its logit, by the logistic noise of its pair; at most ``max_edges`` are, those of the
    largest logit plus noise. The gradient is that of sigmoid((logit + noise) / temperature), straight through
    (Jang et al. 2017).
    """

    def __init__(
        self, spec: Spec, width: int, blocks: int, own: int, shared: int, dimensions: int, temperature: float
    ) -> None:
        super().__init__()
        self.size, self.max_edges = int(spec["max_nodes"]), int(spec["max_edges"])
        self.own, self.shared, self.temperature = own, shared, temperature
        self.sizes = SizeLaw(spec)
        self.first = nn.Linear(own + shared + 1, width)
        self.blocks = nn.ModuleList(NodeBlock(width) for _ in range(blocks))
        self.norm, self.moved = nn.LayerNorm(width), nn.Linear(width, dimensions, bias=False)
        self.place = nn.Linear(own, dimensions, bias=False)
        nn.init.eye_(self.place.weight)
        self.weights = nn.Parameter(torch.full((dimensions,), FIRST_WEIGHT))
        self.offset = nn.Linear(width, 1)
        zero_init(self.moved), zero_init(self.offset)
        density = min(0.9, mean_degree(spec) / max(1.0, self.sizes.mean - 1))
        nn.init.constant_(self.offset.bias, _offset_of_density(density, min(own, dimensions)) / 2)

    def forward(self, latents: Tensor) -> DenseTensors:
        sizes = latent_sizes(self.size, self.own, self.shared)
        count, graph, nodes, noise = torch.split(latents, sizes, 1)
        counts = self.sizes.quantile(torch.special.ndtr(count[:, 0]))
        present = (torch.arange(self.size, device=latents.device) < counts[:, None]).to(latents.dtype)
        own = nodes.view(-1, self.size, self.own)
        context = torch.cat([graph, counts[:, None] / self.size], 1)[:, None].expand(-1, self.size, -1)
        x = self.first(torch.cat([own, context], 2))
        for block in self.blocks:
            x = block(x, present)
        x = self.norm(x)
        logits = self._logits(self.place(own) + self.moved(x), self.offset(x))
        return {"adjacency": self._edges(logits, noise, present), "present": present}

    def _logits(self, points: Tensor, offsets: Tensor) -> Tensor:
        """(batch, size, dimensions) and (batch, size, 1) to (batch, size, size)."""
        points = points.to(self.weights.dtype)  # differences of near points need more than bf16
        apart = (points[:, :, None] - points[:, None]).square()
        made: Tensor = offsets + offsets.transpose(1, 2) - (apart * self.weights).sum(3)
        return made

    def _edges(self, logits: Tensor, noise: Tensor, present: Tensor) -> Tensor:
        u, v = torch.triu_indices(self.size, self.size, 1, device=logits.device)
        logistic = torch.logit(torch.special.ndtr(noise), eps=1e-6)
        score = logits[:, u, v] + logistic
        possible = present[:, u] * present[:, v]
        score = score.masked_fill(possible == 0, -torch.inf)
        least = score.detach().topk(min(self.max_edges + 1, score.shape[1]), 1).values[:, -1:]
        if score.shape[1] <= self.max_edges:
            least = torch.full_like(least, -torch.inf)
        hard = (score > least.clamp_min(0.0)).to(score.dtype)
        soft = (score / self.temperature).sigmoid()
        values = (hard + soft - soft.detach()) * possible
        made = values.new_zeros(len(values), self.size, self.size)
        made[:, u, v] = values
        return made + made.transpose(1, 2)


def _offset_of_density(density: float, dimensions: int) -> float:
    """The sum of two offsets by which two normal points are joined with this probability at first."""
    distances = FIRST_WEIGHT * 2 * chi2(dimensions).ppf((np.arange(2000) + 0.5) / 2000)

    def excess(offset: float) -> float:
        return float(expit(offset - distances).mean()) - density

    return float(brentq(excess, -50.0, 50.0 + distances.max()))


def latent_sizes(size: int, own: int, shared: int) -> list[int]:
    """Latents of :class:`GeometricGenerator`: of the number of nodes, the graph, the nodes, the pairs."""
    return [1, shared, size * own, size * (size - 1) // 2]


class GraphCritic(Discriminator):
    """A graph isomorphism network (Xu et al. 2019) whose nodes begin with the cycles through them.

    Sums over neighbours are over the mean degree of train, sums over nodes over its mean number of nodes, so
    that activations do not grow with the graph. Message passing alone cannot tell graphs apart that differ in
    triangles; so a node begins with its degree, its closed walks of three and of four steps, and the share of
    its wedges that are closed. The logit does not depend on the order of the nodes.
    """

    def __init__(self, spec: Spec, width: int, rounds: int) -> None:
        super().__init__()
        self.mean_degree, self.mean_nodes = mean_degree(spec), SizeLaw(spec).mean
        self.first = nn.Linear(5, width)
        self.rounds = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * width, width), nn.LeakyReLU(0.2), nn.Linear(width, width))
            for _ in range(rounds)
        )
        self.read = nn.Linear(2 * (rounds + 1) * width, width)
        self.last = nn.Linear(width, 1, bias=False)

    def logits(self, embedded: Tree, condition: object = None) -> Tensor:
        adjacency, present = embedded["adjacency"], embedded["present"][:, :, None]
        x = leaky_relu(self.first(self._first_features(adjacency, present)), 0.2) * present
        states = [x]
        for perceptron in self.rounds:
            neighbours = adjacency @ x / self.mean_degree
            x = leaky_relu(perceptron(torch.cat([x, neighbours], 2)), 0.2) * present
            states.append(x)
        whole = torch.cat(states, 2).sum(1)
        counts = present.sum(1).clamp_min(1.0)
        read = leaky_relu(self.read(torch.cat([whole / self.mean_nodes, whole / counts], 1)), 0.2)
        made: Tensor = self.last(read)[:, 0]
        return made

    def _first_features(self, adjacency: Tensor, present: Tensor) -> Tensor:
        """(batch, size, 5), each of the size of 1 in train."""
        degrees = adjacency.sum(2, keepdim=True)
        square = adjacency @ adjacency
        triangles = (square * adjacency).sum(2, keepdim=True)
        cycles = (square * square).sum(2, keepdim=True)
        scale = self.mean_degree
        closed = triangles / (degrees * degrees + 1)
        features = (present, degrees / scale, triangles / scale**2, cycles / scale**3, closed)
        return torch.cat(features, 2)
