"""WGAN-GP on characters, RelGAN and the Gumbel GAN: what their networks see, and what reaches them."""

from __future__ import annotations

import pytest
import torch
from gancore_text.character_gan import CharacterGAN, CharacterGANConfig, TextCritic
from gancore_text.gumbel import TextDiscriminator
from gancore_text.gumbelgan import GumbelGAN, GumbelGANConfig
from gancore_text.relgan import RelGAN, RelGANConfig
from gancore_text.representation import TokenIds, canonical, texts_of
from gancore_text.spelling import spelling_log_probs
from gancore_text.tokenizer import END, Vocabularies
from torch.nn.functional import one_hot

from gancore.data.dataset import Batch, Spec, TensorView
from gancore.games import WGANGP, Move, interpolate
from gancore.games.schedules import schedule_value
from gancore.games.training_step import TrainingStep
from gancore.random import Key
from gancore.training.loop import play
from gancore.training.setup import set_up

TEXTS = ["a man rides", "a man", "two cats", "a cat rides a man"]
SMALL = {"batch_size": 4, "embedding_dim": 6, "maps": 3}
RECIPES = {
    "relgan": (RelGAN(), RelGANConfig(**SMALL, heads=2, head_size=4, readings=3)),
    "gumbelgan": (GumbelGAN(), GumbelGANConfig(**SMALL, width=8, discriminator_embedding=5)),
    "wgan-gp-chars": (CharacterGAN(), CharacterGANConfig(batch_size=4, width=6, blocks=2, latent_dim=4)),
}
GUMBEL = ["relgan", "gumbelgan"]


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make_spec() -> Spec:
    vocabularies = Vocabularies(TEXTS, min_count=1, max_words=50, bpe_size=256)
    return Spec(
        {
            "words": vocabularies.words,
            "characters": vocabularies.characters,
            "token_lengths": {"word": 5, "character": 17},
            "max_bytes": 17,
        },
        {"spelling": spelling_log_probs(vocabularies.rare_words)},
    )


def set_up_game(name, **changes):
    torch.manual_seed(0)
    recipe, config = RECIPES[name]
    game = recipe.build(config.model_copy(update=changes), make_spec())
    return set_up(game, TensorView(canonical(TEXTS * 4, 17)), batch_size=4)


def adversarial_step(table, number=0, progress=0.5):
    return TrainingStep(table, table.game.phases[-1], number, number, progress)


@pytest.mark.parametrize("name", RECIPES)
def test_decoding_one_hot_rows_undoes_encoding(name):
    tokens = TokenIds("character" if name == "wgan-gp-chars" else "word", make_spec())
    encoded = tokens.encode(Batch(canonical(TEXTS, 17))).data
    assert texts_of(tokens.decode(encoded)) == TEXTS
    assert texts_of(tokens.decode(one_hot(encoded, tokens.vocab_size).float())) == TEXTS


@pytest.mark.parametrize("name", GUMBEL)
def test_after_the_end_fakes_are_ends_without_gradient(name):
    """As the padding of real texts is, so that it tells nothing of fakes."""
    game = set_up_game(name).game
    rows = game.fake(64, Key.of("fakes"), None, 0.3)
    ids = rows.argmax(-1)
    after = ~game.generator.mask(ids)
    assert bool(after.any()) and bool((ids[after] == END).all())
    assert torch.equal(rows[after], one_hot(ids[after], rows.shape[-1]).to(rows.dtype))
    (gradient,) = torch.autograd.grad(
        (rows[after] * torch.randn_like(rows[after])).sum(), game.generator.bias
    )
    assert not bool(gradient.any())


@pytest.mark.parametrize("name", GUMBEL)
def test_a_discriminator_sees_ids_and_their_one_hot_rows_alike(name, float64):
    discriminator = set_up_game(name).game.discriminator.eval()
    ids = Key.of("ids").integers(5, 8, 6)
    rows = one_hot(ids, len(discriminator.embedding)).double()
    torch.testing.assert_close(discriminator(ids), discriminator(rows))


def test_readings_are_texts_of_their_own(float64):
    """Logit k reads column k of the embedding alone, and all by the same layers."""
    discriminator = TextDiscriminator(9, 6, readings=3, size=1, maps=4, dropout=0.0)
    embedded = torch.randn(5, 6, 3, requires_grad=True)
    logits = discriminator.logits(embedded)
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), embedded)
    assert gradient.abs().sum((0, 1)).ne(0).tolist() == [False, True, False]
    torch.testing.assert_close(discriminator.logits(embedded.flip(2)), logits.flip(1))


def test_maxima_first_are_maxima_of_rectified_maps(float64):
    discriminator = TextDiscriminator(9, 6, readings=1, size=4, maps=3, dropout=0.0)
    torch.nn.init.normal_(discriminator.bias)
    embedded = torch.randn(5, 6, 4)
    biases = discriminator.bias.split(3)
    maps = [
        (convolution(embedded.transpose(1, 2)) + bias[:, None]).relu().amax(2)
        for convolution, bias in zip(discriminator.convolutions, biases, strict=True)
    ]
    features = torch.cat(maps, 1)
    change, gate = discriminator.highway(features).chunk(2, 1)
    mixed = gate.sigmoid() * change.relu() + (1 - gate.sigmoid()) * features
    torch.testing.assert_close(discriminator.logits(embedded), discriminator.output(mixed)[:, 0])


def test_texts_shorter_than_a_convolution_are_read():
    assert TextDiscriminator(9, 1, 1, 4, 3, 0.0)(torch.zeros(2, 1, dtype=torch.int64)).shape == (2,)


@pytest.mark.parametrize("name", RECIPES)
def test_no_parameter_cancels_in_the_losses(name, float64):
    """A last bias would have a gradient of rounding errors, which Adam makes steps of full size."""
    table = set_up_game(name)
    table.game.double()
    for player in ("discriminator", "generator"):
        largest = dict.fromkeys(table.optimizers[player].names, 0.0)
        for number in range(3):
            step = adversarial_step(table, number)
            move = Move(player)
            index = step.phase.moves.index(move)
            gradient = step.gradient(move, step.draw(index))
            for parameter, tensor in zip(largest, gradient.tensors, strict=True):
                largest[parameter] = max(largest[parameter], float(tensor.abs().max()))
        assert [parameter for parameter, size in largest.items() if size < 1e-9] == []


def test_the_penalty_is_of_one_hot_rows_one_row_at_a_time(float64):
    """The norm over all positions and characters of a text, one alpha a text, no mean over the batch."""
    critic = TextCritic(7, 5, width=6, blocks=2, kernel=3)
    real, fake = Key.of("real").integers(7, 4, 5), torch.rand(4, 5, 7, dtype=torch.float64).softmax(-1)
    alpha = torch.rand(4, dtype=torch.float64)
    found = WGANGP().function(critic, critic.embed(real), critic.embed(fake), None, alpha)
    for row in range(4):
        mixed = interpolate(one_hot(real, 7).double(), fake, alpha)[row : row + 1].requires_grad_()
        (gradient,) = torch.autograd.grad(critic(mixed).sum(), mixed)
        torch.testing.assert_close(found[row], (gradient.norm() - 1) ** 2)


@pytest.mark.parametrize("name", RECIPES)
def test_every_move_reads_all_of_train_in_an_epoch(name):
    """None of its rows is skipped, however many moves the discriminator makes in a step."""
    table = set_up_game(name, discriminator_steps=2)
    moves = len(table.game.phases[-1].moves)
    for index in range(moves):
        seen = [adversarial_step(table, number).draw(index).real().data for number in range(4)]
        assert sorted(torch.cat(seen).tolist()) == sorted(
            table.game.representation.encode(Batch(canonical(TEXTS * 4, 17))).data.tolist()
        )


@pytest.mark.parametrize("name", GUMBEL)
def test_the_temperature_reaches_its_end_in_the_last_step(name):
    table = set_up_game(name, pretraining=0.5)
    config, temperature = RECIPES[name][1], table.game.estimator.temperature
    play(table, 6)
    assert table.game.current_progress() == 1.0
    assert schedule_value(temperature, 1.0) == pytest.approx(config.temperature_end)
    assert schedule_value(temperature, 0.0) == pytest.approx(config.temperature)


@pytest.mark.parametrize("name", GUMBEL)
def test_pretraining_is_a_share_of_the_steps_and_may_be_none(name):
    phases = set_up_game(name, pretraining=0.75).game.phases
    shares = [phase.budget_share for phase in phases]
    assert [phase.name for phase in phases] == ["likelihood", "adversarial"]
    assert shares[0] / sum(shares) == pytest.approx(0.75) and not phases[0].selects
    without = set_up_game(name, pretraining=0.0).game
    assert [phase.name for phase in without.phases] == ["adversarial"]
    assert "pretraining" not in without.players


@pytest.mark.parametrize("name", GUMBEL)
def test_noise_is_added_to_the_logits_of_tokens(name):
    """Samples of the game are samples of the generator: their first tokens have its probabilities."""
    game, n = set_up_game(name).game.eval(), 4000
    with torch.no_grad():
        ids = game.fake(n, Key.of("noise"), None, 1.0)
        logits, _ = game.generator.step(game.generator.initial(1), None)
    ids = ids if ids.dim() == 2 else ids.argmax(-1)
    p = logits[0].softmax(0)
    z = (torch.bincount(ids[:, 0], minlength=len(p)) / n - p) / (p * (1 - p) / n).sqrt()
    assert float(z.abs().max()) < 4.5
