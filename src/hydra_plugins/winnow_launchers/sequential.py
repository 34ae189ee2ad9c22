"""hydra/launcher=sequential: the cells of a sweep one after another in this process, with progress and a final report.

A failing cell does not stop the others: its traceback lands in its folder, the final report names it, and the exit code
is 1. Where the store or a folder cannot be written, the sweep stops, for all of its cells would. An interruption ends
the sweep, after the report of what there is. Hydra's own basic launcher says nothing of time left, and its sweeps leave
no grid when a job failed.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, run_job

from hydra_plugins.winnow_launchers.base import Cell, SweepLauncher, fail, result_of


@dataclass
class SequentialConf:
    _target_: str = "hydra_plugins.winnow_launchers.sequential.SequentialLauncher"
    of: str = "${oc.select:hydra.sweeper.of,cells}"  # or scores: what each run makes, and so what the sweep ends with


ConfigStore.instance().store(group="hydra/launcher", name="sequential", node=SequentialConf, provider="winnow")


class SequentialLauncher(SweepLauncher):
    """Runs the cells in order."""

    def run(self, cells: Sequence[Cell], folder: Path) -> Sequence[JobReturn]:
        from hydra_plugins.winnow_launchers.progress import CellProgress
        from winnow.core.errors import Interrupted

        returned: list[JobReturn] = []
        try:
            with CellProgress(len(cells)) as progress:
                for cell in cells:
                    progress.begin(cell.title)
                    done, cached = self._run(cell)
                    has_failed = done.status == JobStatus.FAILED
                    progress.end("failed" if has_failed else "cached" if cached else "done")
                    returned.append(done)
        except Interrupted:
            self.report(folder)  # that no cell has finished, or one failed, does not matter now
            raise
        any_failed = any(done.status == JobStatus.FAILED for done in returned)
        if (not self.report(folder) or any_failed) and not self.searches:
            sys.exit(1)
        return returned

    def _run(self, cell: Cell) -> tuple[JobReturn, bool]:
        """One cell, and whether its row was there already. Its error is in the JobReturn and left in its folder."""
        from winnow.cli import entry, run
        from winnow.core.errors import StoreError
        from winnow.store import results

        cached = False
        try:
            config = self.compose(cell)
            if self.of == "cells":
                if run.keep_finished(config, cell.folder):
                    return result_of(cell), True
            else:
                from winnow.cli import score  # what it compares scores with takes a second to import

                cached = score.is_scored(config)
        except Exception as error:  # any error of one cell must leave the others running
            return fail(cell, error), cached  # it struck before the task, which leaves its own
        results.clear_result(cell.folder)
        try:
            done = run_job(
                hydra_context=self.hydra_context,
                task_function=self.task_function,
                config=config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
        except Exception as error:
            return fail(cell, entry.unwritten_folder(error) or error), cached
        if isinstance(done._return_value, StoreError):
            raise done._return_value
        return done, cached
