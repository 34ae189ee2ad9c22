"""What a sweeper that searches is told of the cells that it asked for."""

from pathlib import Path

import pytest
from hydra.core.utils import JobStatus
from omegaconf import OmegaConf

from helpers.rows import make_row
from hydra_plugins.winnow_launchers.base import Cell, result_of
from hydra_plugins.winnow_launchers.sequential import SequentialLauncher
from winnow.store import results


def _cell(folder: Path) -> Cell:
    return Cell(0, "seed=0", ["seed=0"], folder)


def test_a_finished_cell_gives_its_test_error(tmp_path: Path) -> None:
    results.save_row(tmp_path, make_row(error=0.25))
    returned = result_of(_cell(tmp_path))
    assert (returned.return_value, returned.status, returned.overrides) == (0.25, JobStatus.COMPLETED, ["seed=0"])


def test_a_cell_that_failed_raises_its_reason(tmp_path: Path) -> None:
    results.save_failure(tmp_path, "Traceback\nBudgetError: r keeps none")
    returned = result_of(_cell(tmp_path))
    assert returned.status == JobStatus.FAILED
    with pytest.raises(RuntimeError, match="BudgetError: r keeps none"):
        _ = returned.return_value


@pytest.mark.parametrize(("sweeper", "searches"), [("cartesian", False), ("basic", False), ("optuna", True)])
def test_which_sweepers_search(sweeper: str, searches: bool) -> None:
    launcher = SequentialLauncher()
    launcher.config = OmegaConf.create({"hydra": {"runtime": {"choices": {"hydra/sweeper": sweeper}}}})
    assert launcher.searches is searches
