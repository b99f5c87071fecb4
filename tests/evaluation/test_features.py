"""The core's own features, and how any are made: in chunks, once, and never from a torn file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from refusals import refused
from torch import Tensor

from gancore.data.dataset import Batch, Data, Spec, View
from gancore.digests import digest_tensors
from gancore.errors import PluginError
from gancore.evaluation.cache import DiskCache
from gancore.evaluation.features import (
    CHUNK_ROWS,
    MAX_COVARIANCE_SIZE,
    FeatureContext,
    FeatureExtractor,
    FeaturePipeline,
    PrincipalComponents,
    flatten_rows,
)
from gancore.random import Key


@dataclass
class Rows(View):
    data: Tensor

    def __len__(self) -> int:
        return len(self.data)

    def get_batch(self, indices: Tensor, key: Key) -> Batch:
        return Batch(self.data[indices])


def principal(rows: Tensor, tmp_path, fingerprint: str = "one") -> PrincipalComponents:
    view = Rows(rows)
    bench = FeatureContext(
        Data(view, view, view, Spec({}), fingerprint=fingerprint), tmp_path, train_recipe=None
    )
    features = PrincipalComponents()
    features.prepare(bench)
    return features


def slanted(n: int, d: int) -> Tensor:
    """Gaussian rows whose coordinates depend on each other and have many scales."""
    key = Key.of("slanted", n, d)
    return (key / "x").normal(n, d) * torch.logspace(0, -1, d) @ (key / "mix").normal(d, d) + 3


# Principal components.


@pytest.mark.parametrize(("n", "d", "kept"), [(2000, 5, 5), (3000, 100, 64), (300, 50, 30), (25, 3, 2)])
def test_components_of_train_are_uncorrelated_and_have_variance_one(tmp_path, n, d, kept):
    x = slanted(n, d)
    z = principal(x, tmp_path).embed(x, Spec({}))
    assert z.shape == (n, kept)
    assert z.dtype == torch.float32
    covariance = torch.atleast_2d(torch.cov(z.T.double(), correction=0))
    torch.testing.assert_close(covariance, torch.eye(kept).double(), atol=2e-3, rtol=0)
    assert z.mean(0).abs().max() < 1e-3


def test_they_are_those_of_a_singular_value_decomposition(tmp_path):
    """numpy's, of all rows, but for the sign: there the largest entry is positive."""
    x = slanted(500, 8)
    features = principal(x, tmp_path)
    centred = x.double().numpy() - x.double().numpy().mean(0)
    _, singular, rows = np.linalg.svd(centred, full_matrices=False)
    expected = rows.T * (np.sqrt(500) / singular)
    expected *= np.sign(expected[np.abs(expected).argmax(0), range(8)])
    np.testing.assert_allclose(
        features.weights.numpy(), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max()
    )


def test_more_coordinates_than_rows_go_through_products_of_rows(tmp_path):
    """A plane in many dimensions: two components, and distances within the plane kept up to their scales."""
    key = Key.of("plane")
    place = (key / "place").normal(900, 2)
    x = place @ (key / "plane").normal(2, MAX_COVARIANCE_SIZE + 100)
    z = principal(x, tmp_path).embed(x, Spec({}))
    assert z.shape == (900, 2)
    fit = torch.linalg.lstsq(torch.cat([place, torch.ones(900, 1)], 1), z)
    assert (torch.cat([place, torch.ones(900, 1)], 1) @ fit.solution - z).abs().max() < 1e-3


def test_equal_rows_have_a_finite_component(tmp_path):
    x = torch.full((50, 4), 7.0)
    assert (principal(x, tmp_path).embed(x, Spec({})) == 0).all()


def test_all_leaves_of_a_tree_are_coordinates():
    tree = {
        "a": torch.zeros(3, 2, 2),
        "b": (torch.ones(3, dtype=torch.int64), torch.zeros(3, 5, dtype=torch.bool)),
    }
    assert flatten_rows(tree).shape == (3, 10)


def test_they_are_kept_for_the_same_data_and_made_again_for_others(tmp_path):
    x, y = slanted(200, 4), slanted(200, 5)[:, :4]
    one = principal(x, tmp_path)
    files = {file: file.stat().st_ino for file in (tmp_path / "principal").rglob("*") if file.is_file()}
    assert principal(x, tmp_path, "other").digest == one.digest
    assert files == {file: file.stat().st_ino for file in files}, "the same rows are fitted once"
    other = principal(y, tmp_path)
    assert other.digest != one.digest, "of the same fingerprint, and of other rows"
    for file in (tmp_path / "principal").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:-1])
    assert principal(y, tmp_path).digest == other.digest


@pytest.mark.parametrize("d", [2, 3, 8, 16, 64, 256])
def test_features_fitted_and_features_read_are_the_same_bytes(tmp_path, d):
    """Those at hand after fitting and those of the next time, of samples and of rows that are kept."""
    x = Key.of("x", d).normal(700, d)
    fitted, loaded = principal(x, tmp_path), principal(x, tmp_path)
    assert fitted.weights.is_contiguous() and fitted.weights.stride() == loaded.weights.stride()
    assert torch.equal(fitted.embed(x, Spec({})), loaded.embed(x, Spec({})))
    looks = [
        FeaturePipeline(Spec({}), torch.device("cpu"), DiskCache(tmp_path / "sets"), each)
        for each in (fitted, loaded)
    ]
    kept = [pipeline.extract(Batch(x), cache=True).features for pipeline in looks]
    copied = looks[1].extract(Batch(x[:300]), cache=False).features
    assert torch.equal(kept[0], kept[1]) and torch.equal(copied, kept[0][:300])


def test_a_store_gives_what_it_was_given_as_it_will_be_read(tmp_path):
    x = torch.arange(6.0).reshape(2, 3).T
    store = DiskCache(tmp_path)
    made, read = (store.tensors("key", lambda: {"x": x})["x"] for _ in range(2))
    assert torch.equal(made, x) and made.stride() == read.stride() == (2, 1)


# Extraction.


class Counting(FeatureExtractor):
    """The mean of a row, and how many rows each call saw."""

    name = "counting"
    digest = "c" * 64

    def __init__(self) -> None:
        self.seen: list[int] = []

    def embed(self, samples: Tensor, spec: Spec) -> Tensor:
        self.seen.append(len(samples))
        return samples.mean(1, keepdim=True)


@pytest.fixture
def pipeline(tmp_path) -> FeaturePipeline:
    return FeaturePipeline(Spec({}), torch.device("cpu"), DiskCache(tmp_path / "sets"), Counting())


def test_features_are_made_in_chunks_and_joined_in_order(pipeline):
    x = Key.of("x").normal(2 * CHUNK_ROWS + 3, 4)
    seen = pipeline.extract(Batch(x), cache=False)
    assert pipeline.features.seen == [CHUNK_ROWS, CHUNK_ROWS, 3]
    torch.testing.assert_close(seen.features, x.mean(1, keepdim=True))
    assert seen.log_posteriors is None


def test_of_real_rows_they_are_made_once_and_of_samples_each_time(pipeline):
    x = Key.of("x").normal(10, 4)
    kept = [pipeline.extract(Batch(x), cache=True).features for _ in range(3)]
    assert pipeline.features.seen == [10]
    assert all(torch.equal(features, kept[0]) for features in kept)
    pipeline.extract(Batch(x.clone() + 1e-7), cache=True)  # other bytes, other content
    pipeline.extract(Batch(x), cache=False)
    assert pipeline.features.seen == [10, 10, 10]


def test_an_extractor_that_classifies_too_passes_over_the_samples_once(pipeline):
    class Both(Counting):
        classes = ("low", "high")

        def log_posteriors(self, samples: Tensor, spec: Spec) -> Tensor:
            return torch.cat([samples[:, :1], -samples[:, :1]], 1).log_softmax(1)

        def embed_and_classify(self, samples: Tensor, spec: Spec) -> tuple[Tensor, Tensor]:
            return self.embed(samples, spec), self.log_posteriors(samples, spec)

    x, both = Key.of("x").normal(CHUNK_ROWS + 5, 4), Both()
    pipeline.features = pipeline.classifier = both
    together = pipeline.extract(Batch(x), cache=False)
    assert both.seen == [CHUNK_ROWS, 5]
    assert torch.equal(together.log_posteriors, both.log_posteriors(x, Spec({})))
    kept = [pipeline.extract(Batch(x), cache=True) for _ in range(2)]
    assert both.seen == 2 * [CHUNK_ROWS, 5]
    assert all(torch.equal(one.features, together.features) for one in kept)
    assert all(torch.equal(one.log_posteriors, together.log_posteriors) for one in kept)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:40] + b"!" + b[41:], lambda b: b * 2]
)
def test_a_torn_or_altered_file_is_made_again(pipeline, tmp_path, damage):
    x = Key.of("x").normal(10, 4)
    expected = pipeline.extract(Batch(x), cache=True).features
    (file,) = (path for path in (tmp_path / "sets").rglob("*") if path.is_file())
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert torch.equal(pipeline.extract(Batch(x), cache=True).features, expected)
    assert pipeline.features.seen == [10, 10]
    assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_written_costs_time_and_is_told_of_once(tmp_path):
    (tmp_path / "file").write_text("in the way")
    messages = []
    pipeline = FeaturePipeline(
        Spec({}), torch.device("cpu"), DiskCache(tmp_path / "file" / "sets", messages.append), Counting()
    )
    for _ in range(2):
        pipeline.extract(Batch(torch.ones(5, 2)), cache=True)
    assert pipeline.features.seen == [5, 5]
    assert len(messages) == 1 and messages[0].startswith("results are not cached for the next evaluation: ")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda x: x[0], "(4,)|10"),
        (lambda x: x[:5], "(5, 4)|10"),
    ],
)
def test_what_are_no_features_is_said(pipeline, made, said):
    class Bad(FeatureExtractor):
        name, digest = "bad", "b" * 64

        def embed(self, samples: Tensor, spec: Spec) -> Tensor:
            return made(samples)

    pipeline.features = Bad()
    with refused(PluginError, "bad", *said.split("|")):
        pipeline.extract(Batch(torch.ones(10, 4)), cache=False)


def test_features_that_are_not_finite_are_refused_of_real_rows_alone(pipeline):
    """Of samples the measures that need them are left out; see test_named_outcomes.py."""

    class Logarithm(FeatureExtractor):
        name, digest = "logarithm", "b" * 64

        def embed(self, samples: Tensor, spec: Spec) -> Tensor:
            return samples.log()

    pipeline.features, x = Logarithm(), torch.ones(10, 4)
    x[3:5] = 0
    with refused(PluginError, "logarithm", "2", "10", fix="--feature-extractor"):
        pipeline.extract(Batch(x), cache=True)
    assert pipeline.extract(Batch(x), cache=False).features[3:5].isinf().all()


def test_content_is_of_bytes_types_and_shapes():
    x = torch.arange(6.0)
    same = [x, x.clone(), torch.stack([x, x], 1)[:, 0]]
    assert len({digest_tensors(tree) for tree in same}) == 1
    others = [x.double(), x.reshape(2, 3), x + 1, {"a": x, "b": x}, (x[:3], x[3:])]
    assert len({digest_tensors(tree) for tree in [x, *others]}) == 6
