"""Sample number i is a function of (model, seed, i), and a walk between latents begins and ends at them."""

import math

import pytest
import torch
from refusals import refused
from scipy.stats import kstest, truncnorm
from torch import nn
from toy_games import DenseDiscriminator

from gancore.data.dataset import Spec
from gancore.domain import Domain
from gancore.errors import ConfigError
from gancore.games import adversarial_game, fitted_game, normal, uniform
from gancore.games.likelihood import ModelSampler
from gancore.games.prior import slerp, truncate_normal
from gancore.games.representation import Identity
from gancore.games.sampler import Sampler
from gancore.models.sampling import condition_sampler, draw_samples, interpolate_latents, network_batch_size
from gancore.random import Key

KEY = Key.of("samples", 3)


class Scaled(nn.Module):
    """Linear, element by element: no sum whose order could depend on the batch."""

    def __init__(self):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4))

    def forward(self, latents, label=None):
        moved = 0.0 if label is None else label[:, None]
        return latents * self.scale + self.shift + moved


def sampler(generator, prior=None, conditional=False):
    torch.manual_seed(0)
    game = adversarial_game(
        generator=generator,
        discriminator=DenseDiscriminator,
        prior=prior or normal(4),
        conditional=conditional,
    )
    return game.sampler().eval()


def network():
    return nn.Sequential(nn.Linear(4, 32), nn.BatchNorm1d(32), nn.Tanh(), nn.Linear(32, 3))


@pytest.mark.parametrize("batch_size", [1, 7, 64, 256])
@pytest.mark.parametrize("n", [1, 16, 300])
def test_sample_i_is_the_same_whatever_n_and_the_batch_size(n, batch_size):
    nothing = lambda n, key: None  # noqa: E731
    for generator, tolerance in ((Scaled, 0.0), (network, 1e-6)):
        model = sampler(generator)
        all_of_them = draw_samples(model, 300, KEY, nothing)[0]
        some = draw_samples(model, n, KEY, nothing, batch_size)[0]
        assert some.shape[0] == n
        assert torch.allclose(some, all_of_them[:n], rtol=0, atol=tolerance)
        assert len(all_of_them.unique(dim=0)) == 300


class InUnits(Sampler):
    """Notes how many rows it is asked for."""

    def __init__(self, unit=None):
        super().__init__()
        self.requests = []
        self.preferred_batch = unit

    def sample(self, n, key, condition=None):
        self.requests.append(n)
        return key.normal(n, 4)


def test_a_sampler_may_ask_for_larger_units_and_gives_the_same_samples():
    nothing = lambda n, key: None  # noqa: E731
    plain, large = InUnits(), InUnits(64)
    samples = draw_samples(plain, 300, KEY, nothing)[0]
    assert torch.equal(draw_samples(large, 300, KEY, nothing, batch_size=7)[0], samples)
    assert plain.requests == [16] * 19 and large.requests == [64] * 5
    with refused(ValueError, 48, 256):
        draw_samples(InUnits(48), 10, KEY, nothing)


class Small(InUnits):
    """Runs out of memory above 64 rows."""

    def sample(self, n, key, condition=None):
        if n > 64:
            raise torch.OutOfMemoryError("64 rows are the most")
        return super().sample(n, key, condition)


def test_out_of_memory_halves_the_unit_and_gives_the_same_samples():
    nothing = lambda n, key: None  # noqa: E731
    small = Small()
    samples = draw_samples(InUnits(), 600, KEY, nothing)[0]
    assert torch.equal(draw_samples(small, 600, KEY, nothing, unit=256)[0], samples)
    assert set(small.requests) == {64}


def test_out_of_memory_with_the_smallest_unit_is_an_error():
    class Full(InUnits):
        def sample(self, n, key, condition=None):
            raise torch.OutOfMemoryError("none is left")

    with pytest.raises(torch.OutOfMemoryError):
        draw_samples(Full(), 10, KEY, lambda n, key: None, unit=256)


def test_an_accelerator_makes_whole_blocks_and_a_cpu_small_units():
    assert network_batch_size(InUnits(), torch.device("cuda")) == 256
    assert network_batch_size(InUnits(64), torch.device("cpu")) == 64


def test_a_likelihood_models_sampler_hands_on_what_its_model_asks_for():
    assert network_batch_size(ModelSampler(InUnits(64), Identity(), conditional=False)) == 64
    assert network_batch_size(ModelSampler(InUnits(), Identity(), conditional=False)) == 16


class Labelled(Domain):
    name = "labelled"


SPEC = Spec({"classes": ["low", "high", "never"], "class_shares": [0.25, 0.75, 0.0]})


def test_labels_are_drawn_as_often_as_in_train_and_with_the_same_independence():
    model = sampler(Scaled, conditional=True)
    condition = condition_sampler(model, Labelled(), SPEC, None)
    data, labels = draw_samples(model, 600, KEY, condition, batch_size=64)
    assert labels.bincount(minlength=3)[1] / 600 == pytest.approx(0.75, abs=0.06)
    assert labels.max() == 1
    fewer = draw_samples(model, 300, KEY, condition, batch_size=7)
    assert torch.equal(fewer[0], data[:300]) and torch.equal(fewer[1], labels[:300])


def test_a_label_asked_for_is_the_label_of_all():
    model = sampler(Scaled, conditional=True)
    labels = draw_samples(model, 5, KEY, condition_sampler(model, Labelled(), SPEC, "high"))[1]
    assert labels.tolist() == [1] * 5
    with refused(ConfigError, "hihg", fix="high"):
        condition_sampler(model, Labelled(), SPEC, "hihg")
    with refused(ConfigError, "high", fix="model.conditional=true"):
        condition_sampler(sampler(Scaled), Labelled(), SPEC, "high")


@pytest.mark.parametrize("prior", [normal(4), uniform(4)])
def test_a_walk_begins_and_ends_at_two_samples(prior):
    model = sampler(network, prior)
    nothing = lambda n, key: None  # noqa: E731
    made = interpolate_latents(model, 9, 7, KEY, nothing)[0].view(9, 7, 3)
    ends = draw_samples(model, 18, KEY, nothing)[0].view(9, 2, 3)
    assert torch.allclose(made[:, [0, -1]], ends, rtol=0, atol=1e-6)
    steps = (made[:, 1:] - made[:, :-1]).norm(dim=2)
    assert (steps.max(1).values < 0.6 * steps.sum(1)).all()


def test_a_way_is_the_same_however_many_there_are():
    nothing = lambda n, key: None  # noqa: E731
    many, few = (interpolate_latents(sampler(Scaled), n, 5, KEY, nothing)[0] for n in (300, 3))
    assert torch.equal(many[:15], few) and len(many.unique(dim=0)) == 1500


def test_a_label_does_not_change_on_the_way():
    """The latents of a walk between labels would else hide a jump."""
    model = sampler(Scaled, conditional=True)
    condition = condition_sampler(model, Labelled(), SPEC, None)
    data, labels = interpolate_latents(model, 40, 6, KEY, condition)
    drawn = draw_samples(model, 80, KEY, condition)[1]
    assert torch.equal(labels, drawn[::2].repeat_interleave(6)) and len(labels.unique()) == 2
    moved = ((data - model.generator.shift) / model.generator.scale).view(40, 6, 4)
    latents = moved - (labels.view(40, 6, 1) / model.generator.scale)
    along = torch.linspace(0, 1, 6).view(6, 1)
    ways = [slerp(way[:1].expand(6, 4), way[-1:].expand(6, 4), along) for way in latents]
    assert torch.allclose(latents, torch.stack(ways), atol=1e-4)  # of latents alone: nothing else changes


def test_a_model_without_latents_says_so():
    bare = fitted_game(nn.Identity()).sampler()
    with refused(ConfigError, "latents", fix="--interpolate"):
        interpolate_latents(bare, 1, 3, KEY, lambda n, key: None)
    with refused(ConfigError, "latents", fix="--truncation"):
        draw_samples(bare, 3, KEY, lambda n, key: None, truncation=1.0)
    with refused(ConfigError, 1, fix=2):
        interpolate_latents(sampler(Scaled), 1, 1, KEY, lambda n, key: None)


class Bare(nn.Module):
    """The latents themselves."""

    def forward(self, latents, label=None):
        return latents


@pytest.mark.parametrize("psi", [0.04, 0.5, 1.0, 2.0])
def test_truncated_latents_follow_the_truncated_normal_law_and_never_leave_it(psi):
    z = draw_samples(sampler(Bare), 5000, KEY, lambda n, key: None, truncation=psi)[0]
    assert z.abs().max() <= psi
    assert kstest(z.flatten().double().numpy(), truncnorm(-psi, psi).cdf).pvalue > 0.001
    assert len(z.flatten().unique()) > 0.99 * z.numel()


def test_truncated_coordinates_stay_independent():
    z = draw_samples(sampler(Bare), 5000, KEY, lambda n, key: None, truncation=1.0)[0].double()
    apart = torch.corrcoef(z.T) - torch.eye(4)
    assert apart.abs().max() < 5 / 5000**0.5


def test_an_infinite_threshold_truncates_nothing_and_a_wide_one_next_to_nothing():
    nothing = lambda n, key: None  # noqa: E731
    whole = draw_samples(sampler(Bare), 300, KEY, nothing)[0]
    assert torch.equal(draw_samples(sampler(Bare), 300, KEY, nothing, truncation=math.inf)[0], whole)
    wide = draw_samples(sampler(Bare), 300, KEY, nothing, truncation=6.0)[0]
    assert torch.allclose(wide, whole, atol=1e-5) and whole.abs().max() > 3


def test_a_sample_moves_steadily_towards_the_middle_as_the_threshold_falls():
    z = Key.of(0).normal(1000)
    sizes = torch.stack([truncate_normal(z, psi).abs() for psi in (0.01, 0.1, 0.5, 1.0, 2.0, 4.0)])
    assert (sizes[1:] > sizes[:-1]).all()
    assert torch.equal(truncate_normal(z, 0.5).sign(), z.sign())


def test_extreme_latents_stay_finite():
    z = torch.tensor([-40.0, -9.0, 0.0, 9.0, 40.0])
    for psi in (0.5, 5.0, 12.0, 1e9):
        assert truncate_normal(z, psi).isfinite().all() and truncate_normal(z, psi).abs().max() <= psi


@pytest.mark.parametrize("psi", [0.0, -1.0, math.nan])
def test_a_threshold_is_positive(psi):
    with refused(ConfigError, "truncation", fix=0):
        draw_samples(sampler(Bare), 3, KEY, lambda n, key: None, truncation=psi)


def test_a_prior_that_is_not_normal_is_not_truncated():
    with refused(ConfigError, "latents", "normal", fix="--truncation"):
        draw_samples(sampler(Bare, uniform(4)), 3, KEY, lambda n, key: None, truncation=1.0)


def test_slerp_keeps_the_norm_and_turns_evenly(float64):
    a, b = Key.of(0).normal(6, 50), Key.of(1).normal(6, 50)
    b = b * a.norm(dim=1, keepdim=True) / b.norm(dim=1, keepdim=True)
    path = torch.stack([slerp(a, b, torch.full((6, 1), t)) for t in torch.linspace(0, 1, 5)])
    assert torch.allclose(path.norm(dim=2), a.norm(dim=1).expand(5, 6))
    angles = torch.cosine_similarity(path[1:], path[:-1], dim=2).acos()
    assert torch.allclose(angles, angles[0].expand(4, 6))


def test_slerp_of_a_latent_and_itself_stays_there():
    a = Key.of(0).normal(3, 20)
    assert torch.allclose(slerp(a, a, torch.full((3, 1), 0.3)), a, atol=1e-5)


def test_a_temperature_is_a_capability_and_divides_the_logits():
    from tiny_sequences import tiny_game

    from gancore.games import Reinforce

    sampler = tiny_game(Reinforce()).sampler()
    none = lambda n, key: None  # noqa: E731
    drawn = {t: draw_samples(sampler, 300, KEY, none, temperature=t)[0] for t in (None, 1.0, 1e-5, 1e3)}
    assert torch.equal(drawn[None], drawn[1.0])
    distinct = {t: len(rows.unique(dim=0)) for t, rows in drawn.items()}
    assert distinct[1e-5] == 1 and distinct[1e3] == 27
    with refused(ConfigError, "temperature", 0):
        draw_samples(sampler, 3, KEY, none, temperature=0.0)
    with refused(ConfigError, "truncation", fix="--truncation"):
        draw_samples(sampler, 3, KEY, none, temperature=1.0, truncation=1.0)
