"""hydra/launcher=pool: the cells of a sweep at once on one machine, each a process of its own on its own GPU or cores.

What cells share (probes, scores) is made first and once, in slots of its own; a cell begins when what it needs is
there. A cell that fails or dies leaves the others running, no process outlives the launcher, and the same command
again computes only what is missing.
"""

import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from omegaconf import OmegaConf

from hydra_plugins.winnow_launchers.base import Cell, SweepLauncher, fail, result_of

if TYPE_CHECKING:
    from hydra_plugins.winnow_launchers.pool_jobs import PoolJobs
    from hydra_plugins.winnow_launchers.pool_progress import PoolProgress
    from hydra_plugins.winnow_launchers.schedule import Schedule
    from hydra_plugins.winnow_launchers.signals import Signals
    from hydra_plugins.winnow_launchers.slots import Slots

SECONDS_BETWEEN_LOOKS = 0.1


@dataclass
class PoolConf:
    _target_: str = "hydra_plugins.winnow_launchers.pool.PoolLauncher"
    of: str | None = "${oc.select:hydra.sweeper.of,cells}"  # cells or scores: what each run makes
    devices: int | None = None  # GPUs; null: every visible one. Without GPUs, or with trainer=cpu: CPU cores
    jobs_per_device: int = 1
    grace: float = 60.0  # seconds that a job has to end by itself after a signal


ConfigStore.instance().store(group="hydra/launcher", name="pool", node=PoolConf, provider="winnow")


class PoolLauncher(SweepLauncher):
    """Runs as many cells at once as there are slots: devices x jobs_per_device."""

    def __init__(
        self, of: str | None = "cells", devices: int | None = None, jobs_per_device: int = 1, grace: float = 60.0
    ) -> None:
        super().__init__(of or "nothing")
        self.devices, self.jobs_per_device, self.grace = devices, jobs_per_device, grace

    def run(self, cells: Sequence[Cell], folder: Path) -> Sequence[JobReturn]:
        from hydra_plugins.winnow_launchers.pool_jobs import PoolJobs
        from hydra_plugins.winnow_launchers.pool_progress import PoolProgress
        from hydra_plugins.winnow_launchers.schedule import Schedule
        from hydra_plugins.winnow_launchers.signals import Signals
        from winnow.core.errors import REQUEUE, Interrupted, OptionError

        if self.of != "cells":
            raise OptionError("hydra/launcher=pool runs the cells of scripts/run.py; leave it out for this script.")
        slots = self._slots()
        jobs = PoolJobs(self.config, self.compose, folder, slots)
        schedule = Schedule(slots, spawn=jobs.spawn, judge=jobs.judge)
        stopped: Interrupted | None = None
        with Signals() as signals:
            with PoolProgress(len(cells), schedule) as progress:
                try:
                    self._run(cells, jobs, schedule, progress, signals)
                except Interrupted as stop:
                    stopped = stop
                finally:
                    jobs.ending = True
                    progress.announce_ending(len(schedule.running))
                    for ended in schedule.end(self.grace, hurry=lambda: signals.asked_again):
                        progress.ended(ended)
            reported = self.report(folder)
        if stopped is not None:
            raise stopped
        if (not reported or progress.counts["failed"]) and not self.searches:
            sys.exit(1)
        if progress.counts.get("interrupted"):
            raise Interrupted(REQUEUE)
        return [result_of(cell) for cell in cells]

    def room(self) -> tuple[int, int]:
        return self._slots().total, self.jobs_per_device

    def _slots(self) -> "Slots":
        from hydra_plugins.winnow_launchers.slots import find_slots

        use_gpus = OmegaConf.select(self.config, "trainer.accelerator") != "cpu"
        return find_slots(self.devices, self.jobs_per_device, use_gpus=use_gpus)

    def _run(
        self,
        cells: Sequence[Cell],
        jobs: "PoolJobs",
        schedule: "Schedule",
        progress: "PoolProgress",
        signals: "Signals",
    ) -> None:
        """Plans a cell at a time, so that the first jobs run while the others are planned."""
        unplanned = deque(cells)
        while unplanned or schedule.waiting or schedule.running:
            if unplanned:
                cell = unplanned.popleft()
                try:
                    planned = jobs.plan(cell)
                    if not planned:
                        progress.count("cached", cell.title, 0.0)
                    schedule.add(planned)
                except Exception as error:  # any error of one cell must leave the others running
                    fail(cell, error)
                    progress.count("failed", cell.title, 0.0)
            else:
                time.sleep(SECONDS_BETWEEN_LOOKS)
            with signals.held():
                for ended in schedule.step():
                    jobs.settle(ended)
                    progress.ended(ended)
            progress.look()
