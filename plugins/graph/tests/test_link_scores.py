"""Scores of held-out edges are those of scikit-learn, and the right pairs are scored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gancore_graph.config import GraphConfig
from gancore_graph.domain import GraphDomain
from gancore_graph.link_scores import (
    average_precision,
    edge_overlap,
    held_out,
    held_out_nats,
    link_roc_auc,
    roc_auc,
    roc_interval,
)
from sklearn.metrics import average_precision_score, roc_auc_score

from gancore import MetricInputs, SampleSet
from gancore.data.sources import resolve_source
from gancore.errors import ConfigError
from gancore.random import Key


def scores(seed, tied=False):
    one, other = Key.of(seed, 1).normal(40) + 0.7, Key.of(seed, 2).normal(60)
    return (one.round(), other.round()) if tied else (one, other)


@pytest.mark.parametrize("tied", [False, True])
def test_roc_and_precision_are_those_of_scikit_learn(tied):
    for seed in range(5):
        edges, others = scores(seed, tied)
        labels, values = [1] * 40 + [0] * 60, torch.cat([edges, others]).numpy()
        assert roc_auc(edges, others) == pytest.approx(roc_auc_score(labels, values))
        assert average_precision(edges, others) == pytest.approx(average_precision_score(labels, values))


def test_the_interval_covers_the_truth():
    truth, hits = 0.6897, 0  # P(N(.7, 1) > N(0, 1)) = Phi(.7 / sqrt 2)
    for seed in range(200):
        low, high, _ = roc_interval(*scores(seed))
        hits += low <= truth <= high
    assert 180 <= hits <= 199


def inputs(reference="test", likelihood=None, fake="train"):
    domain = GraphDomain()
    source = resolve_source("les_miserables", domain.sources, None, lambda line: None)
    data = domain.open(source, GraphConfig())

    def rows(split):
        return SampleSet(data.view(split).get_batch(torch.tensor([0]), Key.of(0)).data)

    return MetricInputs(rows(fake), rows(reference), rows("train"), data.spec, likelihood=likelihood)


def test_the_row_of_test_gives_the_edges_of_test_alone():
    for split, count in (("valid", 25), ("test", 13)):
        found = held_out(inputs(split))
        assert len(found.edges) == len(found.non_edges) == count
    assert not {*map(tuple, held_out(inputs("valid")).edges.tolist())} & {
        *map(tuple, held_out(inputs("test")).edges.tolist())
    }
    with pytest.raises(ConfigError, match="no edges that train has not"):
        held_out(inputs("train"))


def test_a_model_that_knows_the_edges_scores_them_all():
    whole = inputs().real.samples["edges"][0]
    known = {tuple(edge) for edge in whole.tolist()}

    def likelihood(batch):
        pairs = batch.data["edges"][:, 0].tolist()
        return torch.tensor([-1.0 if tuple(pair) in known else -9.0 for pair in pairs])

    shown = inputs(likelihood=likelihood)
    assert link_roc_auc.compute(shown) == 1 and held_out_nats.compute(shown) == 1
    assert link_roc_auc.interval(shown).high == 1
    with pytest.raises(ConfigError, match="no likelihood"):
        link_roc_auc.compute(inputs())


def test_the_overlap_is_the_share_of_trains_edges():
    assert edge_overlap.compute(inputs()) == 1 and edge_overlap.compute(inputs(fake="test")) == 1
    shown = inputs()
    noise = GraphDomain().noise(shown.train.samples, Key.of(1))
    share = edge_overlap.compute(MetricInputs(SampleSet(noise), shown.real, shown.train, shown.spec))
    assert share == pytest.approx(216 / (77 * 38), abs=0.06) and np.isfinite(share)
