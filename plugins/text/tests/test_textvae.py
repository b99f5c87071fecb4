"""The variational autoencoder of texts: a bound, its terms, and what keeps its latents in use."""

from __future__ import annotations

import itertools

import pytest
import torch
from gancore_text.latents import LatentRecurrent, TextEncoder
from gancore_text.textvae import TextVAEConfig, TextVAEGame, build_vae
from gancore_text.tokenizer import END, UNKNOWN

from gancore import Batch
from gancore.games import Move, noise
from gancore.nn import until_end
from gancore.random import Key, RowRange, noise_scope

VOCAB, LENGTH = 4, 3
ROWS = torch.tensor([row for row in itertools.product(range(VOCAB), repeat=LENGTH)])
TEXTS = ROWS[(until_end(ROWS, END) | (ROWS == END)).all(1)]
"""All texts: after the first end there are only ends."""


def config(**changes):
    sizes = {"embedding_dim": 4, "width": 5, "latent_dim": 2, "importance_samples": 400}
    return TextVAEConfig(**{**sizes, "dropout": 0.0, "word_dropout": 0.0, **changes})


def vae(**changes):
    torch.manual_seed(0)
    model = build_vae(config(**changes), VOCAB, LENGTH)
    for parameter in model.likelihood.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def with_exact_posterior(model):
    """q = p(z): the posterior of a decoder that does not read its latents."""
    torch.nn.init.zeros_(model.encoder.dense.weight)
    torch.nn.init.zeros_(model.encoder.dense.bias)
    return model


class FixedDraw:
    def __init__(self, data, progress):
        self.data, self.progress_end = data, progress

    def real(self):
        return Batch(self.data)


def scope():
    return noise_scope(Key.of("test"), RowRange.all(len(TEXTS)))


def test_the_bound_of_all_texts_adds_up_to_one():
    """With the prior as q and many draws it tends to log p, whose exponentials have the sum 1."""
    total = with_exact_posterior(vae()).eval().log_prob(TEXTS).exp().sum().item()
    assert total == pytest.approx(1, abs=0.03)


def test_the_bound_is_exact_if_latents_do_not_matter():
    model = with_exact_posterior(vae())
    body = model.likelihood.generator.trunk.body
    with torch.no_grad():
        body.body.weight_ih_l0[:, 4:] = 0
        body.first.weight.zero_()
    exact = model.likelihood.log_prob(TEXTS, torch.zeros(len(TEXTS), 2))
    for training in (True, False):
        with scope(), torch.no_grad():
            torch.testing.assert_close(model.train(training).log_prob(TEXTS), exact)
    assert exact.exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_the_terms_add_up_to_the_elbo_and_kl_is_that_of_gaussians():
    model = vae()
    with scope():
        reconstruction, divergences = model.elbo_terms(TEXTS)
    with scope():
        torch.testing.assert_close(model.elbo(TEXTS), reconstruction - divergences.sum(1))
    m, log_s = model.posterior(TEXTS)
    posterior, prior = torch.distributions.Normal(m, log_s.exp()), torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(divergences, torch.distributions.kl_divergence(posterior, prior))


@pytest.mark.parametrize(("progress", "weight"), [(0.1, 0.25), (0.4, 1.0), (1.0, 1.0)])
def test_the_weight_of_the_kl_rises_and_free_nats_cost_nothing(progress, weight):
    game = TextVAEGame(vae(), torch.nn.Identity(), None, False)
    game.annealing, game.free_nats = 0.4, 0.5
    with scope():
        cost = game.cost(Move("model"), FixedDraw(TEXTS, progress))
    with scope():
        reconstruction, divergences = game.model.elbo_terms(TEXTS)
    wanted = -reconstruction.mean() + weight * divergences.clamp_min(0.5).sum(1).mean()
    torch.testing.assert_close(cost.total(), wanted)
    torch.testing.assert_close(cost.logged["kl_nats"][0], divergences.sum(1).mean())


def test_word_dropout_hides_inputs_and_no_targets_and_is_keyed():
    model = vae(word_dropout=0.5).likelihood.generator
    z, rows = torch.randn(len(TEXTS), 2), TEXTS
    with scope():
        first = model.train().log_prob(rows, latents=z)
    with scope():
        assert torch.equal(model.log_prob(rows, latents=z), first)
    plain = model.eval().log_prob(rows, latents=z)
    assert not torch.allclose(first, plain)
    with scope():
        drawn = noise(len(rows), rows.device).uniform(*rows.shape)
    hidden = torch.where(drawn < 0.5, UNKNOWN, rows)
    model.train().word_dropout = 0.0
    logits = model.logits(hidden, latents=z).log_softmax(-1).gather(-1, rows[..., None])[..., 0]
    torch.testing.assert_close((logits * until_end(rows, END)).sum(1), first)


def test_the_encoder_reads_no_padding_in_its_mean():
    """A text is the same with more padding, but for what the backward LSTM reads from behind its end."""
    torch.manual_seed(0)
    encoder = TextEncoder(VOCAB, 4, 5, 2)
    text = torch.tensor([[2, 3, END, END, END]])
    outputs, _ = encoder.body(torch.nn.functional.embedding(text, encoder.embedding))
    torch.testing.assert_close(encoder(text), encoder.dense(outputs[:, :3].mean(1)))


def test_steps_of_the_trunk_are_the_whole_pass():
    torch.manual_seed(0)
    trunk, x, z = LatentRecurrent(3, 5, 2), torch.randn(4, 6, 3), torch.randn(4, 2)
    whole, state = trunk(x, z), trunk.initial(4, z)
    for t in range(6):
        outputs, state = trunk.step(state, x[:, t])
        torch.testing.assert_close(outputs, whole[:, t])


def test_samples_follow_the_likelihood_of_the_decoder():
    """At a low temperature a sample is the most probable text of its latents."""
    model = vae().eval()
    key = Key.of("samples")
    drawn = model.sample(20, key, temperature=1e-4)
    z = model.latents(20, key)
    for row, latent in zip(drawn, z, strict=True):
        first = model.likelihood.generator.logits(row[None], latents=latent[None])[0].argmax(-1)
        ended = torch.tensor([bool((row[:t] == END).any()) for t in range(LENGTH)])
        assert torch.equal(torch.where(ended, END, first), row)
