"""The table of statistics beside the configuration model at the same overlap."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
import torch
from gancore_graph.memo import as_graph
from gancore_graph.overlap_table import controls, share_to_keep
from gancore_graph.random_graphs import rewire

import gancore
from gancore.random import Key

SCALE_FREE = as_graph(
    np.array(sorted(sorted(e) for e in networkx.barabasi_albert_graph(400, 3, 1).edges)), 400
)


@pytest.mark.parametrize("overlap", [0.2, 0.55, 1.0])
def test_controls_have_the_overlap_and_the_degrees(overlap):
    graphs, reached = controls(SCALE_FREE, overlap, Key.of("controls"))
    assert reached == pytest.approx(overlap, abs=0.01)
    for graph in graphs:
        assert (graph.degrees() == SCALE_FREE.degrees()).all()


def test_the_share_to_keep_solves_the_equation_of_the_overlap():
    for chance in (0.0, 1e-9, 0.02, 0.3):
        for overlap in (chance, 0.35, 0.9):
            k = share_to_keep(overlap, chance)
            assert k + (1 - k) ** 2 * chance == pytest.approx(overlap, abs=1e-6)
    assert share_to_keep(0.01, 0.02) == 0


def test_edges_that_are_all_kept_are_train():
    kept = torch.tensor([3, 5])
    assert rewire(torch.zeros(0, 2, dtype=torch.int64), kept, 4, Key.of(0)).tolist() == [3, 5]


def test_an_evaluation_has_the_table_of_its_statistics(tmp_path):
    run = gancore.train("graph", data="les_miserables", recipe="configuration", out=tmp_path / "run")
    result = gancore.evaluate(
        run.folder, n=16, metrics=["edge_overlap", "maximum_degree", "triangles"], data_root=tmp_path
    )
    [table] = result.tables
    assert list(table.columns) == ["overlap", "maximum_degree", "triangles"]
    train, real, model, control = table.named_rows("m")
    assert (train.values[0], model.name) == (1.0, "m")
    assert train.values[1] == model.values[1] == control.values[1]  # the configuration model keeps degrees
    assert control.values[0] == pytest.approx(model.values[0], abs=0.05)
    triangles = result["triangles"]
    assert model.values[2] == pytest.approx(triangles.value * train.values[2])
    assert real.values[2] == pytest.approx(triangles.anchors["real"] * train.values[2])
    assert gancore.evaluate(run.folder, n=16, metrics=["edge_overlap"], data_root=tmp_path).tables == ()
