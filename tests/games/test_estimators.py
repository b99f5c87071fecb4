"""Estimators against the exact gradient, by enumeration of all sequences."""

import math

import pytest
import torch
from refusals import refused
from tiny_sequences import exact_gradient, flat, rows, sequences, tiny_game, tiny_generator
from torch import nn
from toy_games import differing, play, set_up, training_step, whole

from gancore.errors import ConfigError
from gancore.games import (
    Adam,
    AdversarialGame,
    Cost,
    Draw,
    Move,
    Pathwise,
    Phase,
    Player,
    Reinforce,
    StraightThroughGumbel,
    adversarial_moves,
    exponential,
    normal,
)
from gancore.games.estimators import join_rows, write_one_hot
from gancore.games.reinforce import discounted
from gancore.nn import Recurrent, SequenceGenerator, until_end
from gancore.random import Key

ESTIMATORS = {
    "gumbel": lambda: StraightThroughGumbel(exponential(1.0, 0.2)),
    "relgan": lambda: StraightThroughGumbel(exponential(1.0, 0.01), hard=False),
    "reinforce": lambda: Reinforce(baseline="position", entropy_bonus=0.1),
    "learned": lambda: Reinforce(baseline="learned", reward="centred"),
    "rollouts": lambda: Reinforce(baseline="ema", rollouts=2, reward="probability"),
    "pathwise": Pathwise,
}


def game_of(name, **settings):
    return tiny_game(ESTIMATORS[name](), latent=3 if name == "pathwise" else 0, **settings)


def expected_gradient(estimator, generator, rewards):
    """E of the estimate, exact: the surrogate of every sequence, weighted by its probability."""
    each = sequences(generator.end)
    mask = until_end(each, generator.end)
    returns = discounted(torch.where(mask, rewards(each), 0.0), estimator.discount)
    weights = generator.log_prob(each).exp().detach()
    total = sum(
        weight * estimator.surrogate(generator, each[i : i + 1], returns[i : i + 1]).terms["loss"].numerator
        for i, weight in enumerate(weights)
    )
    return flat(list(torch.autograd.grad(total, list(generator.parameters()))))


def dense_rewards(tokens):
    """r_t depends on all tokens up to t."""
    return (tokens.double().cumsum(1) * torch.tensor([1.0, -2.0, 1.5])).sin()


@pytest.mark.parametrize("end", [None, 0])
@pytest.mark.parametrize("baseline", ["none", "ema", "position", "learned"])
def test_reinforce_is_unbiased_with_undiscounted_returns_and_any_baseline(baseline, end, float64):
    generator, estimator = tiny_generator(end), Reinforce(baseline=baseline)
    estimator.attach(generator)
    if baseline in ("ema", "position"):
        nn.init.normal_(estimator.average)
    exact = exact_gradient(generator, lambda x: torch.where(until_end(x, end), dense_rewards(x), 0.0).sum(1))
    found = expected_gradient(estimator, generator, dense_rewards)
    torch.testing.assert_close(found, flat(exact), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("discount", "least"), [(0.9, 0.01), (0.23, 0.1)])
def test_a_discount_is_biased(discount, least, float64):
    generator, estimator = tiny_generator(), Reinforce(discount, baseline="none")
    exact = flat(exact_gradient(generator, lambda x: dense_rewards(x).sum(1)))
    bias = expected_gradient(estimator, generator, dense_rewards) - exact
    assert float(bias.norm() / exact.norm()) > least


def test_rewards_by_position_that_read_later_tokens_are_biased(float64):
    """A return leaves out the rewards before it, which here depend on the token as well."""
    generator, estimator = tiny_generator(), Reinforce(baseline="none")

    def looks_ahead(tokens):
        return dense_rewards(tokens.flip(1)).flip(1)

    exact = flat(exact_gradient(generator, lambda x: looks_ahead(x).sum(1)))
    bias = expected_gradient(estimator, generator, looks_ahead) - exact
    assert float(bias.norm() / exact.norm()) > 0.1


def test_a_mean_over_tokens_instead_of_rows_is_biased(float64):
    """Enumerated over all pairs of rows: sum over tokens / number of tokens, and the mean over rows."""
    generator, end = tiny_generator(end=0), 0
    each = sequences(end)
    mask = until_end(each, end)
    returns = discounted(torch.where(mask, dense_rewards(each), 0.0), 1.0)
    costs = -torch.where(mask, returns * generator.log_probs(each), 0.0).sum(1)
    p, lengths = generator.log_prob(each).exp().detach(), mask.sum(1).double()
    pairs = p[:, None] * p
    by_tokens = (costs[:, None] + costs) / (lengths[:, None] + lengths)
    by_rows = (costs[:, None] + costs) / 2
    found = [
        flat(list(torch.autograd.grad((pairs * c).sum(), list(generator.parameters()), retain_graph=True)))
        for c in (by_tokens, by_rows)
    ]
    rewarded = lambda x: torch.where(until_end(x, end), dense_rewards(x), 0.0).sum(1)  # noqa: E731
    exact = flat(exact_gradient(generator, rewarded))
    torch.testing.assert_close(found[1], exact, rtol=1e-9, atol=1e-12)
    cosine = torch.nn.functional.cosine_similarity(found[0], exact, dim=0)
    assert float(cosine) < 0.999  # no factor on the learning rate repairs it


def mean_gradient(game, batch, repeats):
    """Mean and standard error of the generator's gradient over draws, flat."""
    table = set_up(lambda: game, rows(), batch_size=batch)
    move, found = Move("generator"), []
    for number in range(repeats):
        step = training_step(table, step=number, progress=1.0)
        gradient = step.gradient(move, step.draw(1))
        found.append(flat(gradient.materialize(step.params("generator"))))
    samples = torch.stack(found).double()
    return samples.mean(0), samples.std(0) / math.sqrt(repeats)


@pytest.mark.parametrize("name", ["none", "position", "rollouts"])
@pytest.mark.parametrize("end", [None, 0])
def test_the_games_gradient_is_that_of_the_expected_cost(name, end):
    """Through draws, discriminator and loss: every number within 4.5 standard errors."""
    estimator = Reinforce(baseline="none", rollouts=3) if name == "rollouts" else Reinforce(baseline=name)
    game = tiny_game(estimator, end=end)
    mean, error = mean_gradient(game, batch=256, repeats=20)

    def reward(tokens):
        return torch.nn.functional.logsigmoid(game.discriminator(tokens))

    exact = flat(exact_gradient(game.generator, reward)).double()
    assert float(((mean - exact) / error.clamp_min(1e-6)).abs().max()) < 5.5
    assert float((mean - exact).norm() / exact.norm()) < 0.2


def test_a_biased_estimator_is_found_biased_by_the_same_check():
    game = tiny_game(StraightThroughGumbel(0.3))
    mean, error = mean_gradient(game, batch=256, repeats=20)
    exact = exact_gradient(game.generator, lambda x: torch.nn.functional.logsigmoid(game.discriminator(x)))
    assert float(((mean - flat(exact)) / error.clamp_min(1e-6)).abs().max()) > 8


def test_pathwise_is_the_exact_gradient_of_what_the_discriminator_sees(float64):
    """A difference quotient of the cost along a direction."""
    game = game_of("pathwise")
    table = set_up(lambda: game, rows(), batch_size=16)
    step, parameters = training_step(table), list(game.generator.parameters())
    move, draw = Move("generator"), step.draw(1)
    gradient = step.gradient(move, draw).materialize(step.params("generator"))
    direction = [torch.randn_like(p) for p in parameters]
    slope = sum((g * d).sum() for g, d in zip(gradient, direction, strict=True))
    values = []
    for side in (1e-5, -1e-5):
        with torch.no_grad():
            torch._foreach_add_(parameters, direction, alpha=side)
            values.append(step.evaluate_cost(move, draw).total())
            torch._foreach_add_(parameters, direction, alpha=-side)
    torch.testing.assert_close((values[0] - values[1]) / 2e-5, slope, rtol=1e-6, atol=1e-9)


def test_straight_through_rows_have_the_gradient_of_the_softmax(float64):
    """A row may depend on the rows before; all are parts of one tensor, which is made once."""
    scores, probe, mix = torch.randn(2, 5, 7, requires_grad=True), torch.randn(5, 2, 7), torch.randn(7, 7)
    memory = torch.full((5, 2, 7), torch.nan)
    first = write_one_hot(scores[0], memory, 0)
    second = write_one_hot(scores[1] + first @ mix, memory, 1)
    rows = join_rows(memory, [first, second])
    assert rows.data_ptr() == memory.data_ptr() and torch.equal(rows, torch.stack([first, second], 1))
    assert torch.equal(first, nn.functional.one_hot(scores[0].argmax(-1), 7).double())
    soft = scores[0].softmax(-1)
    straight = first.detach() + soft - soft.detach()  # the value of the row, the gradient of the softmax
    after = (scores[1] + straight @ mix).softmax(-1)
    wanted = torch.stack([straight, after], 1)
    (found,) = torch.autograd.grad((rows * probe).sum(), scores, create_graph=True)
    (known,) = torch.autograd.grad((wanted * probe).sum(), scores, create_graph=True)
    torch.testing.assert_close(found, known)
    second_order = [torch.autograd.grad(g.square().sum(), scores)[0] for g in (found, known)]
    torch.testing.assert_close(*second_order)  # consensus optimization differentiates twice


@pytest.mark.parametrize("hard", [True, False])
def test_gumbel_samples_are_the_generators(hard, float64):
    """Ids where no gradient is needed, rows of the same tokens where it is; nothing after the end."""
    generator, estimator, key = tiny_generator(end=0), StraightThroughGumbel(0.5, hard), Key.of("gumbel")
    made = estimator.fake(generator, 20_000, key, None, 1.0)
    with torch.no_grad():
        frozen = estimator.fake(generator, 20_000, key, None, 1.0)
    ids = made.argmax(-1) if hard else frozen.argmax(-1)
    assert torch.equal(frozen, ids) if hard else torch.equal(frozen, made)
    if hard:
        assert not bool(ids[~generator.mask(ids)].any())
        each = sequences(0)
        counts = (ids[:, None] == each).all(2).sum(0)
        p = generator.log_prob(each).exp().detach()
        z = (counts / 20_000 - p) / (p * (1 - p) / 20_000).sqrt()
        assert int(counts.sum()) == 20_000 and float(z.abs().max()) < 4.5


def test_a_temperature_ends_at_the_value_that_its_schedule_states():
    """RelGAN's beta_max^(i / N) is beta_max in the last of N steps, after a resume too."""
    seen = []

    def temperature(progress):
        seen.append(exponential(1.0, 0.01)(progress))
        return seen[-1]

    play(lambda: tiny_game(StraightThroughGumbel(temperature)), rows(), 10)
    assert seen[-1] == pytest.approx(0.01) and seen[0] == pytest.approx(0.01**0.1)
    assert len(seen) == 20  # one of each move


def test_discriminator_logits_use_the_temperature_of_training():
    class Recorded(StraightThroughGumbel):
        def fake(self, generator, n, key, condition, progress):
            self.seen = progress
            return super().fake(generator, n, key, condition, progress)

    table = play(lambda: tiny_game(Recorded()), rows(), 4)
    batch = rows().get_batch(torch.arange(8), Key.of(1))
    real, fake = table.game.discriminator_logits(batch, Key.of(2))
    assert table.game.estimator.seen == 1.0 and real.shape == fake.shape == (8,)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_micro_batches_train_the_same_as_the_whole_batch(name, dense, float64):
    if dense and name == "rollouts":
        pytest.skip("rollouts reward whole sequences")
    results = [
        whole(play(lambda: game_of(name, dense=dense, end=0), rows(), 3, batch_size=16, micro_batches=parts))
        for parts in (1, 4)
    ]
    for key in results[0]:
        torch.testing.assert_close(results[0][key], results[1][key], rtol=1e-6, atol=1e-9, msg=key)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_resumed_run_equals_an_uninterrupted_one(name, tmp_path):
    runs = [
        whole(play(lambda: game_of(name, end=0), rows(), 6, kills=kills, folder=tmp_path))
        for kills in ((), (2, 5))
    ]
    assert differing(*runs) == []


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_makes_the_generator_produce_what_the_discriminator_likes(name):
    """The data never hold token 0; after 150 steps it is rarer."""
    optimizer = Adam(0.03, (0.5, 0.9))
    table = play(
        lambda: game_of(name, generator_optimizer=optimizer, discriminator_optimizer=optimizer),
        rows(),
        100,
        batch_size=32,
    )
    start = game_of(name)
    shares = [
        float((game.sampler().sample(500, Key.of("shares")) == 0).float().mean())
        for game in (start, table.game)
    ]
    assert shares[0] > 0.15 and shares[1] < 0.6 * shares[0], shares


def test_a_position_baseline_is_the_mean_of_returns_by_position():
    """No update between the moves: the discriminator and the generator stand still."""
    game = tiny_game(
        Reinforce(baseline="position"), dense=True, end=0,
        generator_optimizer=Adam(0.0), discriminator_optimizer=Adam(0.0),
    )  # fmt: skip
    play(lambda: game, rows(), 200, batch_size=256)
    each = sequences(0)
    p, mask = game.generator.log_prob(each).exp().detach(), until_end(each, 0)
    reward = torch.where(mask, torch.nn.functional.logsigmoid(game.discriminator(each)), 0.0)
    returns, weight = discounted(reward, 1.0), p[:, None] * mask
    exact = (weight * returns).sum(0) / weight.sum(0)
    torch.testing.assert_close(game.estimator.average, exact.detach(), rtol=0.05, atol=0.02)


def test_masked_reals_and_fakes_are_each_divided_by_their_own_number(float64):
    """D's cost by hand, with sequences of unequal lengths."""
    game = tiny_game(Reinforce(), dense=True, end=0)
    table = set_up(lambda: game, rows(), batch_size=16)
    step = training_step(table)
    draw: Draw = step.draw(0)
    cost: Cost = step.evaluate_cost(Move("discriminator"), draw)
    real, fake = draw.real().data, game.make_fake(draw, None)
    masks = until_end(real, 0), until_end(fake, 0)
    assert int(masks[0].sum()) != int(masks[1].sum())
    softplus = torch.nn.functional.softplus
    wanted = softplus(-game.discriminator(real))[masks[0]].mean()
    wanted = wanted + softplus(game.discriminator(fake))[masks[1]].mean()
    torch.testing.assert_close(cost.total(), wanted)


def test_a_loss_that_compares_reals_with_fakes_cannot_be_masked_separately():
    game = tiny_game(Reinforce(reward="probability"), dense=True, end=0, loss="relativistic")
    table = set_up(lambda: game, rows())
    with refused(ConfigError, fix="nonsaturating"):
        step = training_step(table)
        step.gradient(Move("discriminator"), step.draw(0))


def test_pretraining_is_a_phase_with_a_player_of_its_own():
    """After it, the generator's likelihood of the data is higher, and the discriminator is as built."""
    phases = [
        Phase([Move("pretraining", "nll")], steps=60, name="likelihood", selects=False),
        Phase(adversarial_moves(2), name="adversarial"),
    ]
    players = {"pretraining": Player(["generator"], Adam(0.02))}

    def build():
        return tiny_game(Reinforce(), phases=phases, players=players)

    data = rows().get_batch(torch.arange(48), Key.of(1)).data
    before = build()
    pretrained = play(build, rows(), 61).game
    gain = pretrained.generator.log_prob(data).mean() - before.generator.log_prob(data).mean()
    assert float(gain) > 0.5
    assert [len(phase.moves) for phase in pretrained.phases] == [1, 3]
    assert set(pretrained.players) == {"generator", "discriminator", "pretraining"}


def test_a_sampler_has_a_temperature_and_a_likelihood_where_the_generator_has_them():
    sampler = game_of("reinforce").sampler()
    assert sampler.capabilities == {"sample", "temperature", "likelihood"}
    cold = sampler.sample(300, Key.of("cold"), temperature=1e-5)
    assert len(cold.unique(dim=0)) == 1
    assert len(sampler.sample(300, Key.of("cold")).unique(dim=0)) > 5
    latent = tiny_game(Reinforce(), latent=2).sampler()
    assert latent.capabilities == {"sample", "temperature"}
    pathwise = game_of("pathwise").sampler()
    assert pathwise.capabilities == {"sample", "latents"}
    latents = pathwise.latents(9, Key.of(3))
    assert torch.equal(pathwise.render(latents), pathwise.sample(9, Key.of(3)))


@pytest.mark.parametrize("dense", [False, True])
def test_a_constant_reward_asks_no_discriminator_and_has_no_expected_gradient(dense, float64):
    game = tiny_game(Reinforce(baseline="none", reward="constant"), dense=dense, end=0)
    game.discriminator.logits = lambda *given: pytest.fail("the discriminator was asked")
    setup = set_up(lambda: game, rows(), batch_size=8)
    cost = game.generator_cost(training_step(setup).draw(1))
    assert bool((cost.kept["returns"][0] <= 8).all()) and cost.kept["returns"][0][0] == 8
    found = expected_gradient_of_constant(game.estimator, game.generator)
    assert float(found.abs().max()) < 1e-12
    for settings in ({"baseline": "ema"}, {"baseline": "none", "rollouts": 2}):
        with refused(ConfigError, "constant", settings["baseline"], fix="rollouts=0"):
            Reinforce(reward="constant", **settings)


def expected_gradient_of_constant(estimator, generator):
    each = sequences(generator.end)
    weights = generator.log_prob(each).exp().detach()
    costs = [estimator.surrogate(generator, row[None], torch.ones(1, each.shape[1])) for row in each]
    total = sum(w * cost.terms["loss"].numerator for w, cost in zip(weights, costs, strict=True))
    return flat(list(torch.autograd.grad(total, list(generator.parameters()))))


def test_wrong_settings_are_refused():
    with refused(ConfigError, "discount=2"):
        Reinforce(discount=2)
    with refused(ConfigError, "rollouts=4", fix="discount=1"):
        Reinforce(discount=0.9, rollouts=4)
    with refused(ConfigError, "Pathwise", fix="SequenceGenerator"):
        tiny_game(Pathwise())
    with refused(ConfigError, "prior", "estimator"):
        tiny_game(Reinforce(), prior=normal(3))
    with refused(ConfigError, "AdversarialGame", fix="DiscreteGame"):
        tiny_game(Reinforce(), game=AdversarialGame)
    table = set_up(lambda: tiny_game(Reinforce(rollouts=2), dense=True), rows())
    step = training_step(table)
    with refused(ConfigError, "rollouts=2", fix="rollouts=0"):
        step.gradient(Move("generator"), step.draw(1))
    coupled = set_up(lambda: tiny_game(Reinforce(), loss="relativistic-average"), rows())
    step = training_step(coupled)
    with refused(ConfigError, fix="nonsaturating"):
        step.gradient(Move("generator"), step.draw(1))


@pytest.mark.parametrize("name", ["gumbel", "reinforce"])
def test_dropout_of_the_generator_acts_on_its_likelihood_alone(name):
    torch.manual_seed(0)
    generator = SequenceGenerator(Recurrent(4, 5, cell="lstm"), 3, 3, dropout=0.9).train()
    estimator, key = ESTIMATORS[name](), Key.of("dropout")
    estimator.attach(generator)
    trained = estimator.fake(generator, 50, key, None, 1.0)
    evaluated = estimator.fake(generator.eval(), 50, key, None, 1.0)
    assert torch.equal(trained, evaluated)
