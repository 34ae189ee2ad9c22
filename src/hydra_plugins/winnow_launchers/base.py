"""What the launchers of this project share: composing cells, sweep.json, failures and the report at the end."""

import gc
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from hydra_plugins.winnow_launchers import reports


class Cell(NamedTuple):
    """One cell of a sweep. title: the overrides in which it differs from others; folder: for its result."""

    number: int
    title: str
    overrides: list[str]
    folder: Path


class SweepLauncher(Launcher):
    """Runs the cells of a sweep, leaves sweep.json and the report: a grid of rows, or a comparison of scores.

    Hydra imports every plugin at the start of every app, so what is heavy is imported only where a sweep begins.
    """

    def __init__(self, of: str = "cells") -> None:
        self.of = of
        self.cells: list[list[str]] = []

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        folder = Path(str(self.config.hydra.sweep.dir))
        shown = [list(filter_overrides(overrides)) for overrides in job_overrides]
        everywhere = set.intersection(*map(set, shown)) if len(shown) > 1 else set()
        cells = []
        for number, (title, overrides) in enumerate(zip(shown, job_overrides, strict=True), start=initial_job_idx):
            differing = " ".join(override for override in title if override not in everywhere)
            cells.append(Cell(number, differing, list(overrides), folder / str(number)))
        if self.of == "cells" and self.config.plan:
            from winnow.cli.plan import plan

            slots, per_device = self.room()
            composed = [self.compose(cell) for cell in cells]
            print(plan(composed, slots=slots, per_device=per_device, folder=folder))
            return []

        if gc.get_freeze_count() == 0:
            gc.freeze()  # garbage is not looked for in what was imported, which takes a sixth of the time of composing
        begun = len(self.cells)
        self.cells += shown  # a sweeper that searches launches one batch after another
        reports.begin(folder, self.cells, begun=begun)
        from winnow.store import use
        from winnow.store.artifacts import ArtifactStore

        with use.working(ArtifactStore(Path(str(self.config.paths.artifacts)))):
            return self.run(cells, folder)

    @property
    def searches(self) -> bool:
        """Whether the sweeper chooses cells by what came of others, and so is told of those that failed."""
        return str(self.config.hydra.runtime.choices["hydra/sweeper"]) not in ("cartesian", "basic")

    @abstractmethod
    def run(self, cells: Sequence[Cell], folder: Path) -> Sequence[JobReturn]:
        """Run the cells and report; exits where one failed, unless the sweeper searches."""

    def room(self) -> tuple[int, int]:
        """How many jobs run at once, and how many of them on one device."""
        return 1, 1

    def compose(self, cell: Cell) -> DictConfig:
        """The configuration of one cell."""
        config = self.hydra_context.config_loader.load_sweep_config(self.config, cell.overrides)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = cell.number
            config.hydra.sweep.subdir = str(cell.number)
            if OmegaConf.select(config, "hydra.job_logging.handlers.console") is not None:
                config.hydra.job_logging.handlers.console.level = "WARNING"
            if config.trainer.progress is None:
                config.trainer.progress = False  # one bar at a time: the one over cells
        return config

    def report(self, folder: Path) -> bool:
        """Write and print the report of what is there; False, with the reason on standard error, where it cannot."""
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return reports.report(folder, self.of, self.config)


def result_of(cell: Cell) -> JobReturn:
    """The return of a cell that has ended, by what is in its folder: the test error, as its task returns it."""
    from winnow.store import results

    has_row = results.is_finished(cell.folder)
    returned = JobReturn(overrides=cell.overrides, status=JobStatus.COMPLETED if has_row else JobStatus.FAILED)
    message = results.failure_message(cell.folder)
    returned.return_value = results.load_row(cell.folder).test_error if has_row else RuntimeError(message)
    return returned


def fail(cell: Cell, error: BaseException) -> JobReturn:
    """The return of a cell that stopped with this error, which is left in its folder. Raises StoreError as it is."""
    from winnow.cli import entry
    from winnow.core.errors import StoreError
    from winnow.store import results

    if isinstance(error, StoreError):  # the next cells would fail alike
        raise error
    results.clear_result(cell.folder)
    results.save_failure(cell.folder, entry.failure_text(error))
    returned = JobReturn(overrides=cell.overrides, status=JobStatus.FAILED)
    returned.return_value = error
    return returned
