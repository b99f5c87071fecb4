"""The metrics of one graph compare samples with the training graph, at as many edges."""

from __future__ import annotations

from dataclasses import replace

import gancore_graph.statistic_metrics as metrics
import numpy as np
import pytest
import torch
from gancore_graph import statistics
from gancore_graph.canberra import canberra
from gancore_graph.canonical import edges_of, to_tensors
from gancore_graph.config import GraphConfig
from gancore_graph.domain import GraphDomain
from gancore_graph.memo import as_graph
from gancore_graph.registry import STATISTICS

from gancore import Metric, MetricInputs, SampleSet
from gancore.data.sources import resolve_source
from gancore.errors import ConfigError
from gancore.evaluation.report import differs_from_real
from gancore.metrics import MetricResult
from gancore.random import Key
from gancore.trees import tree_cat


@pytest.fixture(scope="module")
def data():
    domain = GraphDomain()
    return domain.open(
        resolve_source("les_miserables", domain.sources, None, lambda line: None), GraphConfig()
    )


def row(data, split):
    return data.view(split).get_batch(torch.tensor([0]), Key.of(0)).data


def inputs(data, *fakes):
    rows = SampleSet(tree_cat(list(fakes)))
    return MetricInputs(rows, SampleSet(row(data, "test")), SampleSet(row(data, "train")), data.spec)


def noise(data, count):
    return [GraphDomain().noise(row(data, "train"), Key.of(seed)) for seed in range(count)]


def path_graph(data):
    nodes = int(data.spec["max_nodes"])
    numbers = torch.arange(nodes)
    return to_tensors([(torch.stack([numbers[:-1], numbers[1:]], 1), nodes)], data.spec["max_edges"])


def test_every_statistic_of_train_itself_is_ideal(data):
    for name in STATISTICS:
        metric = getattr(metrics, name)
        assert isinstance(metric, Metric)
        assert metric.compute(inputs(data, row(data, "train"))) == pytest.approx(metric.ideal, abs=1e-12)


def test_a_value_is_the_mean_over_samples_over_trains(data):
    fakes = noise(data, 5)
    graphs = [as_graph(edges_of(fake, 0), 77) for fake in fakes]
    own = as_graph(edges_of(row(data, "train"), 0), 77)
    shown = inputs(data, *fakes)
    for metric, function in (
        (metrics.triangles, statistics.triangles),
        (metrics.four_cycles, statistics.four_cycles),
        (metrics.gini, statistics.gini),
    ):
        values = np.array([function(graph) for graph in graphs])
        assert metric.compute(shown) == pytest.approx(values.mean() / function(own))
        low, high, method = metric.interval(shown)
        assert low < metric.compute(shown) < high and "5 rows" in method
        details = metric.details(shown)
        assert details["samples"] == pytest.approx(values.mean()) and details["train"] == function(own)
    values = [statistics.assortativity(graph) for graph in graphs]
    difference = np.mean(values) - statistics.assortativity(own)
    assert metrics.assortativity.compute(shown) == pytest.approx(difference)


def test_real_rows_are_thinned_to_trains_edges_and_stay_connected(data):
    whole, train = (as_graph(edges_of(row(data, split), 0), 77) for split in ("test", "train"))
    thinned = metrics.thin(whole, len(train.edges), 1)
    assert len(thinned.edges) == len(train.edges) and statistics.components(thinned) == 1
    assert {*map(tuple, thinned.edges.tolist())} < {*map(tuple, whole.edges.tolist())}
    assert metrics.thin(train, len(train.edges), 1) is train
    assert len(metrics.thin(whole, 10, 1).edges) == 76, "a spanning tree remains"
    assert metrics.wedges.compute(inputs(data, row(data, "test"))) == pytest.approx(1, abs=0.15)


def test_the_interval_of_a_real_row_is_where_graphs_drawn_like_train_lie(data):
    whole, train = (as_graph(edges_of(row(data, split), 0), 77) for split in ("valid", "train"))
    shown = inputs(data, row(data, "valid"))
    thinned = [metrics.thin(whole, len(train.edges), shown.key.seed + copy) for copy in range(16)]
    values = np.array([statistics.triangles(graph) for graph in thinned]) / statistics.triangles(train)
    low, high, method = metrics.triangles.interval(shown)
    assert metrics.triangles.compute(shown) == pytest.approx(values.mean())
    assert high - low == pytest.approx(2 * 1.959964 * values.std(ddof=1)) and "16 thinned" in method
    assert low < 1 < high, "train is one such graph"
    with pytest.raises(ConfigError, match="1 rows"):
        metrics.triangles.interval(inputs(data, row(data, "train")))  # nothing to thin: one value


def test_the_canberra_distance_is_the_mean_over_samples_and_statistics(data):
    assert canberra.compute(inputs(data, row(data, "train"))) == 0
    own = as_graph(edges_of(row(data, "train"), 0), 77)
    fakes = [*noise(data, 2), path_graph(data)]
    graphs = [as_graph(edges_of(fake, 0), 77) for fake in fakes]
    ratios = {name: one for name, one in metrics.KNOWN_STATISTICS.items() if name != "assortativity"}
    table = np.array([[one.function(graph, own) for one in ratios.values()] for graph in graphs])
    train = np.array([one.function(own, own) for one in ratios.values()])
    terms = np.abs(table - train) / (table + train)
    assert canberra.compute(inputs(data, *fakes)) == pytest.approx(np.nan_to_num(terms, nan=1.0).mean())
    real, random = (canberra.compute(inputs(data, one)) for one in (row(data, "valid"), noise(data, 1)[0]))
    assert real < 0.03 < 0.3 < random < 1


def test_a_graph_with_too_few_triangles_is_told_from_real_though_it_ranks_held_out_edges(data):
    """What an evaluation says of it: by its own scores nothing is known, by its statistics it is told."""
    own = MetricResult("link_roc_auc", 0.95, 0.86, 1.0, higher_is_better=True, own_scored=True)
    own = replace(own, anchors={"real": 0.976, "noise": 0.46}, real_low=0.94, real_high=1.0)
    own = replace(own, matched=0.95, matched_low=0.86, matched_high=1.0)
    few, real = inputs(data, *noise(data, 4)), inputs(data, row(data, "valid"))
    low, high, _ = metrics.triangles.interval(few)
    value = metrics.triangles.compute(few)
    real_low, real_high, _ = metrics.triangles.interval(real)
    told = MetricResult("triangles", value, low, high, higher_is_better=False, ideal=1.0)
    told = replace(told, matched=value, matched_low=low, matched_high=high)
    told = replace(told, anchors={"real": metrics.triangles.compute(real)})
    told = replace(told, real_low=real_low, real_high=real_high)
    assert differs_from_real([own]) is None and differs_from_real([own, told]) is True


def test_samples_without_a_statistic_are_left_out_and_counted(data):
    nodes = int(data.spec["max_nodes"])
    empty = to_tensors([(torch.zeros(0, 2, dtype=torch.int64), nodes)], data.spec["max_edges"])
    shown = inputs(data, empty, row(data, "train"))
    assert metrics.gini.compute(shown) == pytest.approx(1)
    assert metrics.gini.details(shown)["not defined"] == 1
    assert metrics.maximum_degree.compute(shown) == pytest.approx(0.5)
    with pytest.raises(ConfigError, match="not defined for any sample"):
        metrics.gini.compute(inputs(data, empty))


def test_a_statistic_that_train_has_not_is_refused(data):
    shown = inputs(data, row(data, "train"))
    of_path = MetricInputs(shown.fake, shown.real, SampleSet(path_graph(data)), data.spec)
    with pytest.raises(ConfigError, match="0 for the training graph"):
        metrics.triangles.compute(of_path)
    assert metrics.path_length.compute(of_path) < 0.3


def test_many_samples_are_cut_by_the_key_alone(data):
    fakes = noise(data, 6)
    shown = inputs(data, *fakes)
    few = metrics.Statistic(lambda graph, train: statistics.triangles(graph), most=3)
    metric = metrics.statistic_metric(few)
    assert metric.details(shown)["graphs"] == 3
    assert metric.compute(shown) == metric.compute(inputs(data, *fakes[::-1]))
