"""hydra/sweeper=optuna: what it is told of cells, where the extra is installed."""

from pathlib import Path

import pytest
import yaml

from helpers.scripts import TINY, run_script
from winnow.store import results

pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="the optuna extra is not installed")


def test_a_search_minimises_the_test_error_and_survives_a_trial_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    search = ["-m", *TINY, "metric=el2n", "selector=calibrated", "trainer=cpu", "logger=none", "hydra/sweeper=optuna"]
    search += ["hydra.sweeper.n_trials=6", "hydra.sweeper.n_jobs=2", "hydra.sweeper.sampler.seed=1"]
    search += ["hydra.sweeper.max_failure_rate=1.0", "alpha.value=interval(0.1,0.9)"]
    search += ["compression.r=choice(0.3,0.5,0.00001)"]
    for folder in ("one", "again"):  # the second time every cell is finished
        ended = run_script("run.py", *search, f"hydra.sweep.dir={folder}", capsys=capsys)
        assert ended.code == 0, ended.err
        found = results.collect(folder)
        best = yaml.safe_load(Path(folder, "optimization_results.yaml").read_text())
        assert best["best_value"] == min(row.test_error for row in found.rows)
        assert len(found.rows) + len(found.failed) == 6
        assert found.failed
        assert found.missing == 0
