"""Variational autoencoders: latents, a network that guesses them, and bounds of the likelihood."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from gancore.runtime.randomness import Key, noise
from gancore.trees import Tree, cut_rows, join_rows

DRAWS = Key.of("importance")
"""Draws of an evaluation, the same each time."""
RENDERING = Key.of("rendering")
"""Noise of samples that are made of given latents, the same for each."""


class Likelihood(Protocol):
    """p(x | what the decoder gives): of data in nats a row, (batch), and samples of it by a key."""

    def log_prob(self, data: Tree, decoded: Tree) -> Tensor: ...

    def sample(self, decoded: Tree, key: Key) -> Tree: ...


class Gaussian(nn.Module):
    """N(x; decoded, sigma^2 I), one sigma learned for all numbers of a row; it begins at exp(``log_sigma``).

    Narrow at first: a wide one would explain the data without latents, and stay so.
    """

    def __init__(self, log_sigma: float = -3.0) -> None:
        super().__init__()
        self.log_sigma = nn.Parameter(torch.tensor(log_sigma))

    def log_prob(self, data: Tensor, decoded: Tensor) -> Tensor:
        error = ((data - decoded) / self.log_sigma.exp()).flatten(1)
        return -0.5 * error.square().sum(1) - error.shape[1] * (self.log_sigma + 0.5 * math.log(2 * math.pi))

    def sample(self, decoded: Tensor, key: Key) -> Tensor:
        return decoded + self.log_sigma.exp() * key.normal(*decoded.shape)


class VariationalAutoencoder(nn.Module):
    """z ~ N(0, I), x ~ p(x | decoder(z)); q(z | x) = N(m(x), diag s(x)^2) (Kingma and Welling 2014).

    ``encoder(data, condition)`` gives m and log s side by side, (batch, 2 * latent), and
    ``decoder(z, condition)`` what ``likelihood`` takes. ``log_prob`` is a lower bound of log p(x): in
    training :meth:`elbo` by one z a row, else :meth:`importance_bound` by ``draws``, the same for every
    row and each time.
    """

    bound = True

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood, latent: int, draws: int = 64
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.latent, self.draws = latent, draws

    def log_prob(self, data: Tree, condition: Tree = None) -> Tensor:
        """In nats, (batch): at most log p(x) in the mean over draws."""
        return self.elbo(data, condition) if self.training else self.importance_bound(data, condition)

    def elbo(self, data: Tree, condition: Tree = None) -> Tensor:
        """E_q log p(x | z) - KL(q || p), eq. 10: by one z a row, and with the divergence in closed form,
        KL = 1/2 sum (m^2 + s^2 - 1 - log s^2).
        """
        m, log_s = self.posterior(data, condition)
        z = m + log_s.exp() * noise(len(m), m.device).normal(len(m), self.latent)
        divergence = 0.5 * (m.square() + (2 * log_s).exp() - 1 - 2 * log_s).sum(1)
        return self.likelihood.log_prob(data, self.decoder(z, condition)) - divergence

    def importance_bound(self, data: Tree, condition: Tree = None, key: Key = DRAWS) -> Tensor:
        """log 1/k sum_i p(x, z_i) / q(z_i | x), z_i ~ q, k = ``draws`` (Burda et al. 2016, eq. 8).

        In the mean it is the evidence lower bound for k = 1, rises with k, and tends to log p(x).
        """
        m, log_s = self.posterior(data, condition)
        total = m.new_full((len(m),), -math.inf)
        for eps in key.to(m.device).normal(self.draws, self.latent).to(m):
            z = m + log_s.exp() * eps
            log_ratio = (0.5 * eps.square() + log_s - 0.5 * z.square()).sum(1)  # log p(z) / q(z | x)
            weight = self.likelihood.log_prob(data, self.decoder(z, condition)) + log_ratio
            total = torch.logaddexp(total, weight)
        return total - math.log(self.draws)

    def posterior(self, data: Tree, condition: Tree = None) -> tuple[Tensor, Tensor]:
        """m(x) and log s(x), each (batch, latent)."""
        m, log_s = self.encoder(data, condition).chunk(2, dim=1)
        return m, log_s

    def sample(self, n: int, key: Key, condition: Tree = None) -> Tree:
        z = self.latents(n, key)
        return self.likelihood.sample(self.decoder(z, condition), key / "x")

    def latents(self, n: int, key: Key) -> Tensor:
        """Those of :meth:`sample` by the same key, (n, latent)."""
        return (key / "z").normal(n, self.latent)

    def render(self, z: Tensor, condition: Tree = None) -> Tree:
        """Samples of latents (n, latent), whose law p(x | z) is drawn from by the same noise for every row:
        so they change gradually with z.
        """
        decoded, key = self.decoder(z, condition), RENDERING.to(z.device)
        rows = [cut_rows(decoded, row, row + 1) for row in range(len(z))]
        return join_rows([self.likelihood.sample(row, key) for row in rows])
