"""A sweep whose store is gone goes on from its rows."""

import shutil
from pathlib import Path

import pytest

from helpers.scripts import TINY, finished_artifacts, run_script

CELLS = [*TINY, "selector=random,threshold", "compression.r=0.3,0.5", "trainer=cpu", "logger=none"]


@pytest.mark.slow  # test_wandb.py has the short form
def test_from_its_rows_alone_a_sweep_writes_the_same_bytes_and_then_trains_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = ["run.py", "-m", *CELLS, "hydra.sweep.dir=sweep"]
    first = run_script(*sweep, capsys=capsys)
    assert first.code == 0, first.err
    Path("rows.csv").write_bytes(Path("sweep/grid.csv").read_bytes())
    shutil.rmtree("artifacts")
    shutil.rmtree("sweep")

    told = run_script("grid.py", "--import", "rows.csv", capsys=capsys)
    assert told.out.splitlines()[0] == "imported 4 rows of rows.csv into artifacts: 4 new, 0 were there", told.err
    again = run_script(*sweep, capsys=capsys)
    assert again.code == 0, again.err
    assert "cells 4/4: 0 done, 4 cached, 0 failed" in again.out
    assert Path("sweep/grid.csv").read_bytes() == Path("rows.csv").read_bytes()
    assert {path.parent.name for path in finished_artifacts(tmp_path / "artifacts")} == {"row"}

    more = ["run.py", "-m", *CELLS, "compression.r=0.3,0.5,1", "hydra.sweep.dir=sweep"]
    planned = run_script(*more, "plan=true", capsys=capsys)
    assert "plan of 6 cells: 2 to run, 4 finished" in planned.out
    done = run_script(*more, capsys=capsys)
    assert "cells 6/6: 2 done, 4 cached, 0 failed" in done.out
    assert len(finished_artifacts(tmp_path / "artifacts", "model")) == 1, "that of all data, under both rules"
    of_them = set(Path("rows.csv").read_text().splitlines())
    assert of_them < set(Path("sweep/grid.csv").read_text().splitlines())
