"""The command `report`: of a sweep with its store, without it, and where there is nothing to show."""

import re
import shutil
from pathlib import Path

import pytest

from helpers.scripts import TINY, run_script
from winnow.store import results

CELLS = ["selector=threshold", "compression.r=0.2,1", "probe.members=1", "trainer=cpu", "hydra.sweep.dir=swept"]


def sections(page: Path) -> list[str]:
    return re.findall(r'<section id="(\w+)"', page.read_text())


def test_a_sweep_ends_with_its_page_and_the_command_writes_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_script("run.py", "-m", *TINY, *CELLS, capsys=capsys)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1] == f"swept/{results.PAGE}"
    page = Path("swept") / results.PAGE
    assert sections(page) == ["curves", "grid", "classes", "images", "cost", "time", "provenance"]
    text = page.read_text()
    assert "class0" in text
    assert text.count("data:image/png;base64,") == 1
    assert '<pre class="command">python ' in text

    shutil.rmtree("artifacts/model")
    shutil.rmtree("swept/0/.hydra")
    shutil.rmtree("swept/1")  # as of a sweep that still runs
    again = run_script("report.py", "swept", capsys=capsys)
    assert (again.code, again.out) == (0, f"swept/{results.PAGE}\n")
    assert sections(page) == ["curves", "grid", "cost", "time", "provenance"]
    text = page.read_text()
    assert "1 of 2 cells have finished, 1 not finished" in text
    assert "models are not in the store" in text
    assert "no cell has left the configuration of its data set" in text


def test_it_ends_with_one_line_where_no_cell_has_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, why in ((tmp_path, "no finished cell in"), (tmp_path / "none", "there is no folder")):
        ended = run_script("report.py", str(folder), capsys=capsys)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith(f"error: {why}")
        assert ended.err.count("\n") == 1
