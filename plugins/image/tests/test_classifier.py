"""The judge of pictures: what it sees, what it is blind to, how often it is right on pictures not seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gancore_image.classifier import (
    ClassifierConfig,
    ClassifierFeatures,
    ImageClassifier,
    ImageClassifierRecipe,
    shift_with_edges,
)
from gancore_image.config import ImageConfig
from gancore_image.domain import ImageDomain
from gancore_image.sources import SOURCES
from needs import data_root
from refusals import refused

from gancore import ConfigError, FeatureContext, Spec
from gancore.data.sources import resolve_source
from gancore.metrics.intervals import clopper_pearson
from gancore.models.model import Model, build_game
from gancore.random import Key, RowRange, noise_scope
from gancore.training.loop import play
from gancore.training.setup import set_up

SPEC = Spec({"image_size": 16, "channels": 1, "classes": ["a", "b", "c"]})


def net(side: int = 16, channels: int = 1, **config) -> ImageClassifier:
    torch.manual_seed(0)
    spec = Spec({**SPEC.fields, "image_size": side, "channels": channels})
    return ImageClassifier(ClassifierConfig(width=4, **config), spec, len(spec["classes"]))


@pytest.mark.parametrize(("side", "channels"), [(4, 1), (8, 3), (28, 1), (32, 2), (60, 4), (64, 3), (128, 3)])
def test_it_sees_any_side_and_channels(side, channels):
    pictures = Key.of("pictures").normal(3, channels, side, side)
    judge = net(side, channels).eval()
    assert judge.embed(pictures).shape == (3, 64)
    assert judge(pictures).shape == (3, 3) and judge(pictures).isfinite().all()
    assert judge(torch.zeros(2, channels, side, side)).isfinite().all()


def test_moved_pictures_are_those_of_a_loop():
    pictures = Key.of("pictures").normal(4, 2, 6, 6)
    shifts = torch.tensor([[0, 0], [2, -1], [-3, 1], [6, -7]])
    moved = shift_with_edges(pictures, shifts)
    for row, picture, (down, right) in zip(moved, pictures, shifts.tolist(), strict=True):
        for y in range(6):
            for x in range(6):
                from_y, from_x = min(max(y - down, 0), 5), min(max(x - right, 0), 5)
                assert torch.equal(row[:, y, x], picture[:, from_y, from_x])


def test_training_varies_pictures_as_its_configuration_says():
    """Moved by 8 % of the side, contrast and level by a fifth, noise to 0.05; keyed, row by row."""
    judge = net(side=50)
    dot = torch.full((600, 1, 50, 50), -0.5)
    dot[:, :, 25, 25] = 0.5
    with noise_scope(Key.of("vary"), RowRange.all(600)):
        varied = judge._augment(dot)
    places = varied.flatten(1).argmax(1)
    for place in (places // 50 - 25, places % 50 - 25):
        assert place.min() == -4 and place.max() == 4
    ground = varied[:, 0, :10].flatten(1)
    height = varied.flatten(1).amax(1) - ground.median(1).values
    assert 0.7 < height.min() < 0.9 and 1.1 < height.max() < 1.3  # contrast of 0.8 to 1.2, and noise
    level = ground.mean(1)
    assert -0.81 < level.min() < -0.7 and -0.3 < level.max() < -0.19
    assert ground.std(1).max() < 0.06 and ground.std(1).min() < 0.01
    with noise_scope(Key.of("vary"), RowRange(100, 150, 600)):
        assert torch.equal(judge._augment(dot[100:150]), varied[100:150])


def test_each_picture_is_judged_by_itself():
    judge, pictures = net().eval(), Key.of("pictures").normal(6, 1, 16, 16)
    assert torch.allclose(judge(pictures)[:2], judge(pictures[:2]), atol=1e-6)


@pytest.mark.parametrize("classes", [[], ["alone"]])
def test_data_without_labels_are_refused(classes):
    with refused(ConfigError, "classifier", "labels", fix="data.labels"):
        ImageClassifierRecipe().build(ClassifierConfig(), Spec({**SPEC.fields, "classes": classes}))


def trained(source: str | None, steps: int, root: Path | None = None, seed: int = 0, **settings):
    """The judge after so many steps, its data, how many pictures of test it names right, of how many."""
    data = ImageDomain().open(resolve_source(source, SOURCES, root, lambda line: None), ImageConfig())
    section = ClassifierConfig(steps=steps, **settings)
    game = build_game(ImageClassifierRecipe(), section, data.spec, seed)
    play(set_up(game, data.view("train"), batch_size=section.batch_size, seed=seed), steps)
    judge, right = game.sampler().eval(), 0
    with torch.no_grad():
        for rows in torch.arange(len(data.view("test"))).split(500):
            batch = data.view("test").get_batch(rows, Key.of("test"))
            right += int((judge.log_posteriors(batch.data).argmax(1) == batch.condition).sum())
    return judge, data, right, len(data.view("test"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield trained(None, 120, width=16)


def test_it_tells_the_built_in_digits_apart(digits):
    _, _, right, n = digits
    assert right >= 0.95 * n, f"{right} of {n}"


@pytest.mark.long
@pytest.mark.parametrize(("name", "share"), [("mnist", 0.985), ("fashion_mnist", 0.86)])
def test_it_names_pictures_of_the_official_test_sets(name, share):
    root = data_root(name)
    _, _, right, n = trained(name, ClassifierConfig().steps, root)
    low, high, _ = clopper_pearson(right, n)
    print(f"{right} of {n}: {right / n:.3f}, {low:.3f} to {high:.3f}")
    assert right >= share * n


# As features.


def test_a_classifier_is_had_where_there_are_labels_and_nowhere_else():
    images = ImageDomain()
    assert "classifier" in images.feature_extractors_for(SPEC)
    for bare in (Spec({}), Spec({"classes": ["alone"]})):
        assert "classifier" not in images.feature_extractors_for(bare)


def test_its_features_are_what_the_last_layer_sees_and_its_posteriors_go_with_them(digits, tmp_path):
    judge, data, _, _ = digits
    model = Model(judge, data.spec, ImageDomain(), {}, torch.device("cpu"))
    requests = []

    def ask(recipe, settings):
        requests.append((recipe, settings))
        return model

    features = ClassifierFeatures()
    features.prepare(FeatureContext(data, tmp_path, ask))
    assert requests == [("classifier", {})] and list(features.classes) == [str(n) for n in range(10)]
    batch = data.view("test").get_batch(torch.arange(20), Key.of(0))
    seen = features.embed(batch.data, data.spec)
    assert torch.equal(seen, judge.embed(batch.data)) and seen.shape == (20, 64)
    logits = judge.model.classify(seen)
    assert torch.allclose(features.log_posteriors(batch.data, data.spec), logits.log_softmax(1))
    with refused(ConfigError, "16x16", 32):
        features.embed(torch.zeros(2, 3, 32, 32), data.spec)


def test_its_digest_hangs_on_its_parameters_and_classes(digits, tmp_path):
    judge, data, _, _ = digits

    def digest() -> str:
        features = ClassifierFeatures()
        features.prepare(
            FeatureContext(data, tmp_path, lambda r, s: Model(judge, data.spec, ImageDomain(), {}, "cpu"))
        )
        return features.digest

    before = digest()
    assert digest() == before
    with torch.no_grad():
        judge.model.head.bias += 1
    assert digest() != before
    with torch.no_grad():
        judge.model.head.bias -= 1


def test_pictures_can_be_larger_where_recipes_can_make_them():
    spec = Spec({"image_size": 16, "channels": 1, "classes": ["a"]})
    assert (
        ImageDomain().scale_spec(spec, 2)["image_size"] == 32
        and ImageDomain().scale_spec(spec, 0.5)["image_size"] == 8
    )
    assert ImageDomain().scale_spec(spec, 2)["classes"] == ["a"]
    assert ImageDomain().scale_spec(spec, 7 / 16)["image_size"] == 7
    assert ImageDomain().scale_spec(spec, 1 / 3) is None and ImageDomain().scale_spec(spec, 1 / 8) is None
