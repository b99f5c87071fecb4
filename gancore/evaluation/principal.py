"""The core's own features: standardised principal components of train, for data that have none better."""

from __future__ import annotations

import torch
from torch import Tensor

from gancore.domain import Data, Spec
from gancore.evaluation.features import Features, Workbench
from gancore.evaluation.rows import take, view_of
from gancore.evaluation.store import Store, content_of, digest_of
from gancore.runtime.randomness import Key
from gancore.trees import Tree, leaves

VERSION = 1
MOST_COMPONENTS = 64
ROWS_A_COMPONENT = 10
LEAST_VARIANCE = 1e-6
"""Of the largest: what varies less is rounding."""
FEW_COORDINATES, MANY_ROWS, FEW_ROWS = 1024, 10_000, 1_000
"""Up to so many coordinates the covariance of many rows is taken apart; above them the products of a few."""


def flat(samples: Tree) -> Tensor:
    """All coordinates of a row beside each other: (n, coordinates), float32."""
    columns = [leaf.reshape(len(leaf), -1).float() for leaf in leaves(samples)]
    return torch.cat(columns, dim=1)


class Principal(Features):
    """z = W (x - m), W the leading eigenvectors v of train's covariance over the square roots of their
    eigenvalues: each component has variance 1 on train.

    As many as vary, up to 64 and up to a tenth of the rows. The largest entry of each v is positive. All
    kept components weigh alike, so what varies little counts as much as what varies much.
    """

    name = "principal"

    def prepare(self, bench: Workbench) -> None:
        store = Store(bench.cache / "principal", bench.announce)
        x = _rows(bench.data)
        found = store.tensors(digest_of("principal", VERSION, content_of(x)), lambda: _fit(x))
        self.mean, self.weights = found["mean"], found["weights"]  # (coordinates), (coordinates, components)

    @property
    def digest(self) -> str:
        return content_of([self.mean, self.weights])

    def embed(self, samples: Tree, spec: Spec) -> Tensor:
        x = flat(samples)
        return (x - self.mean.to(x.device)) @ self.weights.to(x.device)


def _rows(data: Data) -> Tensor:
    """Those of train that it is fitted to, (rows, coordinates)."""
    train, key = view_of(data, "train"), Key.of("principal")
    order = key.permutation(len(train))
    x = flat(take(train, order[:FEW_ROWS], key / "few").data)
    return x if x.shape[1] > FEW_COORDINATES else flat(take(train, order[:MANY_ROWS], key / "many").data)


def _fit(x: Tensor) -> dict[str, Tensor]:
    mean = x.double().mean(0)
    x = x.double() - mean
    values, vectors = _leading(x)
    most = max(1, min(MOST_COMPONENTS, len(x) // ROWS_A_COMPONENT))
    keep = int((values > LEAST_VARIANCE * values[0]).sum().clamp(1, most))
    spread = values[:keep].clamp_min(0).sqrt()
    spread[spread == 0] = 1  # rows that are all equal
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    weights = (vectors * largest.sign())[:, :keep] / spread
    return {"mean": mean.float(), "weights": weights.float()}


def _leading(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, largest first, and eigenvectors (coordinates, ...) of x^T x / n; x (n, ...) is centred.

    Where there are more coordinates than rows, through those u of x x^T / n: v = x^T u / |x^T u|.
    """
    n, coordinates = x.shape
    if coordinates <= n:
        values, vectors = torch.linalg.eigh(x.T @ x / n)
        return values.flip(0), vectors.flip(1)
    values, u = torch.linalg.eigh(x @ x.T / n)
    values, u = values.flip(0)[:MOST_COMPONENTS], u.flip(1)[:, :MOST_COMPONENTS]
    vectors = x.T @ u
    return values, vectors / vectors.norm(dim=0).clamp_min(1e-300)
