"""GANs of codes and of word vectors: what is trained, what stays, and what decoding gives back."""

from __future__ import annotations

import pytest
import torch
from gancore_text.config import TextConfig
from gancore_text.dataset import open_text
from gancore_text.embedgan import KL_WEIGHT, EmbedGAN, EmbedGANConfig, VectorGenerator
from gancore_text.latentgan import Autoencoder, LatentGAN, LatentGANConfig, on_sphere
from gancore_text.representation import texts_of
from gancore_text.sources import SOURCES
from gancore_text.tokenizer import END
from gancore_text.word_vectors import WordVectors, neighbour_vectors
from refusals import refused

from gancore.data.sources import resolve_source
from gancore.errors import ConfigError
from gancore.games import AdversarialGame, Move
from gancore.random import Key, RowRange, noise_scope
from gancore.training.loop import play
from gancore.training.setup import set_up

TEXTS = [f"{who} {does} {what} ." for who in "ab" for does in ("sees", "hears") for what in ("x", "y", "z")]
SMALL = {"batch_size": 8, "width": 8, "latent_dim": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANCORE_CACHE", str(folder / "cache"))
        (folder / "lines.txt").write_text("\n".join(TEXTS * 2))
        yield open_text(
            resolve_source(str(folder / "lines.txt"), SOURCES, None, print), TextConfig(min_count=1)
        )


def trained(data, recipe, config, steps):
    torch.manual_seed(0)
    game = recipe.build(config, data.spec)
    before = {name: tensor.clone() for name, tensor in game.state_dict().items()}
    setup = set_up(game, {"train": data.view("train")}, batch_size=8, micro_batches=1, seed=0)
    play(setup, steps)
    return game, before


def changed(game, before, part):
    return {
        name
        for name, tensor in game.state_dict().items()
        if name.startswith(part) and not torch.equal(tensor, before[name])
    }


# Codes


def latent_config(**changes):
    sizes = {**SMALL, "embedding_dim": 8, "code_dim": 6, "ema_halflife": 0.0}
    return LatentGANConfig(**{**sizes, **changes})


def test_codes_lie_on_a_sphere():
    torch.manual_seed(0)
    codes = on_sphere(torch.randn(5, 6))
    torch.testing.assert_close(codes.square().mean(1), torch.ones(5))
    model = Autoencoder(latent_config(), 5, 4)
    torch.testing.assert_close(
        model.encode(torch.tensor([[2, 3, END, END]])).square().mean(), torch.tensor(1.0)
    )


def test_decoding_undoes_encoding_after_training_and_the_accuracy_says_so():
    torch.manual_seed(0)
    model = Autoencoder(latent_config(width=24, word_dropout=0.0), 6, 4)
    rows = torch.tensor([[2, 3, END, END], [3, 2, 4, END], [5, END, END, END], [4, 5, 2, END]])
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    assert model.accuracy(rows).mean() < 1
    for step in range(60):
        with noise_scope(Key.of(step), RowRange.all(len(rows))):
            loss = model.negative_log_prob(rows).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    assert torch.equal(model.decode(model.encode(rows)), rows)
    assert model.accuracy(rows).tolist() == [1.0] * 4
    wrong = rows.clone()
    wrong[0, 1], wrong[1, 3] = 5, END
    codes = model.encode(rows)
    model.encode = lambda tokens: codes
    assert model.accuracy(wrong).tolist() == pytest.approx([2 / 3, 1, 1, 1])


def test_the_noise_on_codes_is_that_of_training_and_keyed():
    torch.manual_seed(0)
    model, rows = Autoencoder(latent_config(code_noise=0.5), 6, 4), torch.tensor([[2, 3, END, END]] * 4)
    model.decoder.word_dropout = 0.0
    values = []
    for name in ("one", "one", "two"):
        with noise_scope(Key.of(name), RowRange.all(4)):
            values.append(model.negative_log_prob(rows))
    assert torch.equal(values[0], values[1]) and not torch.equal(values[0], values[2])
    assert len(values[0].unique()) == 4


def test_first_the_autoencoder_is_trained_then_it_stays(data):
    whole = latent_config(autoencoder_share=0.5)
    game, before = trained(data, LatentGAN(), whole, 4)
    assert [phase.name for phase in game.phases] == ["autoencoder", "adversarial"]
    assert [phase.selects for phase in game.phases] == [False, True]
    assert changed(game, before, "autoencoder") and changed(game, before, "generator")
    only_first, start = trained(data, LatentGAN(), latent_config(autoencoder_share=0.99), 2)
    assert not changed(only_first, start, "generator") and not changed(only_first, start, "discriminator")


def test_the_critic_reads_ids_as_their_codes(data):
    game, _ = trained(data, LatentGAN(), latent_config(), 1)
    batch = game.representation.encode(data.view("train").get_batch(torch.arange(4), Key.of(0)))
    codes = game.autoencoder.encode(batch.data)
    torch.testing.assert_close(game.discriminator(batch.data), game.discriminator(codes))
    assert not any("autoencoder" in name for name, _ in game.discriminator.named_parameters())


# Vectors of words


def embed_config(**changes):
    return EmbedGANConfig(**{**SMALL, "vector_dim": 6, "ema_halflife": 0.0, **changes})


def test_every_token_is_the_nearest_row_to_its_vector():
    torch.manual_seed(0)
    vectors, ids = WordVectors(50, 8), torch.arange(50)
    vectors.fit(torch.randint(50, (40, 7)))
    assert torch.equal(vectors.nearest(vectors.embed(ids)), ids)
    nearest, second = vectors.distances(vectors.embed(ids))
    torch.testing.assert_close(nearest, torch.zeros(50), atol=1e-3, rtol=0)
    wanted = torch.cdist(vectors.table, vectors.table).fill_diagonal_(9).min(1).values
    torch.testing.assert_close(second, wanted, atol=1e-3, rtol=0)


def test_tokens_with_equal_neighbours_are_similar_and_yet_not_the_same():
    """2 and 3 stand between the same tokens, 4 does not; rows that are all equal would be no table."""
    rows = torch.tensor([[5, 2, 6, 0], [5, 3, 6, 0], [7, 4, 8, 0]] * 4)
    informed = neighbour_vectors(rows, 9, 9)
    assert informed[2] @ informed[3] > 0.99 and informed[2] @ informed[4] < 0.5
    torch.manual_seed(0)
    vectors = WordVectors(9, 8, random_share=0.5)
    vectors.fit(rows)
    torch.testing.assert_close(vectors.table.norm(dim=1), torch.ones(9))
    assert vectors.table[2] @ vectors.table[3] < 0.99
    assert torch.cdist(vectors.table, vectors.table).fill_diagonal_(9).min() > 0.1


def test_the_game_changes_no_row_of_the_table(data):
    """A table that the game may change can collapse: with all rows equal, every fake is as real data."""
    game, _ = trained(data, EmbedGAN(), embed_config(), 1)
    again, before = trained(data, EmbedGAN(), embed_config(), 3)
    assert torch.equal(game.generator.vectors.table, again.generator.vectors.table)
    assert changed(again, before, "generator.dense") and not [
        name for name, _ in again.named_parameters() if "table" in name
    ]


def test_generated_vectors_are_mixtures_of_rows_and_sharp_ones_are_rows():
    torch.manual_seed(0)
    vectors = WordVectors(10, 6)
    soft, sharp = (VectorGenerator(vectors, 4, 8, 5, sharpness) for sharpness in (1e-6, 1e6))
    mean = vectors.table.mean(0).expand(3, 5, -1)
    torch.testing.assert_close(soft(torch.randn(3, 4)), mean, atol=1e-5, rtol=0)
    nearest, _ = vectors.distances(sharp(torch.randn(3, 4)))
    assert nearest.max() < 1e-3


def test_pretraining_is_that_of_an_autoencoder_of_independent_words(data):
    game, _ = trained(data, EmbedGAN(), embed_config(), 1)
    setup = set_up(game, {"train": data.view("train")}, batch_size=8, micro_batches=1, seed=0)
    draw = setup.batches.draw(0, 0, RowRange.all(8), 0, 0.5)
    cost, tokens = game.cost(Move("pretraining", "reconstruction"), draw), draw.real().data
    m, log_s = game.encoder(tokens).chunk(2, dim=1)
    posterior = torch.distributions.Normal(m, log_s.exp())
    z = m + log_s.exp() * draw.normal(4, name="posterior")
    words = torch.distributions.Categorical(logits=game.generator.logits(z)).log_prob(tokens).sum(1)
    divergence = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(cost.total(), (KL_WEIGHT * divergence - words).mean())


def test_pretraining_comes_first_selects_no_model_and_can_be_left_out(data):
    game, before = trained(data, EmbedGAN(), embed_config(pretraining=0.5), 4)
    assert [(phase.name, phase.selects) for phase in game.phases] == [
        ("pretraining", False),
        ("adversarial", True),
    ]
    assert changed(game, before, "encoder") and changed(game, before, "discriminator")
    alone, _ = trained(data, EmbedGAN(), embed_config(pretraining=0.0), 1)
    assert [phase.name for phase in alone.phases] == ["adversarial"] and "pretraining" not in alone.players


def test_the_log_has_the_error_of_decoding(data):
    game, _ = trained(data, EmbedGAN(), embed_config(), 1)
    setup = set_up(game, {"train": data.view("train")}, batch_size=8, micro_batches=1, seed=0)
    draw = setup.batches.draw(0, 0, RowRange.all(8), 0, 0.0)
    with draw.noise():
        logged = game.generator_cost(draw).logged
    nearest, second = game.generator.vectors.distances(game.make_fake(draw, None))
    torch.testing.assert_close(logged["decode_distance"][0], nearest.mean())
    torch.testing.assert_close(logged["decode_ambiguous"][0], (nearest > 0.8 * second).float().mean())


def test_real_texts_come_back_from_their_vectors(data):
    game, _ = trained(data, EmbedGAN(), embed_config(), 1)
    batch = data.view("train").get_batch(torch.arange(8), Key.of(0))
    nearest = game.sampler().representation
    assert texts_of(nearest.decode(nearest.encode(batch).data)) == texts_of(batch.data)


@pytest.mark.parametrize(("recipe", "config"), [(LatentGAN, latent_config), (EmbedGAN, embed_config)])
def test_a_game_that_lacks_what_the_recipe_needs_is_refused(data, recipe, config, monkeypatch):
    settings = config().model_copy()
    monkeypatch.setattr("gancore.games.adversarial_config.find_game", lambda name: AdversarialGame)
    with refused(ConfigError, "model.game", "AdversarialGame"):
        recipe().build(settings, data.spec)
