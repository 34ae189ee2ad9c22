"""Every notebook runs from top to bottom: in this process, which has imported what a kernel takes seconds for."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


class Shell(InteractiveShell):
    def enable_gui(self, gui: str | None = None) -> None:
        """%matplotlib asks for it; there is none."""


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    backend = matplotlib.get_backend()
    yield Shell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    Shell.clear_instance()
    matplotlib.use(backend)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a store of its own: what it trains here is not what a user's run would find
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            shell.run_cell(cell.source).raise_error()
