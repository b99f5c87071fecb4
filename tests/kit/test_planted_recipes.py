"""Faults of recipes that let training go on: numbers drawn once, labels ignored, likelihoods shifted."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from broken_plugins import GENERATOR, JUDGED, LAYERS, LOG_PROB, MODEL, SAMPLED, more
from kit_site import Change
from planted import LABELLED, found
from refusals import refused

from gancore.data.dataset import Spec
from gancore.domain import Domain
from gancore.errors import ConfigError, DataError
from gancore.games import Game
from gancore.games.sampler import Sampler
from gancore.random import Key
from gancore.testing.check import CheckFailure, SkipCheck
from gancore.testing.likelihood_checks import FlatRows, _kernels, likelihood_sums_to_one, log_total
from gancore.testing.sampling_checks import require_fresh_draws


def sampled(text: str) -> Change:
    return Change(
        "recipes.py",
        SAMPLED,
        f"made = {SAMPLED.removeprefix('return ')}\n        {text}\n        return made",
    )


KEY = Change(
    "recipes.py",
    "from gancore import Recipe",
    "from gancore.random import Key\nfrom gancore import Recipe",
)
ONCE = {
    "a category from one key, cut to rows": (
        "made[:, 3] = (Key.of('categories').with_rows(key.rows).uniform(n) < 0.5).float()"
    ),
    "a category whose noise is from one key": (
        "made[:, 3] = (made[:, 3] / 2 + Key.of('categories').with_rows(key.rows).normal(n) > 0).float()"
    ),
    "a number drawn for all rows at once": "made[:, 3] = Key.of(*key.path, 'level').normal(1)",
}


@pytest.mark.parametrize("fault", ONCE)
def test_a_number_that_is_not_drawn_for_each_row_and_key_is_found(site, fault):
    result = found(site, "samples_depend_on_key_only", KEY, sampled(ONCE[fault]), subject="tides/normal")
    assert result.state == "failed" and "number 3" in result.reason and "key" in result.fix


def tree(seed: int, **leaves: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"numbers": Key.of(seed).normal(64, 3), **leaves}


def test_every_leaf_must_vary_and_categories_of_a_fresh_model_may_stand_still():
    codes = [Key.of("codes", seed).integers(4, 64, 2) for seed in range(4)]
    require_fresh_draws(
        tree(0, c=codes[0]), tree(1, c=codes[1]), tree(2, c=codes[2]), lambda: tree(3, c=codes[3])
    )
    still = torch.zeros(64, 2, dtype=torch.int64)
    require_fresh_draws(tree(0, c=still), tree(1, c=still), tree(2, c=codes[2]), lambda: tree(3, c=still))
    with refused(CheckFailure, 2, fix="key"):
        require_fresh_draws(
            tree(0, c=codes[0]), tree(1, c=codes[0]), tree(2, c=codes[2]), lambda: tree(3, c=codes[0])
        )
    with refused(CheckFailure, 2, fix="key"):
        level = torch.zeros(64, 1)
        require_fresh_draws(
            tree(0, c=level), tree(1, c=level), tree(2, c=torch.rand(64, 1)), lambda: tree(3, c=level)
        )


CONDITIONAL = [
    *LABELLED,
    Change(
        "recipes.py",
        "loss: str = Field(",
        'conditional: bool = Field(False, description="by label")\n    loss: str = Field(',
    ),
    Change(
        "recipes.py",
        "            loss=config.loss,",
        "            loss=config.loss,\n            conditional=config.conditional,",
    ),
    Change(
        "recipes.py",
        "class DenseDiscriminator(Discriminator):",
        "class Told(nn.Module):\n"
        "    def __init__(self, length, width):\n"
        "        super().__init__()\n"
        "        self.layers, self.label = dense(8, width, length), nn.Embedding(4, 8)\n\n"
        "    def forward(self, z, condition=None):\n"
        "        return self.layers(z if condition is None else z + self.label(condition))\n\n\n"
        "class DenseDiscriminator(Discriminator):",
    ),
    Change("recipes.py", GENERATOR, 'generator=lambda: Told(spec["length"], config.width)'),
    more(LAYERS, "self.label = nn.Embedding(4, length)"),
    Change(
        "recipes.py",
        JUDGED,
        "label = 0 if condition is None else self.label(condition)\n"
        "        return self.layers(embedded + label).squeeze(1)",
    ),
]
"""The GAN takes labels: each is added to what a network sees."""
DEAF = Change("recipes.py", "z + self.label(condition)", "z")
UNHEARD = Change("recipes.py", "embedded + label", "embedded")
BY_LATENT = Change("recipes.py", "z + self.label(condition)", "z + self.label((z[:, 0] > 0).long())")
ZERO = Change(
    "recipes.py", "nn.Embedding(4, 8)", "nn.Embedding.from_pretrained(torch.zeros(4, 8), freeze=False)"
)


def test_a_recipe_that_takes_labels_passes(site):
    assert found(site, "trains_on_labels", *CONDITIONAL, subject="tides/dense").state == "ok"
    assert found(site, "depends_on_labels", *CONDITIONAL, ZERO, subject="tides/dense").state == "ok"


@pytest.mark.parametrize(
    ("faults", "word"),
    [
        ([DEAF], "samples of one key are"),
        ([UNHEARD], "logits are"),
        ([DEAF, UNHEARD], "samples"),
        ([BY_LATENT], "samples"),
    ],
)
def test_labels_that_are_ignored_are_found(site, faults, word):
    result = found(site, "depends_on_labels", *CONDITIONAL, *faults, subject="tides/dense")
    assert result.state == "failed" and word in result.reason and "condition" in result.fix


RIGHT = "distribution.log_prob(data).sum(1)"


@pytest.mark.parametrize(
    ("claimed", "bound", "state"),
    [
        (RIGHT, False, "ok"),
        (f"{RIGHT} + 3", False, "failed"),
        (f"{RIGHT} - 3", False, "failed"),
        (f"{RIGHT} / 2", False, "failed"),
        ("(distribution.log_prob(data) + 0.9189385).sum(1)", False, "failed"),
        ("distribution.log_prob(data).mean(1)", False, "failed"),
        (f"{RIGHT} - 3", True, "ok"),
        (f"{RIGHT} + 3", True, "failed"),
    ],
)
def test_a_likelihood_that_does_not_integrate_to_one_is_found(site, claimed, bound, state):
    own = Change("recipes.py", LOG_PROB, f"return {claimed}")
    said = Change(
        "recipes.py",
        "    def log_prob(self, data):",
        f"    lower_bound = {bound}\n\n    def log_prob(self, data):",
    )
    result = found(site, "likelihood_sums_to_one", own, said, subject="tides/normal")
    assert result.state == state and (state == "ok" or "nats" in result.reason)


def test_rows_of_more_numbers_than_memory_holds_are_left_alone(site, monkeypatch):
    monkeypatch.setattr("gancore.testing.likelihood_checks.MOST_NUMBERS", 15)
    result = found(site, "likelihood_sums_to_one", subject="tides/normal")
    assert result.state == "skipped" and "16" in result.reason


class Normals(Sampler):
    """Rows of standard normal numbers; what happens when they are sampled can be broken."""

    capabilities = frozenset({"sample", "likelihood"})

    def __init__(self, numbers: int, defect: Exception | None = None, offset: float = 0.0) -> None:
        super().__init__()
        self.numbers, self.defect, self.offset = numbers, defect, offset

    def sample(self, n, key, condition=None):
        if self.defect:
            raise self.defect
        return key.normal(n, self.numbers)

    def log_prob(self, batch):
        return torch.distributions.Normal(0.0, 1.0).log_prob(batch.data).sum(1) + self.offset


class NormalGame(Game):
    """A game without players, for its sampler alone."""

    def __init__(self, sampler: Sampler) -> None:
        super().__init__()
        self.own_sampler = sampler

    def sampler(self) -> Sampler:
        return self.own_sampler


def normal_recipe(
    building: Exception | None = None, sampling: Exception | None = None, offset: float = 0.0
) -> SimpleNamespace:
    """The fixture of a recipe for 256 numbers, with an error wherever it is built for fewer of them."""

    def build(section, spec):
        if building:
            raise building
        return NormalGame(Normals(spec["numbers"], sampling))

    def scale_spec(spec, factor):
        return Spec({"numbers": int(spec["numbers"] * factor)})

    home = SimpleNamespace(
        domain=SimpleNamespace(scale_spec=scale_spec), data=SimpleNamespace(spec=Spec({"numbers": 256}))
    )
    config = SimpleNamespace(model=None, train=SimpleNamespace(seed=0))
    return SimpleNamespace(
        domain_fixture=home,
        recipe=SimpleNamespace(build=build),
        config=config,
        sampler=lambda: Normals(256, offset=offset),
    )


def test_long_rows_are_checked_at_a_shorter_size():
    likelihood_sums_to_one(normal_recipe())


@pytest.mark.parametrize("defect", [ConfigError("short", ""), DataError("short", "")])
def test_a_recipe_that_refuses_every_shorter_size_is_checked_at_its_own(defect):
    likelihood_sums_to_one(normal_recipe(building=defect))
    with refused(CheckFailure, "nats"):
        likelihood_sums_to_one(normal_recipe(building=defect, offset=9.0))


@pytest.mark.parametrize("where", ["building", "sampling"])
def test_a_recipe_that_is_broken_at_every_shorter_size_is_found(where):
    with refused(AttributeError, "width"):
        likelihood_sums_to_one(normal_recipe(**{where: AttributeError("width")}))


def test_sampling_that_raises_a_user_error_at_every_shorter_size_is_found():
    with refused(ConfigError, "width"):
        likelihood_sums_to_one(normal_recipe(sampling=ConfigError("width", "")))


class Padded(Sampler):
    """Sequences of 1 to 4 codes or numbers with a mask: what is behind their end is 0, and has no part."""

    capabilities = frozenset({"sample", "likelihood"})

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def sample(self, n, key, condition=None):
        mask = torch.arange(4) <= (key / "length").integers(4, n, 1)
        rows = (key / "rows").integers(3, n, 4) if self.name == "codes" else (key / "rows").normal(n, 4)
        return {self.name: rows * mask, "mask": mask}

    def log_prob(self, batch):
        rows, mask = batch.data[self.name], batch.data["mask"]
        codes = torch.full(mask.shape, -math.log(3))
        each = codes if self.name == "codes" else torch.distributions.Normal(0.0, 1.0).log_prob(rows)
        whole = (mask.long().diff(dim=1) <= 0).all(1) & mask[:, 0]
        return torch.where(whole, (each * mask).sum(1) - math.log(4), -math.inf)


@pytest.mark.parametrize("name", ["codes", "numbers"])
def test_padded_rows_are_not_summed_over(name):
    home = SimpleNamespace(domain=Domain(), data=SimpleNamespace(spec=Spec({})))
    with refused(SkipCheck, "padded"):
        likelihood_sums_to_one(SimpleNamespace(domain_fixture=home, sampler=lambda: Padded(name)))


def test_a_model_that_fit_fills_is_sampled_when_it_is_fitted(site):
    fitted = [
        Change(
            "recipes.py",
            "import R1, Discriminator, adversarial_game, likelihood_game, normal",
            "import R1, Discriminator, adversarial_game, fitted_game, normal",
        ),
        Change("recipes.py", MODEL, 'return fitted_game(IndependentNormals(spec["length"]))'),
        Change(
            "recipes.py",
            "self.mean = nn.Parameter(torch.zeros(length))",
            'self.register_buffer("mean", torch.zeros(length))',
        ),
        Change(
            "recipes.py",
            "self.log_scale = nn.Parameter(torch.zeros(length))",
            'self.register_buffer("log_scale", torch.full((length,), -torch.inf))',
        ),
        Change(
            "recipes.py",
            "    def log_prob(self, data):",
            "    def fit(self, views, key):\n"
            "        (view,) = views.values()\n"
            "        rows = view.get_batch(torch.arange(len(view)), key).data\n"
            "        self.mean.copy_(rows.mean(0))\n"
            "        self.log_scale.copy_(rows.std(0).log())\n"
            "        return True\n\n"
            "    def log_prob(self, data):",
        ),
    ]
    for check in ("samples_depend_on_key_only", "gives_likelihoods", "likelihood_sums_to_one"):
        result = found(site, check, *fitted, subject="tides/normal")
        assert result.state == "ok", result.text


SHARES = torch.tensor([[0.1, 0.2], [0.3, 0.4]])


@pytest.mark.parametrize(("off", "holds"), [(0.0, True), (3.0, False), (-3.0, False)])
def test_codes_of_few_places_are_enumerated(off, holds):
    codes = torch.multinomial(
        SHARES.flatten(), 900, replacement=True, generator=torch.Generator().manual_seed(0)
    )
    rows = torch.stack([codes // 2, codes % 2], 1)
    total = log_total(rows, lambda x: SHARES[x[:, 0], x[:, 1]].log() + off, is_bound=False)
    assert abs(total.low - off) < 1e-6 and total.low == total.high
    assert (abs(total.low) < 0.01) == holds


def test_of_long_rows_the_variances_alone_are_kept():
    """A square matrix of a row of 16,384 numbers would take 2 GB."""
    rows, law = Key.of("rows").normal(48, 4096), torch.distributions.Normal(0.0, 1.0)
    kernels = _kernels(FlatRows.of(rows))
    assert all(kernel.root.numel() == 4096 for kernel in kernels)
    total = log_total(rows, lambda x: law.log_prob(x).sum(1), is_bound=False)
    assert total.low < 0 < total.high
    assert log_total(rows, lambda x: law.log_prob(x).mean(1), is_bound=False).low > 1000


@pytest.mark.parametrize("off", [0.0, 3.0, -3.0])
def test_codes_beside_numbers_are_seen_beside_a_known_law(off):
    """A table's row: a category, and two numbers about the place of that category."""
    places = torch.tensor([[-3.0, 0.0], [0.0, 3.0], [3.0, 0.0]])
    codes = Key.of("codes").integers(3, 3072, 1)
    rows = {"numbers": places[codes[:, 0]] + 0.3 * Key.of("n").normal(3072, 2), "codes": codes}

    def log_prob(x):
        law = torch.distributions.Normal(places[x["codes"][:, 0].clamp(0, 2)], 0.3)
        return law.log_prob(x["numbers"]).sum(1) - torch.tensor(3.0).log() + off

    total = log_total(rows, log_prob, is_bound=False)
    assert total.low - 0.1 < off < total.high + 0.1 and total.high - total.low < 1
