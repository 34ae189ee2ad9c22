"""A sweep through Ray: a real one of two cores on this machine, where the ray extra is installed."""

import os
from pathlib import Path

import pytest

from helpers.scripts import TINY, logs_with, run_script
from winnow.store import results

ray = pytest.importorskip("ray", reason="the ray extra is not installed (make test-ray)")


def test_cells_run_and_fail_as_under_the_sequential_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    source = str(Path(__file__).parents[2] / "src")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])]))
    sweep = ["-m", *TINY, "trainer=cpu", "compression.r=0.5,0.8,0.001"]
    alone = run_script("run.py", *sweep, "hydra.sweep.dir=alone", "paths.artifacts=alone/artifacts", capsys=capsys)
    # One pretended GPU, which two cells share, so that they run at once.
    options = ["+hydra.launcher.ray.init.num_cpus=2", "+hydra.launcher.ray.init.num_gpus=1"]
    options += ["hydra.launcher.ray.remote.num_gpus=0.5"]
    try:
        shared = run_script("run.py", *sweep, *options, "hydra/launcher=ray", "hydra.sweep.dir=grid", capsys=capsys)
    finally:
        ray.shutdown()

    assert (alone.code, shared.code) == (1, 1)
    expected, found = results.collect("alone"), results.collect("grid")
    assert [row.key for row in found.rows] == [row.key for row in expected.rows]
    assert [row.test_error for row in found.rows] == [row.test_error for row in expected.rows]
    assert [failed.message for failed in found.failed] == [failed.message for failed in expected.failed]
    assert len(found.failed) == 1
    assert found.missing == 0
    assert Path("grid/grid.csv").exists()
    assert len(logs_with("probe 1 of 2: training", "grid")) == 1
    assert not (tmp_path / "home/.ray").exists()
