"""Variational autoencoders, and lower bounds of their likelihood."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from gancore.random import Key, evaluation_key, noise
from gancore.trees import Tree, tree_cat, tree_slice

IMPORTANCE_KEY = evaluation_key("importance")
"""The key of the latents in an evaluation: the same at every call."""
RENDER_KEY = evaluation_key("rendering")
"""The key of the decoder's noise for given latents: the same for every row."""


class DecoderLikelihood(Protocol):
    """p(x | decoded): log densities in nats per row, (batch), and samples."""

    def log_prob(self, data: Tree, decoded: Tree) -> Tensor: ...

    def sample(self, decoded: Tree, key: Key) -> Tree: ...


class GaussianLikelihood(nn.Module):
    """N(x; decoded, sigma^2 I), with one learned sigma, exp(``log_sigma``) at first.

    Starts narrow: a wide Gaussian would fit the data without using the latents.
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

    ``encoder(data, condition)`` gives m and log s concatenated, (batch, 2 * latent_dim), and ``decoder(z,
    condition)`` what ``likelihood`` takes. ``log_prob`` is a lower bound of log p(x): in training
    :meth:`elbo` with one z per row, in evaluation :meth:`importance_bound` with ``importance_samples`` fixed
    draws.
    """

    lower_bound = True

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: DecoderLikelihood,
        latent_dim: int,
        importance_samples: int = 64,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.latent_dim, self.importance_samples = latent_dim, importance_samples

    def log_prob(self, data: Tree, condition: Tree = None) -> Tensor:
        """In nats, (batch); in expectation over the latents at most log p(x)."""
        return self.elbo(data, condition) if self.training else self.importance_bound(data, condition)

    def elbo(self, data: Tree, condition: Tree = None) -> Tensor:
        """E_q log p(x | z) - KL(q || p), eq. 10, with one z per row."""
        reconstruction, divergences = self.elbo_terms(data, condition)
        return reconstruction - divergences.sum(1)

    def elbo_terms(self, data: Tree, condition: Tree = None) -> tuple[Tensor, Tensor]:
        """log p(x | z) with one z ~ q(z | x) per row, (batch), and KL(q || p) of each latent in closed form,
        1/2 (m^2 + s^2 - 1 - log s^2), (batch, latent).
        """
        m, log_s = self.posterior(data, condition)
        z = m + log_s.exp() * noise(len(m), m.device).normal(len(m), self.latent_dim)
        divergences = 0.5 * (m.square() + (2 * log_s).exp() - 1 - 2 * log_s)
        return self.likelihood.log_prob(data, self.decoder(z, condition)), divergences

    def importance_bound(self, data: Tree, condition: Tree = None, key: Key = IMPORTANCE_KEY) -> Tensor:
        """log 1/k sum_i p(x, z_i) / q(z_i | x), z_i ~ q, of k draws (Burda et al. 2016, eq. 8).

        In expectation it is the ELBO for k = 1, rises with k, and tends to log p(x).
        """
        m, log_s = self.posterior(data, condition)
        total = m.new_full((len(m),), -math.inf)
        for eps in key.to(m.device).normal(self.importance_samples, self.latent_dim).to(m):
            z = m + log_s.exp() * eps
            log_ratio = (0.5 * eps.square() + log_s - 0.5 * z.square()).sum(1)  # log p(z) / q(z | x)
            weight = self.likelihood.log_prob(data, self.decoder(z, condition)) + log_ratio
            total = torch.logaddexp(total, weight)
        return total - math.log(self.importance_samples)

    def posterior(self, data: Tree, condition: Tree = None) -> tuple[Tensor, Tensor]:
        """m(x) and log s(x), each (batch, latent)."""
        m, log_s = self.encoder(data, condition).chunk(2, dim=1)
        return m, log_s

    def sample(self, n: int, key: Key, condition: Tree = None) -> Tree:
        z = self.latents(n, key)
        return self.likelihood.sample(self.decoder(z, condition), key / "x")

    def latents(self, n: int, key: Key) -> Tensor:
        """The latents of :meth:`sample` with the same key, (n, latent)."""
        return (key / "z").normal(n, self.latent_dim)

    def render(self, z: Tensor, condition: Tree = None) -> Tree:
        """Samples of p(x | z) for latents (n, latent), with the same noise for every row, so that they change
        continuously with z.
        """
        decoded, key = self.decoder(z, condition), RENDER_KEY.to(z.device)
        rows = [tree_slice(decoded, row, row + 1) for row in range(len(z))]
        return tree_cat([self.likelihood.sample(row, key) for row in rows])
