"""Every notebook runs from top to bottom: in this process, which has imported what a kernel takes seconds for."""

import ast
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.figure import Figure
from nbformat import NotebookNode
from traitlets.config import Config

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ANSWER = re.compile(r"<details><summary>Answer</summary>\n\n(.*?)\n\n</details>", flags=re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", flags=re.DOTALL)


class Shell(InteractiveShell):
    def enable_gui(self, gui: str | None = None) -> None:
        """%matplotlib asks for it; there is none."""


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    backend = matplotlib.get_backend()
    yield Shell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    Shell.clear_instance()
    matplotlib.use(backend)
    sys.modules.pop("last_wrong", None)  # the metric of 05, in a folder that is gone


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As notebooks/ lies in a checkout, with a store of its own: what it trains here no user's run would find."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def cells(path: Path) -> list[NotebookNode]:
    return nbformat.read(path, as_version=4).cells  # type: ignore[no-any-return]


def code(path: Path) -> list[str]:
    return [cell.source for cell in cells(path) if cell.cell_type == "code"]


def answers(path: Path) -> list[str]:
    return ANSWER.findall(cells(path)[-1].source)


def test_there_is_one_for_each_number() -> None:
    assert [path.name[:3] for path in NOTEBOOKS] == [f"{i:02}_" for i in range(1, len(NOTEBOOKS) + 1)]
    assert len(NOTEBOOKS) >= 6


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_ends_with_a_figure_and_an_answer(path: Path, shell: InteractiveShell, folder: Path) -> None:
    last = None
    for cell in code(path):
        last = shell.run_cell(cell)
        last.raise_error()
    assert last is not None
    assert isinstance(last.result, Figure)
    (answer,) = answers(path)
    (asked,) = PYTHON.findall(answer)
    shell.run_cell(asked).raise_error()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path: Path) -> None:
    """Clear all outputs, then save: what is kept is what is run, and a change of it can be read."""
    run = [cell for cell in cells(path) if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]
    assert run == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_defines_nothing_but_what_it_writes_to_a_file(path: Path) -> None:
    plain = [re.sub(r"^%\w+.*$", "", cell, flags=re.M) for cell in code(path) if not cell.startswith("%%writefile")]
    nodes = [node for cell in [*plain, *PYTHON.findall(answers(path)[0])] for node in ast.walk(ast.parse(cell))]
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert [ast.unparse(node) for node in nodes if isinstance(node, defined)] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_links_lead_somewhere(path: Path) -> None:
    text = "\n".join(cell.source for cell in cells(path) if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_documentation_lists_them_all() -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    assert re.findall(r"\(\.\./notebooks/([\w.]+)\)", text) == [path.name for path in NOTEBOOKS]
