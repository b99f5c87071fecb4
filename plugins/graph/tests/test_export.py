"""Samples of graphs as files, pictures and objects, and the faults that are found in them."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
import torch
from gancore_graph import networkx_graphs
from gancore_graph.canonical import edges_of, to_tensors
from gancore_graph.config import GraphConfig
from gancore_graph.diagnosis import find_faults, largest_share
from gancore_graph.domain import GraphDomain
from gancore_graph.drawing import draw_graphs
from gancore_graph.export import ENCODERS, to_networkx, to_pyg, write_samples
from gancore_graph.graph import make_graph
from gancore_graph.layout import find_layout
from gancore_graph.sources import read_file

from gancore import Samples, Spec
from gancore.errors import ConfigError

PATH = torch.tensor([[0, 1], [1, 2]])
NAMES = ["a b", "<&>", "#c", "alone"]


def samples(*graphs, names=NAMES, nodes=4):
    rows = graphs or (PATH,)
    spec = {"graphs": 1, "max_nodes": nodes, "max_edges": 6, "node_names": names}
    layout = torch.zeros(nodes, 2)
    return Samples(
        to_tensors([(edges, nodes) for edges in rows], 6),
        Spec(spec, {"degree_counts": torch.tensor([0, 2, 1]), "layout": layout}),
    )


def test_each_format_reads_back(tmp_path):
    paths = write_samples(samples(PATH, PATH[:1]), tmp_path / "new", tuple(ENCODERS))
    assert len(paths) == 6 and paths[0].name == "0001.graphml"
    for path in paths[:3]:
        graph = make_graph(read_file(path, GraphConfig()), path.name)
        assert graph.nodes == 4 and len(graph.edges) == 2 and sorted(graph.degrees()) == [0, 1, 1, 2]
    names = make_graph(read_file(tmp_path / "new" / "0001.graphml", GraphConfig()), "g").names
    assert names.tolist() == NAMES


def test_names_that_a_line_cannot_hold_stay_different(tmp_path):
    names = ["a b", "a,b", "a_b", "//a"]
    path = write_samples(samples(names=names), tmp_path, ("edges",))[0]
    graph = make_graph(read_file(path, GraphConfig()), "g")
    assert graph.nodes == 4 and len(graph.edges) == 2
    assert sorted(graph.names.tolist()) == ["a", "a_b", "a_b_2", "a_b_3"]


def test_networkx_reads_what_is_written(tmp_path):
    path = write_samples(samples(), tmp_path)[0]
    graph = networkx.read_graphml(path)
    assert sorted(graph.nodes) == sorted(NAMES) and graph.number_of_edges() == 2
    own = to_networkx(edges_of(samples().data, 0), np.array(NAMES))
    assert set(map(frozenset, own.edges)) == {frozenset(("a b", "<&>")), frozenset(("<&>", "#c"))}


def test_pyg_gives_both_directions_or_says_what_to_install():
    try:
        made = to_pyg(PATH.numpy(), 4)
    except ConfigError as error:
        assert "torch-geometric" in str(error)
    else:
        assert made.edge_index.tolist() == [[0, 1, 1, 2], [1, 2, 0, 1]] and made.num_nodes == 4


def test_an_unknown_format_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"'gml'.*give one of graphml .*, edges .*, npz "):
        GraphDomain().write_formats(samples(), tmp_path, ("npz", "gml"))
    assert not list(tmp_path.iterdir())


def test_a_format_alone_is_written_and_objects_have_the_names(tmp_path):
    assert set(GraphDomain.formats) == set(ENCODERS)
    both = samples(PATH, PATH[:1])
    paths = GraphDomain().write_formats(both, tmp_path, ("npz",))
    assert [path.name for path in paths] == ["0001.npz", "0002.npz"]
    assert sorted(tmp_path.iterdir()) == paths
    graphs = networkx_graphs(both)
    assert [graph.number_of_edges() for graph in graphs] == [2, 1] and list(graphs[0]) == NAMES


def test_pictures_differ_with_the_edges_and_grow_with_the_samples():
    square = samples(torch.tensor([[0, 1], [0, 2], [1, 3]]))
    square.spec.tensors["layout"][:] = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    one = draw_graphs(square)
    two = draw_graphs(Samples(to_tensors([(PATH, 4)] * 2, 6), square.spec))
    assert two.width > one.width and np.asarray(one).std() > 5
    other = draw_graphs(Samples(to_tensors([(PATH, 4)], 6), square.spec))
    assert np.asarray(one).tobytes() != np.asarray(other).tobytes()


def test_a_graph_without_edges_can_be_drawn_and_written(tmp_path):
    empty = samples(torch.zeros(0, 2, dtype=torch.int64))
    assert draw_graphs(empty).width > 0 and all(
        path.stat().st_size for path in write_samples(empty, tmp_path)
    )


def test_the_layout_is_the_same_each_time_and_keeps_neighbours_near():
    for graph in (networkx.grid_2d_graph(8, 8), networkx.barbell_graph(300, 0)):
        matrix = networkx.to_scipy_sparse_array(graph)
        one, two = find_layout(matrix), find_layout(matrix)
        assert np.array_equal(one, two) and np.abs(one).max() <= 1 and np.isfinite(one).all()
        coo = matrix.tocoo()
        joined = np.linalg.norm(one[coo.row] - one[coo.col], axis=1).mean()
        apart = np.linalg.norm(one[:, None] - one[None], axis=2).mean()
        assert joined < apart


def test_each_fault_is_found_in_the_graphs_that_have_it():
    none = torch.zeros(0, 2, dtype=torch.int64)
    pieces = torch.tensor([[0, 1], [2, 3], [4, 5]])
    rows = [PATH, PATH, PATH, none, pieces]
    found = find_faults(to_tensors([(edges, 6) for edges in rows], 3))
    assert {name: rows.nonzero().flatten().tolist() for name, rows in found.items()} == {
        "empty": [3],
        "repeated": [0, 1, 2],
        "pieces": [4],
    }
    assert largest_share(np.array([[0, 1], [1, 2], [7, 8]])) == 0.6
    diagnostics = GraphDomain().diagnose(samples(none, none))
    assert [d.name for d in diagnostics] == ["empty"] and diagnostics[0].fix
