"""The contracts carry very different games through the one loop."""

import math

import pytest
import torch
from torch import nn
from toy_games import DenseDiscriminator, Rows, differing, play, points, set_up, training_step, whole

from gancore.games import (
    R1,
    SGD,
    WGANGP,
    Adam,
    AdversarialGame,
    Cost,
    Discriminator,
    Game,
    Move,
    Phase,
    Player,
    TokenDiscriminator,
    adversarial_game,
    compute_jacobian,
    cosine,
    fitted_game,
    likelihood_game,
    noise,
    normal,
)
from gancore.games.penalties import r1
from gancore.random import Key
from gancore.random import RowRange as Cut


class Gaussian(nn.Module):
    """Independent normals, with an exact likelihood."""

    def __init__(self, size: int = 2):
        super().__init__()
        self.mean, self.log_std = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.zeros(size))

    def forward(self, latents):
        return self.mean + self.log_std.exp() * latents

    def log_prob(self, x):
        z = (x - self.mean) / self.log_std.exp()
        return (-0.5 * z**2 - self.log_std - 0.5 * math.log(2 * math.pi)).sum(1)

    def sample(self, n, key):
        return self(key.normal(n, len(self.mean)))


def test_one_player_reaches_the_maximum_of_the_likelihood():
    data = points(64)
    optimizer = Adam(cosine(0.1, 0.001), betas=(0.9, 0.99))
    game = play(lambda: likelihood_game(Gaussian, optimizer=optimizer), data, 300, batch_size=64).game
    assert torch.allclose(game.model.mean, data.mean(0), atol=1e-3)
    assert torch.allclose(game.model.log_std.exp(), data.std(0, correction=0), atol=1e-3)


class Pretrained(AdversarialGame):
    """Its generator learns the data's mean before it meets a discriminator."""

    def cost(self, move, draw):
        if move.cost != "mean":
            return super().cost(move, draw)
        error = self.make_fake(draw, None) - self.real(draw).data
        return Cost().add("mean", error.square().sum(1))


class NoisyDiscriminator(DenseDiscriminator):
    def logits(self, embedded, condition=None):
        return super().logits(embedded + 0.1 * noise(len(embedded), embedded.device).normal(*embedded.shape))


def pretrained():
    game = adversarial_game(
        generator=lambda: nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)),
        discriminator=NoisyDiscriminator,
        prior=normal(3),
        penalties=[R1(0.5, every=4)],
        ema_halflife=50.0,
        game=Pretrained,
    )
    game.phases = [Phase([Move("generator", "mean")], steps=7, name="pretraining"), *game.phases]
    return game


def test_pretraining_then_adversarial_killed_in_each_phase_equals_an_undisturbed_run(tmp_path):
    undisturbed = whole(play(pretrained, points(), 20))
    killed = whole(play(pretrained, points(), 20, kills=(3, 7, 12), folder=tmp_path))
    assert differing(undisturbed, killed) == []
    assert differing(undisturbed, whole(play(pretrained, points(), 19))) != []


def near_identity():
    layer = nn.Linear(2, 2)
    nn.init.eye_(layer.weight)
    return layer


class Cycle(Game):
    """CycleGAN's shape: two generators, two discriminators, two unpaired sets, and the way there and back."""

    def __init__(self):
        super().__init__()
        self.to_b, self.to_a = near_identity(), near_identity()
        self.judge_a, self.judge_b = DenseDiscriminator(), DenseDiscriminator()
        names = ("to_b", "to_a", "judge_a", "judge_b")
        self.players = {name: Player([name], Adam(0.02, (0.5, 0.9))) for name in names}
        self.phases = [Phase([Move(name) for name in ("judge_a", "judge_b", "to_b", "to_a")])]

    def cost(self, move, draw):
        a, b = draw.real("a").data, draw.real("b").data
        if move.player.startswith("judge"):
            with draw.freeze_opponents():
                real, fake = (a, self.to_a(b)) if move.player == "judge_a" else (b, self.to_b(a))
            judge = getattr(self, move.player)
            cost = Cost().add("real", (judge(real) - 1) ** 2).add("fake", judge(fake) ** 2)
            return cost.add("r1", r1(judge, real, None, None, None))
        there, back, judge = (
            (self.to_b, self.to_a, self.judge_b)
            if move.player == "to_b"
            else (self.to_a, self.to_b, self.judge_a)
        )
        start = a if move.player == "to_b" else b
        fake = there(start)
        cost = Cost().add("fool", (judge(fake) - 1) ** 2)
        return cost.add("cycle", (back(fake) - start).square().sum(1), scale=0.5)


def test_four_players_over_two_unpaired_sets():
    a, b = points(48, centre=-1.0), points(30, centre=1.0, seed=1)
    game = play(Cycle, {"a": Rows(a), "b": Rows(b)}, 250, batch_size=16).game
    with torch.no_grad():
        assert torch.allclose(game.to_b(a).mean(0), b.mean(0), atol=0.3)
        assert torch.allclose(game.to_a(b).mean(0), a.mean(0), atol=0.3)
        assert (game.to_a(game.to_b(a)) - a).abs().mean() < 0.2


class Shared(Game):
    """One encoder, two players that pull at it, the second with a tenth of the rate."""

    def __init__(self):
        super().__init__()
        self.encoder, self.head = nn.Linear(2, 1), nn.Linear(1, 1)
        self.players = {
            "first": Player(["encoder"], SGD(0.5)),
            "second": Player({"encoder": 0.1, "head": 1.0}, SGD(0.5)),
        }
        self.phases = [Phase([Move("first"), Move("second")])]

    def cost(self, move, draw):
        code = self.encoder(draw.real().data).squeeze(1)
        pulls = Cost().add("pull", code * (1.0 if move.player == "first" else 3.0))
        return pulls if move.player == "first" else pulls.add("head", self.head(code.detach()[:, None]))


def test_a_shared_encoder_moves_by_the_sum_of_both_players_updates(float64):
    data = points(8)
    before = set_up(Shared, data).game
    after = play(Shared, data, 1).game
    moved = after.encoder.weight - before.encoder.weight
    assert torch.allclose(moved, -0.5 * (1.0 + 0.1 * 3.0) * data.mean(0, keepdim=True), atol=1e-14)
    assert torch.allclose(after.head.bias - before.head.bias, torch.tensor([-0.5]), atol=1e-14)


VOCABULARY = 7


def compute_logits(embedded, layer):
    return layer(torch.tanh(embedded).cumsum(1)).mean((1, 2))


class Tokens(TokenDiscriminator):
    def __init__(self):
        super().__init__(VOCABULARY, 3)
        self.layer = nn.Linear(3, 4)

    def logits(self, embedded, condition=None):
        return compute_logits(embedded, self.layer)


class OneHots(Discriminator):
    """The same function of one-hot rows, with nothing clever about it."""

    def __init__(self):
        super().__init__()
        self.embedding, self.layer = nn.Parameter(torch.randn(VOCABULARY, 3) / 3**0.5), nn.Linear(3, 4)

    def logits(self, embedded, condition=None):
        return compute_logits(embedded @ self.embedding, self.layer)


@pytest.mark.parametrize("penalty", [R1(0.7), R1(0.7, every=2), WGANGP(10.0), WGANGP(10.0, every=2)])
@pytest.mark.parametrize("reals", ["ids", "simplex rows"])
def test_a_penalty_on_embedded_tokens_is_the_dense_one_on_one_hots(penalty, reals, float64):
    def build(discriminator):
        return lambda: adversarial_game(
            generator=lambda: nn.Sequential(
                nn.Linear(3, 5 * VOCABULARY), nn.Unflatten(1, (5, VOCABULARY)), nn.Softmax(2)
            ),
            discriminator=discriminator,
            prior=normal(3),
            penalties=[penalty],
            generator_optimizer=SGD(0.1),
            discriminator_optimizer=SGD(0.1),
        )

    ids = torch.randint(VOCABULARY, (12, 5), generator=torch.Generator().manual_seed(0))
    one_hot = nn.functional.one_hot(ids, VOCABULARY).double()
    data = {"ids": (ids, one_hot), "simplex rows": (one_hot.mul(0.9).add(0.1 / VOCABULARY),) * 2}[reals]
    tables = [set_up(build(d), x) for d, x in zip((Tokens, OneHots), data, strict=True)]
    for index, move in training_step(tables[0]).due_moves():
        clever, dense = (training_step(t).gradient(move, training_step(t).draw(index)) for t in tables)
        assert clever.means.keys() == dense.means.keys()
        for name in clever.means:
            assert torch.allclose(clever.means[name], dense.means[name], rtol=0, atol=1e-12)
        for one, other in zip(clever.tensors, dense.tensors, strict=True):
            assert (one is None) == (other is None)
            assert one is None or torch.allclose(one, other, rtol=0, atol=1e-12)
    trained = [play(build(d), x, 6).game.discriminator for d, x in zip((Tokens, OneHots), data, strict=True)]
    assert torch.allclose(trained[0].embedding, trained[1].embedding, rtol=0, atol=1e-12)


class Masked(Game):
    """A cost of a plain term and two masked ones: rows with a label, and steps of ragged rows."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(3, 3)
        self.players, self.phases = {"net": Player(["net"], SGD(0.1))}, [Phase([Move("net")])]

    def cost(self, move, draw):
        batch = draw.real()
        out = torch.tanh(self.net(batch.data))  # (rows, 3)
        cost = Cost().add("plain", out.square().sum(1))
        cost.add("rows", out[:, 0], mask=batch.condition["labelled"], scale=0.3)
        cost.add("steps", out.exp(), mask=batch.condition["steps"], scale=2.0)
        return cost.log("largest", out.amax(1), mask=batch.condition["labelled"])


def masked_rows():
    """Eight rows of which no labelled one falls into the first quarter of the global batch."""
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(8, 3, generator=generator)
    order = set_up(Masked, data).batches.indices("train", 0, 0, Cut.all(8))
    labelled = torch.zeros(8)
    labelled[order[[2, 5, 6]]] = 1.0
    steps = (torch.arange(3) < torch.randint(0, 4, (8, 1), generator=generator)).double()
    return Rows(data, {"labelled": labelled, "steps": steps})


def test_unequal_weights_over_micro_batches_add_up_to_the_joined_batch(float64):
    data = masked_rows()
    joined, *parted = (set_up(Masked, data, micro_batches=k) for k in (1, 2, 4))
    expected = training_step(joined).gradient(Move("net"), training_step(joined).draw(0))
    x, condition = data.data, data.condition
    out = torch.tanh(joined.game.net(x))
    by_hand = (
        out.square().sum(1).mean()
        + 0.3 * (out[:, 0] * condition["labelled"]).sum() / 3
        + 2.0 * (out.exp() * condition["steps"]).sum() / condition["steps"].sum()
    )
    for mine, theirs in zip(
        torch.autograd.grad(by_hand, joined.game.net.parameters()), expected.tensors, strict=True
    ):
        assert torch.allclose(mine, theirs, rtol=0, atol=1e-12)
    for table in parted:
        gradient = training_step(table).gradient(Move("net"), training_step(table).draw(0))
        assert all(
            torch.allclose(a, b, rtol=0, atol=1e-12)
            for a, b in zip(gradient.tensors, expected.tensors, strict=True)
        )
        assert gradient.means.keys() == expected.means.keys()
        for name, mean in expected.means.items():
            assert torch.allclose(gradient.means[name], mean, rtol=0, atol=1e-12), name
    trained = [play(Masked, data, 5, micro_batches=k).game.net.weight for k in (1, 2, 4)]
    assert all(torch.allclose(w, trained[0], rtol=0, atol=1e-12) for w in trained[1:])


class GaussianFit(nn.Module):
    """Fitted in one pass."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("std", torch.ones(2))

    def fit(self, views, key):
        data = views["train"].get_batch(torch.arange(len(views["train"])), key).data
        self.mean.copy_(data.mean(0))
        self.std.copy_(data.std(0))
        return True

    def sample(self, n, key):
        return self.mean + self.std * key.normal(n, 2)


class KMeans(nn.Module):
    """Lloyd's algorithm: one pass a step, until nothing moves."""

    def __init__(self):
        super().__init__()
        self.register_buffer("centres", torch.zeros(3, 2))
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def fit(self, views, key):
        data = views["train"].get_batch(torch.arange(len(views["train"])), key).data
        before = self.centres.clone() if self.passes else data[:3]
        nearest = torch.cdist(data, before).argmin(1)
        self.centres.copy_(torch.stack([data[nearest == k].mean(0) for k in range(3)]))
        self.passes += 1
        return torch.equal(self.centres, before)

    def sample(self, n, key):
        return self.centres[key.integers(3, n)]


def test_a_model_fitted_in_one_pass_takes_one_step():
    data = points()
    table = play(lambda: fitted_game(GaussianFit()), data, 100)
    assert torch.allclose(table.game.model.mean, data.mean(0))
    samples = table.game.sampler().sample(4000, Key.of(0))
    assert torch.allclose(samples.std(0), data.std(0), rtol=0.05)
    assert table.game.sampler().capabilities == {"sample"}


def test_k_means_ends_when_it_has_converged_and_resumes_bit_equal(tmp_path):
    data = torch.cat([points(30, centre, seed) for seed, centre in enumerate((-1.0, 0.0, 1.0))])
    data = data[torch.randperm(90, generator=torch.Generator().manual_seed(5))]
    undisturbed = play(lambda: fitted_game(KMeans()), data, 1000)
    assert 3 < undisturbed.game.model.passes < 100
    killed = play(lambda: fitted_game(KMeans()), data, 1000, kills=(2,), folder=tmp_path)
    assert differing(whole(undisturbed), whole(killed)) == []
    distances = torch.cdist(data, undisturbed.game.model.centres)
    nearest = distances.argmin(1)
    for k in range(3):
        assert torch.allclose(data[nearest == k].mean(0), undisturbed.game.model.centres[k])


class TwoPulls(Game):
    """One player by two costs, |x|^2 / 2 and x y, against one that minimises y^2 / 2 - x y."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        self.players = {"one": Player(["one"]), "other": Player(["other"])}
        self.phases = [Phase([Move("one", "own"), Move("one", "shared"), Move("other")])]

    def cost(self, move, draw):
        x, y = self.one.weight[0], self.other.weight[0]
        arguments = {"own": x.square() / 2, "shared": x * y, "loss": y.square() / 2 - x * y}
        return Cost().add("loss", arguments[move.cost])


def test_the_field_of_a_player_with_two_costs_is_their_sum():
    table = set_up(TwoPulls, points())
    assert compute_jacobian(table).tolist() == [[1, 1], [-1, 1]]


class NormedDiscriminator(DenseDiscriminator):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Softplus(), nn.Linear(3, 1))


def test_a_jacobian_is_of_the_game_as_it_trains_whatever_its_mode_and_changes_nothing():
    table = set_up(
        lambda: adversarial_game(
            generator=lambda: nn.Linear(3, 2), discriminator=NormedDiscriminator, prior=normal(3)
        ),
        points(),
    )
    expected = compute_jacobian(table)
    play(lambda: table.game, points(), 2)
    before = whole(table)
    trained = compute_jacobian(table)
    table.game.discriminator.eval()
    assert torch.equal(compute_jacobian(table), trained) and not torch.equal(trained, expected)
    assert differing(before, whole(table)) == []
    assert table.game.training and not table.game.discriminator.layers[1].training
