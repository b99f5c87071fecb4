"""REINFORCE recipes: no bias, rewards of their rows, a control without signal, the published parts."""

from __future__ import annotations

import pytest
import torch
from gancore_text.maskgan import MaskGAN
from gancore_text.policy_gradient import weight_penalty
from gancore_text.scratchgan import RecurrentDiscriminator, ScratchGAN, sine_positions
from gancore_text.seqgan import FILTERS, ConvolutionalDiscriminator, SeqGAN, SeqGANConfig
from gancore_text.tokenizer import END, RESERVED
from pydantic import ValidationError
from tiny_text_gans import all_sequences, context_of, draw_of, gradient, tiny_game, tiny_spec

from gancore.games.reinforce import discounted
from gancore.random import Key

SCRATCH = {"discriminator_width": 6, "discriminator_dropout": 0.5}
SEQ = {"discriminator_filters": 0.02, "rollouts": 2}
RECIPES = {
    "scratchgan": (ScratchGAN, SCRATCH),
    "seqgan": (SeqGAN, SEQ),
    "maskgan": (MaskGAN, {"discriminator_width": 6}),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCORE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def spec(tmp_path):
    return tiny_spec(tmp_path)


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", ["scratchgan", "maskgan"])
def test_rewards_by_position_read_no_later_token(name, spec):
    recipe, settings = RECIPES[name]
    game = tiny_game(recipe(), spec, **settings).eval()
    tokens = all_sequences(game)
    context = None if name == "scratchgan" else context_of(game, [None] * 3).expand(len(tokens), -1)
    for t in range(tokens.shape[1]):
        changed = tokens.clone()
        changed[:, t + 1 :] = RESERVED + 1 - (changed[:, t + 1 :] == RESERVED + 1).long()
        same = [game.discriminator(each, context)[:, : t + 1] for each in (tokens, changed)]
        torch.testing.assert_close(*same, rtol=0, atol=1e-6)


@pytest.mark.parametrize("baseline", ["ema", "position", "learned"])
@pytest.mark.parametrize("name", ["scratchgan", "maskgan"])
def test_the_gradient_is_unbiased_with_the_masks_of_the_discriminator(name, baseline, spec, float64):
    """Weighted by their probability, the surrogates of all texts have the gradient of the expected reward."""
    recipe, settings = RECIPES[name]
    game = tiny_game(recipe(), spec, **settings, discount=1, baseline=baseline).double().eval()
    generator, estimator = game.generator, game.estimator
    if baseline != "learned":
        torch.nn.init.normal_(estimator.average)
    texts, context = all_sequences(game), None
    if name == "maskgan":  # the word in the middle and the end are given
        context = context_of(game, [None, 2, END])
        texts = texts[(texts[:, 0] != END) & (texts[:, 1] == 2) & (texts[:, 2] == END)]
        context = context.expand(len(texts), -1)
    log_prob = generator.log_prob(texts, context)
    assert float(log_prob.exp().sum()) == pytest.approx(1)
    rewards = 2 * game.discriminator(texts, context).sigmoid() - 1
    rewards = torch.where(game.discriminator.mask(texts), rewards, 0.0).detach()
    exact = gradient(game, -(log_prob.exp() * rewards.sum(1)).sum())
    found = 0
    for i, weight in enumerate(log_prob.exp().detach()):
        row = slice(i, i + 1)
        given = None if context is None else context[row]
        cost = estimator.surrogate(generator, texts[row], discounted(rewards[row], 1.0), given)
        found = found + weight * gradient(game, cost.terms["loss"].numerator)
    torch.testing.assert_close(found, exact, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("name", list(RECIPES))
def test_the_control_has_no_signal_of_the_discriminator(name, spec):
    recipe, settings = RECIPES[name]
    settings = {key: value for key, value in settings.items() if key != "rollouts"}
    found = {}
    for reward in ("constant", "discriminator"):
        for change in (0.0, 1.0):
            game = tiny_game(recipe(), spec, **settings, reward=reward)
            for parameter in game.discriminator.parameters():
                parameter.data.add_(change * torch.randn_like(parameter))
            cost = game.generator_cost(draw_of(game))
            found[reward, change] = gradient(game, cost.total())
    assert torch.equal(found["constant", 0.0], found["constant", 1.0])
    assert float(found["constant", 0.0].norm()) > 0
    assert not torch.allclose(found["discriminator", 0.0], found["discriminator", 1.0])


def test_the_expected_gradient_of_the_control_is_zero(spec, float64):
    game = tiny_game(ScratchGAN(), spec, **SCRATCH, reward="constant").double()
    texts = all_sequences(game)
    weights = game.generator.log_prob(texts).exp().detach()
    each = [game.estimator.surrogate(game.generator, row[None], torch.ones(1, 3)) for row in texts]
    total = sum(w * cost.terms["loss"].numerator for w, cost in zip(weights, each, strict=True))
    assert float(gradient(game, total).abs().max()) < 1e-12


def test_returns_of_rollouts_belong_to_their_row_and_prefix(spec):
    """Rewards by the first word alone: each return of a row is that of its own first word."""
    game = tiny_game(SeqGAN(), spec, **SEQ)
    game.discriminator.logits = lambda embedded, condition=None: embedded[:, 0, 0]
    draw = draw_of(game)
    tokens = game.make_fake(draw, None)
    returns = game.estimator.returns(game, draw, tokens, None, None)
    expected = game.discriminator.embedding[tokens[:, 0], 0].sigmoid()
    torch.testing.assert_close(returns, expected[:, None].expand(-1, returns.shape[1]))


def test_rollouts_are_those_of_the_generator_as_it_is(spec):
    """No older copy: once the generator can only end, the rest of every rollout is the end."""
    game = tiny_game(SeqGAN(), spec, **SEQ)
    draw = draw_of(game)
    tokens = game.make_fake(draw, None)
    game.generator.bias.data[END] = 1e6
    ended = torch.stack([torch.where(torch.arange(3) > t, END, tokens) for t in range(3)])
    with torch.no_grad():
        expected = torch.stack([game.discriminator.eval()(each).sigmoid() for each in ended], 1)
    returns = game.estimator.returns(game, draw, tokens, None, None)
    torch.testing.assert_close(returns, expected)


@pytest.mark.parametrize("name", list(RECIPES))
def test_costs_are_means_over_rows(name, spec):
    """The same rows twice: the same gradient, not twice as large."""
    recipe, settings = RECIPES[name]
    game = tiny_game(recipe(), spec, **settings)
    texts = all_sequences(game)[:8]
    context = None if name != "maskgan" else context_of(game, [None] * 3).expand(8, -1)
    found = []
    for copies in (1, 2):
        given = None if context is None else context.repeat(copies, 1)
        returns = torch.linspace(-1, 1, 8)[:, None].expand(-1, 3).repeat(copies, 1)
        cost = game.estimator.surrogate(game.generator, texts.repeat(copies, 1), returns, given)
        found.append(gradient(game, cost.terms["loss"].numerator))
    torch.testing.assert_close(*found)


def test_rewards_are_without_dropout(spec):
    game = tiny_game(ScratchGAN(), spec, **SCRATCH).train()
    draw = draw_of(game)
    tokens = game.make_fake(draw, None)
    with draw.noise():
        returns = [game.estimator.returns(game, draw, tokens, None, None) for _ in range(2)]
    assert torch.equal(*returns) and game.discriminator.dropout.training


def test_the_penalty_is_the_sum_of_squares(spec):
    discriminator = ConvolutionalDiscriminator(5, 4, 3, 0.02, 0.0)
    [penalty] = weight_penalty(0.1, "head")
    values = penalty.function(discriminator, None, None, None, torch.zeros(6))
    squares = sum(float(p.square().sum()) for p in discriminator.head.parameters())
    assert values.tolist() == pytest.approx([squares] * 6)
    assert penalty.weight == 0.1 and weight_penalty(0.0) == []


def test_the_published_convolutions_and_those_of_short_texts():
    published = ConvolutionalDiscriminator(50, 20, 64, 1.0, 0.25)
    shapes = [tuple(layer.weight.shape) for layer in published.convolutions]
    assert shapes == [(maps, 64, width) for width, maps in FILTERS.items()]
    assert sum(FILTERS.values()) == published.head.in_features == 1720
    short = ConvolutionalDiscriminator(50, 5, 64, 1.0, 0.25)
    assert len(short.convolutions) == 5 and short(torch.ones(2, 5, dtype=torch.int64)).shape == (2,)


def test_positions_are_told_apart():
    positions = sine_positions(60)
    assert positions.shape == (60, 8) and len(positions.unique(dim=0)) == 60


def test_a_recurrent_discriminator_masks_what_follows_the_end():
    discriminator = RecurrentDiscriminator(5, 4, 3, 6, 0.0)
    assert discriminator.mask(torch.tensor([[2, END, END, END]])).tolist() == [[True, True, False, False]]


def test_phases_are_shares_of_the_budget_and_select_in_the_game_alone(spec):
    game = tiny_game(SeqGAN(), spec, **SEQ, pretraining=0.5, discriminator_pretraining=0.25)
    assert [(p.name, p.budget_share, p.selects) for p in game.phases] == [
        ("likelihood", 0.5, False),
        ("discriminator", 0.25, False),
        ("adversarial", 0.25, True),
    ]
    scratch = tiny_game(ScratchGAN(), spec, **SCRATCH)
    assert [phase.name for phase in scratch.phases] == ["adversarial"]
    with pytest.raises(ValidationError, match="leave nothing"):
        SeqGANConfig(pretraining=0.6, discriminator_pretraining=0.4)


def test_keys_without_effect_are_named():
    control = SeqGANConfig(reward="constant", pretraining=0.0).unused_keys()
    assert {"rollouts", "baseline", "baseline_decay", "pretraining_lr"} <= control.keys()
    assert "rollouts" not in SeqGANConfig().unused_keys()


def test_samples_are_keyed_by_row(spec):
    game = tiny_game(ScratchGAN(), spec, **SCRATCH)
    whole = game.generator.sample(8, Key.of("rows"))
    assert torch.equal(whole, game.generator.sample(8, Key.of("rows")))
