"""The pool under what happens to long sweeps: a failing cell, a polite end, a killed launcher."""

import signal
from pathlib import Path

import pandas as pd
import pytest

from faults.kill_sweep import CELLS, kill_and_resume
from helpers.scripts import finished_artifacts, run_script
from helpers.sweeps import SHARED, Sweep, wait_until
from winnow.core.errors import REQUEUE

FOUR = ["selector=threshold", "compression.r=0.2,0.4,0.6,1.5"]


@pytest.mark.timeout(600)
def test_a_sweep_that_is_ended_killed_and_run_again_is_the_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of its four cells fails: three rows, one named failure, exit code 1, a grid and a figure."""
    monkeypatch.chdir(tmp_path)
    alone = run_script("run.py", "-m", *SHARED, *FOUR, "hydra.sweep.dir=alone", capsys=capsys)
    assert alone.code == 1
    sweep = Sweep(tmp_path / "pool", FOUR)

    launcher = sweep.start()
    wait_until(sweep.rows)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(60) == REQUEUE, sweep.printed.read_text()
    assert not sweep.jobs()
    sweep.check_store()
    assert len(pd.read_csv(sweep.folder / "grid.csv")) == len(rows := sweep.rows())

    launcher = sweep.start()
    wait_until(lambda: len(sweep.jobs()) > 1)
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    wait_until(lambda: not sweep.jobs(), 60)

    assert sweep.start().wait(300) == 1
    printed = sweep.printed.read_text()
    (failure,) = [line for line in printed.splitlines() if line.startswith("failed: ")]
    assert "compression.r=1.5" in failure
    assert "must be in (0, 1]" in failure
    pd.testing.assert_frame_equal(sweep.grid(), pd.read_csv("alone/grid.csv").drop(columns="seconds"))
    assert len(sweep.grid()) == 3
    assert (sweep.folder / "scaling_curves.png").stat().st_size > 10_000
    assert {path: sweep.rows()[path] for path in rows} == rows
    assert len(finished_artifacts(sweep.artifacts, "probe")) == 1
    sweep.check_store()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twelve_cells_killed_while_they_run(tmp_path: Path) -> None:
    undisturbed = Sweep(tmp_path / "undisturbed", CELLS)
    assert undisturbed.start_cold().wait() == 0
    assert len(finished_artifacts(undisturbed.artifacts, "probe")) == 1
    sweep = Sweep(tmp_path / "killed", CELLS)
    there = kill_and_resume(sweep, undisturbed.grid(), lambda: wait_until(lambda: len(sweep.rows()) > 2))
    assert 3 <= there < 12
