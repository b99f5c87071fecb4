"""A plugin of a domain whose truth is known: points of three Gaussians in space, a copyist, and a judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn

from gancore import (
    Batch,
    Data,
    DataConfig,
    Domain,
    DomainEntry,
    FeatureContext,
    FeatureExtractor,
    FeatureExtractorEntry,
    Interval,
    Metric,
    MetricEntry,
    MetricInputs,
    Recipe,
    RecipeConfig,
    RecipeEntry,
    SourceEntry,
    Spec,
    View,
    hookimpl,
)
from gancore.games import Classifier, classifier_game, fitted_game
from gancore.random import Key

CENTRES = torch.tensor([[2.0, 0.0, 1.0], [-1.0, 2.0, -1.0], [-1.0, -2.0, 0.0]])
CALLS: Counter[str] = Counter()
"""How often what was asked for; tests look at it."""


class DotsConfig(DataConfig):
    points: int = Field(400, ge=0, description="rows of train")
    valid: int = Field(100, ge=0, description="rows of valid")
    test: int = Field(200, ge=0, description="rows of test")
    scale: float | None = Field(None, description="size of the picture; none: the source's")
    labelled: bool = Field(True, description="whether the centres are told")


@dataclass
class Dots(View):
    rows: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.rows)

    def get_batch(self, indices: Tensor, key: Key) -> Batch:
        CALLS["rows"] += len(indices)
        labels = None if self.labels is None else self.labels[indices].to(key.device)
        return Batch(self.rows[indices].to(key.device), labels)


class DotsDomain(Domain):
    """Canonical samples are points (n, 3)."""

    name = "dots"
    Config = DotsConfig
    sources = {
        "trio": SourceEntry("trio", "three Gaussians", "CC0-1.0"),
        "far": SourceEntry("far", "three Gaussians ten times as large", "CC0-1.0"),
    }
    recipes = {
        "copyist": RecipeEntry("copyist", f"{__name__}:Copyist", "gives back what it has seen"),
        "judge": RecipeEntry(
            "judge",
            f"{__name__}:JudgeRecipe",
            "tells the centres apart",
            capabilities=frozenset({"classification"}),
        ),
    }
    metrics = {"height": MetricEntry("height", f"{__name__}:height", "mean of the third coordinate apart")}
    feature_extractors = {
        "plain": FeatureExtractorEntry("plain", f"{__name__}:Plain", "the coordinates themselves"),
        "judged": FeatureExtractorEntry("judged", f"{__name__}:Judged", "a judge's", classifier=True),
    }

    def feature_extractors_for(self, spec: Spec) -> Mapping[str, FeatureExtractorEntry]:
        known = dict(self.feature_extractors)
        if not spec.get("classes"):
            del known["judged"]
        return known

    def open(self, source, config: DotsConfig) -> Data:
        scale = config.scale or {"trio": 1.0, "far": 10.0}.get(source.name, 1.0)
        sizes = {"train": config.points, "valid": config.valid, "test": config.test}
        views = {split: _dots(n, scale, config.labelled, Key.of("dots", split)) for split, n in sizes.items()}
        spec = {"scale": scale, **({"classes": ["east", "north", "south"]} if config.labelled else {})}
        return Data(**views, spec=Spec(spec), fingerprint=f"{source.name} {scale} {sizes} {config.labelled}")

    def write(self, samples, folder: Path) -> list[Path]:
        (folder / "dots.txt").write_text(str(samples.data))
        return [folder / "dots.txt"]


def _dots(n: int, scale: float, labelled: bool, key: Key) -> Dots:
    labels = (key / "label").integers(3, n)
    rows = scale * (CENTRES[labels] + 0.3 * (key / "noise").normal(n, 3))
    return Dots(rows, labels if labelled else None)


class CopyistConfig(RecipeConfig):
    kept: int = Field(300, ge=1, description="rows of train that it gives back")
    blur: float = Field(0.2, description="noise on them")
    broken: int = Field(0, description="one of so many samples is no number; 0: none")
    likely: bool = Field(False, description="whether it has a likelihood")
    conditional: bool = Field(False, description="asks for a label, and passes it over")


class CopyistModel(nn.Module):
    def __init__(self, config: CopyistConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("rows", torch.zeros(config.kept, 3))
        if config.likely:
            self.log_prob = self._log_prob

    def fit(self, views, key: Key) -> bool:
        view = views["train"]
        self.rows.copy_(view.get_batch(torch.arange(self.config.kept) % len(view), key).data)
        return True

    def sample(self, n: int, key: Key, condition: Tensor | None = None) -> Tensor:
        CALLS["sampled"] += n
        made = self.rows[(key / "row").integers(len(self.rows), n)]
        made = made + self.config.blur * (key / "blur").normal(n, 3)
        if self.config.broken:
            lost = (key / "broken").integers(self.config.broken, n) == 0
            made = torch.where(lost[:, None], torch.nan, made)
        return made

    def _log_prob(self, data: Tensor, condition: Tensor | None = None) -> Tensor:
        """Of the mixture of Gaussians that it samples, in nats."""
        squares = (data[:, None] - self.rows).square().sum(2) / self.config.blur**2
        constant = 3 * torch.tensor(2 * torch.pi * self.config.blur**2).log() / 2
        return (-squares / 2).logsumexp(1) - torch.tensor(float(len(self.rows))).log() - constant


class Copyist(Recipe):
    Config = CopyistConfig

    def build(self, config: CopyistConfig, spec: Spec):
        return fitted_game(CopyistModel(config), conditional=config.conditional)


class JudgeConfig(RecipeConfig):
    steps: int = Field(40, description="steps")
    batch_size: int = Field(32, description="rows")
    width: int = Field(8, description="units")


class JudgeModel(Classifier):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(3, width), nn.Linear(width, 3)

    def embed(self, data: Tensor) -> Tensor:
        return self.hidden(data).relu()

    def classify(self, embedded: Tensor) -> Tensor:
        return self.head(embedded)


class JudgeRecipe(Recipe):
    Config = JudgeConfig

    def build(self, config: JudgeConfig, spec: Spec):
        from gancore.games import Adam

        return classifier_game(lambda: JudgeModel(config.width), optimizer=Adam(3e-2))


class Plain(FeatureExtractor):
    name = "plain"
    digest = "0" * 64

    def prepare(self, context: FeatureContext) -> None:
        CALLS["prepared"] += 1

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        CALLS["embedded"] += len(samples)
        return samples.clone()


class Judged(FeatureExtractor):
    name = "judged"
    trained_on_train = True
    classes = ("east", "north", "south")

    def prepare(self, context: FeatureContext) -> None:
        self.model = context.train_recipe("judge", {"width": 12})

    @property
    def digest(self) -> str:
        from gancore.digests import digest_tensors

        return digest_tensors(list(self.model.sampler.state_dict().values()))

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return self.model.sampler.embed(samples)

    def log_posteriors(self, samples: Tensor, spec: Spec) -> Tensor:
        CALLS["judged"] += len(samples)
        return self.model.sampler.log_posteriors(samples)


def _height(inputs: MetricInputs) -> float:
    CALLS["height"] += 1
    return abs(float(inputs.fake.samples[:, 2].mean() - inputs.real.samples[:, 2].mean()))


def _about_height(inputs: MetricInputs) -> Interval:
    value, error = _height(inputs), float(inputs.fake.samples[:, 2].std()) / len(inputs.fake) ** 0.5
    return Interval(value - 1.96 * error, value + 1.96 * error, "normal")


height = Metric(_height, unit="length", interval=_about_height, insensitive_to=frozenset({"noise"}))


def _mean_apart(inputs: MetricInputs) -> float:
    CALLS["mean_apart"] += 1
    return float((inputs.fake.features.mean(0) - inputs.real.features.mean(0)).norm())


def _share_repeated(inputs: MetricInputs) -> float:
    return 1 - len(inputs.fake.samples.unique(dim=0)) / len(inputs.fake)


def _share_certain(inputs: MetricInputs) -> float:
    return float((inputs.fake.log_posteriors.exp().max(1).values > 0.9).float().mean())


mean_apart = Metric(
    _mean_apart, unit="length", requires=frozenset({"features"}), insensitive_to=frozenset({"noise"})
)
wrong_way = Metric(_share_repeated, unit="share", higher_is_better=True, insensitive_to=frozenset({"noise"}))
certain = Metric(
    _share_certain,
    unit="share",
    higher_is_better=True,
    requires=frozenset({"log_posteriors"}),
    insensitive_to=frozenset({"collapse"}),
)
random_one = Metric(lambda inputs: float(inputs.key.uniform(1)), unit="nothing", higher_is_better=None)
conditional_share = Metric(
    lambda inputs: float((inputs.fake.condition == 0).float().mean()),
    unit="share",
    higher_is_better=None,
    requires=frozenset({"condition"}),
)
likely = Metric(
    lambda inputs: -float(inputs.log_prob.mean()),
    unit="nats",
    requires=frozenset({"log_prob"}),
    insensitive_to=frozenset({"collapse"}),
)
broken = Metric(lambda inputs: 1 / 0, unit="nothing")
slow = Metric(lambda inputs: 3.0, unit="nothing", higher_is_better=None, quick=False)


class Doubled(FeatureExtractor):
    """Of another plugin: it knows nothing of dots but that they are tensors."""

    name = "doubled"
    digest = "d" * 64

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        return 2 * samples.flatten(1)


class OfDots:
    """What the plugin of the domain registers."""

    @hookimpl
    def gancore_domains(self) -> list[DomainEntry]:
        return [DomainEntry("dots", f"{__name__}:DotsDomain", "points in space")]


class OfOthers:
    """What a plugin without a domain registers: measures and features for any data, and for others'."""

    @hookimpl
    def gancore_metrics(self) -> list[MetricEntry]:
        names = (
            "mean_apart",
            "wrong_way",
            "certain",
            "random_one",
            "conditional_share",
            "likely",
            "broken",
            "slow",
        )
        of_dots = [MetricEntry(name, f"{__name__}:{name}", name, domains=("dots",)) for name in names]
        return [*of_dots, MetricEntry("elsewhere", f"{__name__}:slow", "", domains=("audio",))]

    @hookimpl
    def gancore_feature_extractors(self) -> list[FeatureExtractorEntry]:
        return [FeatureExtractorEntry("doubled", f"{__name__}:Doubled", "twice the coordinates")]
