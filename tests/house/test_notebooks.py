"""The notebooks run, and are stored with what they show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from places import ROOT

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
MAX_BYTES = 500_000


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools/site"))
    from notebooks import run

    ran = run(path, tmp_path)
    assert [len(cell.outputs) for cell in code_cells(ran)] == [
        len(cell["outputs"]) for cell in code_cells(json.loads(path.read_text()))
    ]


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_stored_as_it_ran_and_small(path: Path):
    cells = code_cells(json.loads(path.read_text()))
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert {output["output_type"] for cell in cells for output in cell["outputs"]} <= {
        "stream",
        "display_data",
        "execute_result",
    }
    assert path.stat().st_size < MAX_BYTES
