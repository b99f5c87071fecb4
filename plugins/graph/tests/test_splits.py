"""Held-out edges: apart from train, which stays connected; and rows that are nested."""

from __future__ import annotations

import os

import networkx
import numpy as np
import pytest
import torch
from gancore_graph.canonical import edges_of
from gancore_graph.config import GraphConfig
from gancore_graph.domain import GraphDomain
from gancore_graph.graph import Arcs, make_graph, pair_keys
from gancore_graph.memory import edge_array
from gancore_graph.splits import draw_split, published_split

from gancore.data.sources import resolve_source
from gancore.errors import ConfigError, DataError
from gancore.random import Key


def as_graph(graph):
    return make_graph(Arcs(edge_array(graph), np.arange(len(graph)), False), "g")


def keys(pairs, nodes):
    return set(pair_keys(np.asarray(pairs), nodes).tolist())


@pytest.mark.parametrize("seed", range(5))
def test_train_is_connected_and_the_parts_are_apart(seed):
    graph = as_graph(networkx.barabasi_albert_graph(60, 2, seed=seed))
    split = draw_split(graph, GraphConfig(seed=seed))
    parts = [keys(part, 60) for part in (split.train, split.valid, split.test)]
    assert sum(map(len, parts)) == len(graph.edges) == len(set().union(*parts))
    assert networkx.is_connected(networkx.Graph(split.train.tolist())) and len(set(split.train.ravel())) == 60
    none = [keys(part, 60) for part in (split.valid_non_edges, split.test_non_edges)]
    assert not none[0] & none[1] and not (none[0] | none[1]) & set().union(*parts)
    assert [len(part) for part in none] == [len(split.valid), len(split.test)] == [12, 6]


def test_the_seed_decides_the_split_and_nothing_else():
    graph = as_graph(networkx.les_miserables_graph())
    one, same, other = (draw_split(graph, GraphConfig(seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.test, same.test) and not np.array_equal(one.test, other.test)


def test_what_cannot_be_held_out_is_said():
    with pytest.raises(DataError, match="1 can be held out"):
        draw_split(as_graph(networkx.cycle_graph(5)), GraphConfig())
    split = draw_split(as_graph(networkx.complete_bipartite_graph(2, 3)), GraphConfig())
    assert [len(split.train), len(split.valid), len(split.test)] == [4, 1, 1] and not split.notes
    with pytest.raises(DataError, match="0 pairs of nodes are no edges"):
        draw_split(as_graph(networkx.complete_graph(5)), GraphConfig())


def test_a_nearly_complete_graph_has_few_pairs_to_hold_out():
    graph = networkx.complete_graph(20)
    graph.remove_edges_from([(0, 1), (2, 3), (4, 5)])
    split = draw_split(as_graph(graph), GraphConfig())
    assert len(split.valid) + len(split.test) == 3 and "3 edges instead of" in split.notes[0]


def open_source(name, **changes):
    domain = GraphDomain()
    source = resolve_source(name, domain.sources, None, lambda line: None)
    return domain.open(source, GraphConfig(**changes))


def test_rows_are_nested_and_held_out_edges_are_a_row_minus_train():
    data = open_source("les_miserables")
    rows = [
        edges_of(data.view(s).get_batch(torch.tensor([0]), Key.of(0)).data, 0)
        for s in ("train", "valid", "test")
    ]
    train, valid, test = (keys(row, 77) for row in rows)
    assert train < valid < test and len(test) == 254
    assert valid - train == keys(data.spec["valid_edges"].numpy(), 77)
    assert len(data.splits["valid"]) == len(valid) - len(train)
    assert data.spec["node_names"][0] == "Napoleon"


def test_rows_of_one_graph_share_its_memory():
    batch = (
        open_source("les_miserables").view("train").get_batch(torch.zeros(1000, dtype=torch.int64), Key.of(0))
    )
    assert batch.data["edges"].shape == (1000, 254, 2) and batch.data["edges"].stride(0) == 0


def test_a_folder_of_files_is_a_set_of_graphs(tmp_path):
    for number in range(30):
        graph = networkx.gnm_random_graph(8, 9, seed=number)
        networkx.write_edgelist(graph, tmp_path / f"{number}.edges", data=False)
    data = open_source(str(tmp_path))
    assert data.spec["graphs"] == len(data.view("train")) and sum(map(len, data.splits.values())) == 30
    batch = data.view("train").get_batch(torch.arange(2), Key.of(0))
    assert batch.data["edges"].shape == (2, 9, 2) and batch.data["nodes"].shape == (2,)
    with pytest.raises(ConfigError, match="no published split"):
        open_source(str(tmp_path), split="published")


def write_rings(folder, sizes):
    folder.mkdir(parents=True, exist_ok=True)
    for size in sizes:
        networkx.write_edgelist(networkx.cycle_graph(size), folder / f"{size}.edges", data=False)


def lines_of(data, start):
    return [line for line in data.summary if line.startswith(start)]


@pytest.mark.parametrize("valid", ["valid", "validation", "val"])
def test_folders_of_a_set_are_its_splits_and_no_held_out_graph_is_in_train(tmp_path, valid):
    write_rings(tmp_path / "train", range(10, 30))
    write_rings(tmp_path / valid, range(28, 34))
    write_rings(tmp_path / "test", range(33, 50))
    (tmp_path / "README.txt").write_text("rings\n")
    data = open_source(str(tmp_path), split="published")
    assert set(data.splits["train"]) == {f"train/{size}.edges" for size in range(10, 28)}
    assert set(data.splits["valid"]) == {f"{valid}/{size}.edges" for size in range(28, 33)}
    assert set(data.splits["test"]) == {f"test/{size}.edges" for size in range(33, 50)}
    assert lines_of(data, "splits") == [
        "splits: 18 train, 5 valid, 17 test; the set's own: test, train, valid"
    ]
    assert "3 graphs" in lines_of(data, "left out")[0] and "train/28.edges" in lines_of(data, "left out")[0]


def test_a_split_that_a_set_lacks_is_drawn_from_its_train(tmp_path):
    write_rings(tmp_path / "train", range(10, 40))
    data = open_source(str(tmp_path))
    assert all(data.splits.values()) and lines_of(data, "splits")[0].endswith("the set's own: train")
    with pytest.raises(ConfigError, match="no published split"):
        open_source(str(tmp_path), split="published")
    write_rings(tmp_path / "test", range(50, 60))
    data = open_source(str(tmp_path))
    assert set(data.splits["test"]) == {f"test/{size}.edges" for size in range(50, 60)}
    assert data.splits["valid"] and len(data.splits["valid"]) + len(data.splits["train"]) == 30


def test_a_set_of_a_test_folder_alone_is_divided_by_content(tmp_path):
    write_rings(tmp_path / "test", range(10, 40))
    data = open_source(str(tmp_path))
    assert all(data.splits.values()) and lines_of(data, "splits")[0].endswith("by content")


def test_what_is_no_graph_in_a_folder_is_named_and_costs_no_graph(tmp_path):
    for number in range(6):
        networkx.write_edgelist(networkx.cycle_graph(6 + number), tmp_path / f"{number}.edges", data=False)
    (tmp_path / "README.txt").write_text("graphs of rings\nfrom a friend\n")
    (tmp_path / "damaged.edges").write_bytes(b"\xff\xfa1 2\n")
    (tmp_path / "old.gml").write_text("graph []")
    os.mkfifo(tmp_path / "pipe.edges")
    data = open_source(str(tmp_path))
    assert sum(map(len, data.splits.values())) == 6
    told = " ".join(line for line in data.summary if line.startswith(("not used", "skipped")))
    assert all(name in told for name in (".gml 1", "skipped: 3", "README.txt", "damaged.edges", "pipe.edges"))
    for number in range(6):
        (tmp_path / f"{number}.edges").unlink()
    with pytest.raises(DataError, match=r"README\.txt"):
        open_source(str(tmp_path))


def test_files_without_edges_cost_no_graph_of_a_set_unless_none_is_left(tmp_path):
    (tmp_path / "loops.edges").write_text("0 0\n1 1\n")
    (tmp_path / "empty.mtx").write_text("%%MatrixMarket matrix coordinate pattern symmetric\n3 3 0\n")
    (tmp_path / "huge.mtx").write_text(f"%%MatrixMarket matrix array real general\n{10**6} {10**6}\n")
    with pytest.raises(DataError, match=r"empty\.mtx has no edges.*huge\.mtx.*GiB.*2 self-loops"):
        open_source(str(tmp_path))
    for number in range(6):
        networkx.write_edgelist(networkx.cycle_graph(6 + number), tmp_path / f"{number}.edges", data=False)
    data = open_source(str(tmp_path))
    assert sum(map(len, data.splits.values())) == 6
    assert any(line.startswith("skipped: 3, empty.mtx") and "loops.edges" in line for line in data.summary)


def test_a_tu_set_is_read_by_graph(tmp_path):
    (tmp_path / "X_A.txt").write_text("1, 2\n2, 1\n3, 4\n4, 3\n4, 5\n5, 4\n6, 7\n7, 6\n")
    (tmp_path / "X_graph_indicator.txt").write_text("1\n1\n2\n2\n2\n3\n3\n")
    from gancore_graph.tu_sets import find_tu_set, read_tu_set

    graphs, names = read_tu_set(tmp_path, find_tu_set(tmp_path))
    assert names == ["X-1", "X-2", "X-3"] and [len(g.names) for g in graphs] == [2, 3, 2]
    assert make_graph(graphs[1], "x").edges.tolist() == [[0, 1], [1, 2]]
    (tmp_path / "X_A.txt").write_text("99999999999999999999, 1\n")
    with pytest.raises(DataError, match="no list of 2 integers"):
        read_tu_set(tmp_path, "X")
    (tmp_path / "X_A.txt").write_text("1, 3\n")
    with pytest.raises(DataError, match="joins two graphs"):
        read_tu_set(tmp_path, "X")


def test_a_published_split_must_be_one_of_the_graph():
    graph = as_graph(networkx.cycle_graph(6))
    edges = graph.edges
    arrays = {
        "train_ones": np.concatenate([edges[:4], edges[:4, ::-1]]),
        "val_ones": edges[4:5],
        "test_ones": edges[5:],
        "val_zeros": np.array([[0, 2]]),
        "test_zeros": np.array([[0, 3]]),
    }
    split = published_split(graph, arrays, "s")
    assert len(split.train) == 4 and split.test_non_edges.tolist() == [[0, 3]]
    with pytest.raises(DataError, match="no edge is one"):
        published_split(graph, {**arrays, "val_zeros": edges[:1]}, "s")
    with pytest.raises(DataError, match="not those of the graph"):
        published_split(graph, {**arrays, "test_ones": edges[4:5]}, "s")
    with pytest.raises(DataError, match="has no val_zeros"):
        published_split(graph, {k: v for k, v in arrays.items() if k != "val_zeros"}, "s")
