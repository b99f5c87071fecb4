"""Files of graphs: each format gives the graph that it holds, and a damaged file one clear line."""

from __future__ import annotations

import bz2
import gzip
import io
import tracemalloc
import zipfile

import networkx
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from gancore_graph.cell import Cell
from gancore_graph.cell_config import CellConfig
from gancore_graph.config import GraphConfig
from gancore_graph.edge_lists import read_edge_list
from gancore_graph.graph import largest_component, make_graph
from gancore_graph.memory import edge_array
from gancore_graph.sources import read_file
from gancore_graph.statistics import triangles

from gancore import Spec
from gancore.errors import ConfigError, DataError

TRIANGLE = [[0, 1], [0, 2], [1, 2]]


def read(tmp_path, name, content, **changes):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    config = GraphConfig(**changes)
    return make_graph(read_file(path, config), name, config.directed == "refuse")


def npz_of(header):
    """An npz of one array with this header, and no content."""
    return saved(lambda file: _write_member(file, b"\x93NUMPY\1\0v\0" + header.ljust(117) + b"\n"))


def _write_member(file, content):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("edges.npy", content)


def saved(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.edges", "0 1\n1 2\n0 2\n"),
        ("a.tsv", "0\t1\t5.5\n1\t2\t1\n0\t2\t1\n"),
        ("a.csv", "source,target\n0,1\n1,2\n2,0\n"),
        ("a.csv", "\ufeff0;1\r\n1;2\r\n0;2\r\n"),
        ("a.txt", "# a comment\n0 1\n1 0\n1 2\n2 1\n0 2\n2 0"),
        ("a.txt.gz", gzip.compress(b"0 1\n1 2\n0 2\n", mtime=0)),
        ("a.txt", bz2.compress(b"0 1\n1 2\n0 2\n")),
        ("a.csv", "0,1,1\n1,0,1\n1,1,0\n"),
    ],
)
def test_edge_lists_of_any_delimiter(tmp_path, name, content):
    changes = {"format": "adjacency"} if content == "0,1,1\n1,0,1\n1,1,0\n" else {}
    assert read(tmp_path, name, content, **changes).edges.tolist() == TRIANGLE


def test_ids_are_kept_whatever_they_are(tmp_path):
    graph = read(tmp_path, "a.edges", "7 -3\n9000000000 7\n")
    assert graph.names.tolist() == [-3, 7, 9000000000] and graph.edges.tolist() == [[0, 1], [1, 2]]
    huge = read(tmp_path, "b.edges", "99999999999999999999999 1\n1 2\n")
    assert huge.nodes == 3 and huge.names.dtype.kind == "U"
    spelt = read(tmp_path, "d.edges", "1_2 12\n07 7\n12 07\n")  # int() takes all of these for two numbers
    assert spelt.names.tolist() == ["07", "12", "1_2", "7"] and len(spelt.edges) == 3
    named = read(tmp_path, "c.edges", "x.org/v#1 b\na b\n")  # a hash within an id begins no comment
    assert named.names.tolist() == ["a", "b", "x.org/v#1"] and len(named.edges) == 2


def test_rows_follow_the_numbers_and_not_their_first_mention(tmp_path):
    graph = read(tmp_path, "a.edges", "2 3\n0 1\n")
    assert graph.names.tolist() == [0, 1, 2, 3] and graph.edges.tolist() == [[0, 1], [2, 3]]


def test_ids_from_one_add_no_node(tmp_path):
    assert read(tmp_path, "a.edges", "1 2\n2 3\n").names.tolist() == [1, 2, 3]
    with pytest.raises(DataError, match=r"data\.nodes"):
        read(tmp_path, "a.edges", "1 2\n2 3\n", nodes=3)


def test_a_graph_of_many_nodes_and_one_edge_takes_the_memory_of_its_nodes(tmp_path):
    tracemalloc.start()
    try:
        graph = read(tmp_path, "a.edges", "0 99999\n", nodes=100_000)
        assert graph.adjacency().nnz == 2 and triangles(graph) == 0
        model = Cell().build(CellConfig(), Spec({"graphs": 1, "max_nodes": 100_000, "max_edges": 1})).model
        assert sum(part.nbytes for part in model.buffers()) < 50e6
        assert tracemalloc.get_traced_memory()[1] < 50e6  # a dense matrix takes 80 GB
    finally:
        tracemalloc.stop()


def test_loops_and_repetitions_are_counted(tmp_path):
    graph = read(tmp_path, "a.edges", "0 0\n0 1\n0 1\n1 0\n1 2\n")
    assert graph.edges.tolist() == [[0, 1], [1, 2]]
    said = "\n".join(graph.notes)
    assert "self-loops: 1" in said and "repeated pairs: 1" in said and "made undirected" in said


def test_directed_input_is_made_undirected_and_said_or_refused(tmp_path):
    text = '<graphml><graph edgedefault="directed"><node id="a"/><node id="b"/><edge source="b" target="a"/>'
    text += "</graph></graphml>"
    assert "made undirected: 1 edge" in read(tmp_path, "a.graphml", text).notes[0]
    with pytest.raises(DataError, match="directed"):
        read(tmp_path, "a.graphml", text, directed="refuse")
    with pytest.raises(DataError, match="directed"):
        read(tmp_path, "a.edges", "0 1\n1 0\n1 2\n", directed="refuse")
    assert len(read(tmp_path, "a.edges", "0 1\n1 2\n", directed="refuse").edges) == 2


def test_isolated_nodes_are_named_by_a_line_or_counted_by_a_key(tmp_path):
    assert read(tmp_path, "a.edges", "0 1\n9\n").names.tolist() == [0, 1, 9]
    graph = read(tmp_path, "a.edges", "0 1\n", nodes=5)
    assert graph.nodes == 5 and largest_component(graph).nodes == 2
    with pytest.raises(DataError, match=r"the id 7 is not below data\.nodes=5"):
        read(tmp_path, "a.edges", "0 7\n", nodes=5)


def test_the_largest_component_is_kept_and_said():
    graph = make_graph(read_edge_list("0 1\n2 3\n3 4\n", "g"), "g")
    kept = largest_component(graph)
    assert kept.names.tolist() == [2, 3, 4] and "3 of 5 nodes" in kept.notes[-1]


def test_npz_of_both_kinds_and_edges(tmp_path):
    matrix = scipy.sparse.csr_array(np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]]))
    gust = saved(
        lambda file: np.savez(
            file, adj_indptr=matrix.indptr, adj_indices=matrix.indices, adj_shape=matrix.shape
        )
    )
    assert read(tmp_path, "a.npz", gust).edges.tolist() == TRIANGLE
    assert read(tmp_path, "b.npz", saved(lambda f: scipy.sparse.save_npz(f, matrix))).nodes == 3
    listed = saved(lambda file: np.savez(file, edge_index=np.array(TRIANGLE).T))
    assert read(tmp_path, "c.npz", listed).edges.tolist() == TRIANGLE


def test_no_pickle_is_read(tmp_path):
    content = saved(
        lambda file: np.savez(file, adj_indptr=np.array({}, object), adj_indices=[0], adj_shape=[1])
    )
    with pytest.raises(DataError, match="pickled objects"):
        read(tmp_path, "a.npz", content)


@pytest.mark.parametrize(
    "arrays, said",
    [
        ({"adj_indptr": [0, 1, 1], "adj_indices": [5], "adj_shape": [2, 2]}, "column 5"),
        ({"adj_indptr": [0, 1, 1], "adj_indices": [-1], "adj_shape": [2, 2]}, "column -1"),
        ({"adj_indptr": [0, 2, 1], "adj_indices": [1], "adj_shape": [2, 2]}, "does not divide"),
        ({"adj_indptr": [0, 1, 1], "adj_indices": [1], "adj_shape": [2, 3]}, "2 x 3"),
        ({"x": [1]}, "holds x, no graph"),
        ({"indptr": np.array([0, 2, 1, 2], "u8"), "indices": [1, 2], "shape": [3, 3]}, "does not divide"),
        ({"indptr": np.zeros(0, int), "indices": [1], "shape": [-1, -1]}, "does not divide"),
        ({"edges": np.array([[2**63 + 1, 2]], dtype=np.uint64)}, "2\\^63"),
    ],
)
def test_arrays_that_are_no_matrix(tmp_path, arrays, said):
    with pytest.raises(DataError, match=said):
        read(tmp_path, "a.npz", saved(lambda file: np.savez(file, **arrays)))


def test_matrix_market(tmp_path):
    dense = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    general = saved(lambda file: scipy.io.mmwrite(file, scipy.sparse.coo_array(dense)))
    assert read(tmp_path, "a.mtx", general).edges.tolist() == TRIANGLE
    head = "%%MatrixMarket matrix coordinate pattern symmetric\n"
    both = read(tmp_path, "b.mtx", head + "3 3 4\n2 1\n1 2\n3 1\n3 2\n")  # both triangles of one edge
    assert both.edges.tolist() == TRIANGLE
    with pytest.raises(DataError, match=r"line 2: '2 1' is not the 3 numbers.*data\.format=edges"):
        read(tmp_path, "c.mtx", head + "2 1\n")
    with pytest.raises(DataError, match="2 x 3"):
        read(tmp_path, "d.mtx", "%%MatrixMarket matrix coordinate pattern general\n2 3 1\n1 3\n")
    with pytest.raises(DataError, match="no MatrixMarket header"):
        read(tmp_path, "e.mtx", "1 2\n")


@pytest.mark.parametrize(
    "kind, sizes, said",
    [
        ("coordinate pattern", f"{10**12} {10**12} 1", r"a\.mtx, line 2.* 7,450\.6 GiB"),
        ("coordinate pattern", f"3 3 {10**12}", "22,351.7 GiB"),
        ("array real", f"{10**6} {10**6}", "7,450.6 GiB"),
        ("coordinate pattern", f"{'9' * 5000} 3 1", "is not the 3 numbers"),
    ],
)
def test_a_matrix_market_header_reserves_no_memory_that_is_not_there(tmp_path, kind, sizes, said):
    with pytest.raises(DataError, match=said):
        read(tmp_path, "a.mtx", f"%%MatrixMarket matrix {kind} symmetric\n{sizes}\n2 1\n")


def test_graphml_of_networkx_with_unknown_attributes(tmp_path):
    graph = networkx.karate_club_graph()
    found = read(tmp_path, "a.graphml", "\n".join(networkx.generate_graphml(graph)))
    assert found.nodes == 34 and len(found.edges) == 78
    vector = '<graphml><key id="k" attr.type="vector_float"/><graph edgedefault="undirected"><node id="0"/>'
    vector += '<node id="1"/><edge source="0" target="1"><data key="k">1, 2</data></edge></graph></graphml>'
    assert len(read(tmp_path, "b.graphml", vector).edges) == 1


@pytest.mark.parametrize(
    "content, said",
    [
        ('<!DOCTYPE g [<!ENTITY a "b">]><graphml><graph/></graphml>', "DTD"),
        ("<graphml><graph>", "no XML"),
        ("<graphml/>", "no element graph"),
        ('<graphml><graph><node id="a"/><edge source="a" target="b"/></graph></graphml>', "'b'"),
        ('<graphml><graph><node id="a"/></graph></graphml>', "no edges"),
        ('<?xml version="1.0" encoding="foo"?><graphml><graph/></graphml>', "no XML"),
        ('<?xml version="1.0" encoding="shift_jis"?><graphml><graph/></graphml>', "no XML"),
    ],
)
def test_graphml_that_cannot_be_read(tmp_path, content, said):
    with pytest.raises(DataError, match=said):
        read(tmp_path, "a.graphml", content)


@pytest.mark.parametrize("content", ["# nothing\n", ",a,b\n"])
def test_tables_without_rows_are_refused(tmp_path, content):
    with pytest.raises(DataError, match="no rows"):
        read(tmp_path, "a.csv", content, format="adjacency")


def test_adjacency_tables_with_and_without_names(tmp_path):
    rows = ["0,1,0,0", "1,0,1,0", "0,1,0,1", "0,0,1,0"]
    path = [[0, 1], [1, 2], [2, 3]]
    assert read(tmp_path, "a.csv", "\n".join(rows)).edges.tolist() == path
    named = (
        ",".join(["", *"abcd"]) + "\n" + "\n".join(f"{n},{row}" for n, row in zip("abcd", rows, strict=True))
    )
    graph = read(tmp_path, "b.csv", named)
    assert graph.edges.tolist() == path and graph.names.tolist() == list("abcd")
    with pytest.raises(DataError, match=r"2 x 3.*blocks"):
        read(tmp_path, "c.csv", "1,0,1\n0,1,0\n", format="adjacency")


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("a.edges", "", "empty"),
        ("a.edges", "# nothing\n", "no edges"),
        ("a.edges", "0 0\n1 1\n", "2 self-loops and no edge"),
        ("a.edges", b"\xff\xfa1 2\n", "not UTF-8"),
        ("a.edges", b"1 2\x00\n", "binary"),
        ("a.csv", "0,1\n2,\n", "line 2"),
        ("a.xyz", "0 1\n", "no suffix"),
        ("a.gml", "graph [ node [ id 0 ] ]", "no suffix"),
        ("a.txt.gz", gzip.compress(b"0 1\n" * 999, mtime=0)[:-9], "damaged"),
        ("a.npz", b"0 1\n", "no npz"),
        ("a.npz", npz_of(b"{'descr': '<i8', 'fortran_order': [[["), "no npz"),
        (
            "a.npz",
            npz_of(b"{'descr': '<i8', 'fortran_order': False, 'shape': (10000000000000, 2), }"),
            "no npz",
        ),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, said):
    with pytest.raises(DataError, match=said):
        read(tmp_path, name, content)


class PyGData:
    """As ``torch_geometric.data.Data``: both directions of each edge, and the number of nodes."""

    def __init__(self, edge_index, num_nodes):
        import torch

        self.edge_index, self.num_nodes = torch.tensor(edge_index), num_nodes


def test_graphs_in_memory_become_arrays_of_edges():
    graph = networkx.Graph([("a", "b"), ("b", "c")])
    graph.add_node("alone")
    assert edge_array(graph).tolist() == [[0, 1], [1, 2], [3, 3]]
    data = PyGData([[0, 1], [1, 0]], 3)
    assert edge_array(data).tolist() == [[0, 1], [1, 0], [2, 2]]
    assert edge_array(scipy.sparse.csr_array(np.eye(2)[::-1])).tolist() == [[0, 1], [1, 0]]
    assert edge_array(np.array(TRIANGLE).T).tolist() == TRIANGLE
    with pytest.raises(ConfigError, match="list is no graph"):
        edge_array([])
