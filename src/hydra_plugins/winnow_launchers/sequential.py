"""hydra/launcher=sequential: the cells of a sweep one after another in this process, with progress and a final report.

A failing cell does not stop the others: its traceback lands in its folder, the final report names it, and the exit code
is 1. An interruption ends the sweep, after the report of what there is. Hydra's own basic launcher says nothing of time
left, and its sweeps leave no grid when a job failed.
"""

import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict


@dataclass
class SequentialConf:
    _target_: str = "hydra_plugins.winnow_launchers.sequential.SequentialLauncher"
    of: str = "cells"  # or scores: what each run of the sweep makes, and so what it ends with


ConfigStore.instance().store(group="hydra/launcher", name="sequential", node=SequentialConf, provider="winnow")


class SequentialLauncher(Launcher):
    """Runs the cells of a sweep in order, leaves sweep.json and the report: a grid of rows, or a comparison of scores.

    Hydra imports every plugin at the start of every app, so what is heavy is imported only where a sweep begins.
    """

    def __init__(self, of: str = "cells") -> None:
        self.of = of
        self.cells: list[tuple[str, list[str]]] = []

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from hydra_plugins.winnow_launchers.progress import CellProgress
        from winnow import app, results
        from winnow.errors import Interrupted

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        folder = Path(str(self.config.hydra.sweep.dir))
        command = shlex.join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]])
        shown = [list(filter_overrides(overrides)) for overrides in job_overrides]
        numbers = range(initial_job_idx, initial_job_idx + len(shown))
        if self.of == "cells" and self.config.plan:
            print(app.plan([self._config(*cell) for cell in zip(numbers, job_overrides, strict=True)]))
            return []
        # A sweeper that searches launches one batch after another.
        self.cells += [(str(number), overrides) for number, overrides in zip(numbers, shown, strict=True)]
        results.save_sweep(folder, [results.SweepCell(*cell) for cell in self.cells], command)
        everywhere = set.intersection(*map(set, shown)) if len(shown) > 1 else set()
        returned: list[JobReturn] = []
        try:
            with CellProgress(len(shown)) as progress:
                for number, title, overrides in zip(numbers, shown, job_overrides, strict=True):
                    progress.begin(" ".join(override for override in title if override not in everywhere))
                    done, cached = self._run(number, list(overrides), folder / str(number))
                    failed = done.status == JobStatus.FAILED
                    progress.end("failed" if failed else "cached" if cached else "done")
                    returned.append(done)
        except Interrupted:
            configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
            with suppress(SystemExit):  # that no cell has finished, or one failed, does not matter now
                self._report(folder, any_failed=False)
            raise
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        self._report(folder, any(done.status == JobStatus.FAILED for done in returned))
        return returned

    def _run(self, number: int, overrides: list[str], folder: Path) -> tuple[JobReturn, bool]:
        """One cell, and whether its row was there already. Its error is kept in the JobReturn and in its folder."""
        from winnow import app, results

        results.clear_result(folder)
        cached = False
        try:
            config = self._config(number, overrides)
            with open_dict(config):
                if OmegaConf.select(config, "hydra.job_logging.handlers.console") is not None:
                    config.hydra.job_logging.handlers.console.level = "WARNING"
                if config.trainer.progress is None:
                    config.trainer.progress = False  # one bar at a time: the one over cells
            cached = app.is_finished(config) if self.of == "cells" else app.is_scored(config)
            done = run_job(
                hydra_context=self.hydra_context,
                task_function=self.task_function,
                config=config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
        except Exception as error:  # any error of one cell must leave the others running
            done = JobReturn(overrides=overrides, status=JobStatus.FAILED)
            done.return_value = error
        if done.status == JobStatus.FAILED:
            reason = done._return_value
            lines = traceback.format_exception(reason)
            # The last line is what reports show; a message of several lines is folded into it.
            results.save_failure(folder, "".join(lines) + f"{type(reason).__name__}: {app.one_line(reason)}")
        return done, cached

    def _config(self, number: int, overrides: Sequence[str]) -> DictConfig:
        """What one cell is composed of."""
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
            config.hydra.sweep.subdir = str(number)
        return config

    def _report(self, folder: Path, any_failed: bool) -> None:
        from winnow import app
        from winnow.comparison.report import report as report_scores
        from winnow.errors import WinnowError
        from winnow.scaling.report import report as report_cells

        try:
            if self.of == "cells":
                report_cells(folder)
            else:
                report_scores(folder)
        except WinnowError as error:
            print(f"error: {app.one_line(error)}", file=sys.stderr)
            sys.exit(1)
        if any_failed:
            sys.exit(1)
