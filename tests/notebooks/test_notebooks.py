"""The notebooks, executed: what each cell shows, and not only that none raises."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent.parent / "notebooks").glob("*.ipynb"))
PLOTS = re.compile(r"\.plot\(|new_axes\(|\.picture\(")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_cell_shows_what_it_is_there_for(path: Path) -> None:
    """A cell that plots shows one picture, and none shows an error, or the name of an object instead of a picture."""
    notebook = nbformat.read(path, 4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(path.parent))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not re.search("<Figure|<Axes|Traceback", json.dumps(cell.outputs)), cell.source
            drawn = [output for output in cell.outputs if "image/png" in output.get("data", {})]
            assert len(drawn) == bool(PLOTS.search(cell.source)), cell.source
