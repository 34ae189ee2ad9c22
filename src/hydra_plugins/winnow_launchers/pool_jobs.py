"""The jobs of the pool: what makes a cell, how a job is started, and how it ended."""

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from hydra_plugins.winnow_launchers.base import Cell
from hydra_plugins.winnow_launchers.schedule import DONE, FAILED, INTERRUPTED, Ended, Job
from hydra_plugins.winnow_launchers.slots import Slots, Taken

if TYPE_CHECKING:
    from winnow.parallel.processes import Child

OF_THE_LAUNCHER = ("hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweep", "hydra.run", "hydra.mode")
TAIL = 30  # lines of the log of a job that died without a word


class PoolJobs:
    """Jobs of the sweep into `folder`. config: of the sweep; compose: gives the configuration of one cell."""

    def __init__(self, config: DictConfig, compose: Callable[[Cell], DictConfig], folder: Path, slots: Slots) -> None:
        self.compose, self.folder, self.slots = compose, folder, slots
        self.script = script_command(config)
        self.ending = False  # whether jobs that end now were told to

    def plan(self, cell: Cell) -> list[Job]:
        """The cell after the shared stages that it misses; nothing where it is finished, and its row in its folder.

        Raises the error of a cell that cannot be run.
        """
        from winnow import pipeline
        from winnow.cli.cells import parts_of
        from winnow.core.errors import OptionError
        from winnow.parallel import processes
        from winnow.pipeline import sharing
        from winnow.store import results
        from winnow.training import precision

        config = self.compose(cell)
        spec, dataset, store, trainer = parts_of(config)

        def is_finished() -> bool:
            row = pipeline.finished_row(spec, dataset, store=store)
            if row is not None:
                results.keep_row(cell.folder, row)
            return row is not None

        if is_finished():
            return []
        processes.warm_up()  # it imports while the others are planned
        devices = trainer.devices
        if devices > len(self.slots.devices):
            raise OptionError(f"trainer.devices={devices}, but the launcher has {len(self.slots.devices)} devices.")
        results.clear_result(cell.folder)
        jobs: list[Job] = []
        stages = sharing.missing_stages(spec, dataset, store=store)
        # Said here, because nobody reads the logs of jobs that go well.
        precision.warn_of_slow_choice(
            [spec.recipe.precision, *([spec.probe.recipe.precision] if stages else [])], trainer
        )
        for stage in stages:
            folder = self.folder / results.SHARED / f"{stage.stage}-{stage.key}"
            command = self._command(cell.overrides, folder, f"only={stage.name}")
            job = Job(title=stage.title, command=command, folder=folder, devices=devices, key=stage.key)
            job.after = frozenset(stage.after) & {before.key for before in jobs}
            job.is_finished = lambda stage=stage: stage.is_finished(store)  # type: ignore[misc]
            jobs.append(job)
        names = {pipeline.cell_key(spec, dataset)[0]}

        def exclusive() -> frozenset[str]:
            if len(names) == 1 and (key := sharing.cheap_trained_key(spec, dataset, store=store)):
                names.add(key)
            return frozenset(names)

        title = cell.title or f"cell {cell.number}"
        last = Job(title=title, command=self._command(cell.overrides, cell.folder), folder=cell.folder, devices=devices)
        last.after = frozenset(job.key for job in jobs if job.key is not None)
        last.exclusive, last.is_finished = exclusive, is_finished
        return [*jobs, last]

    def _command(self, overrides: Sequence[str], folder: Path, *more: str) -> list[str]:
        # quoted, because they may hold what Hydra reads as a list; the sweep's is what its logs are grouped by
        own, whole = (str(each).replace("'", r"\'") for each in (folder, self.folder))
        return [*self.script, *overrides, *more, f"hydra.sweep.dir='{whole}'", f"hydra.run.dir='{own}'"]

    def spawn(self, job: Job, taken: Taken) -> "Child":
        """Start a job on what it was given."""
        from winnow.cli.calling import call_again
        from winnow.parallel import processes
        from winnow.store import results

        results.clear_result(job.folder)
        log, environment = job.folder / results.LOG, self.slots.environment(taken)
        return processes.spawn(call_again, *job.command, log=log, environment=environment, title=" ".join(job.command))

    def judge(self, job: Job, code: int) -> tuple[str, str | None]:
        """How a job ended, and why it failed. One that failed has left its reason in its folder, or it is left here."""
        from winnow.core.errors import REQUEUE, STOPPED
        from winnow.store import results

        if (code == 0 or self.ending) and job.is_finished():
            return DONE, None
        if self.ending or code in (REQUEUE, STOPPED, -signal.SIGTERM, -signal.SIGINT):
            return INTERRUPTED, None
        if results.failure_message(job.folder) is None:
            log = (job.folder / results.LOG).read_text(errors="replace").splitlines()
            results.save_failure(job.folder, "\n".join([*log[-TAIL:], f"ChildProcessError: {_death(code)}"]))
        return FAILED, results.failure_message(job.folder)

    def settle(self, ended: Ended) -> None:
        """Leave in the folder of a cell, or shared stage, why it could not even begin."""
        from winnow.store import results

        if ended.outcome == FAILED and ended.blamed is not None:
            text = f"what it needs failed, see {ended.blamed.folder}:\n{ended.reason} ({ended.blamed.title})"
            results.save_failure(ended.job.folder, text)


def script_command(config: DictConfig) -> list[str]:
    """How a single run of the command that is being swept begins, with what Hydra itself was told."""
    from winnow.cli.calling import program

    sources = config.hydra.runtime.config_sources
    given = [f"--config-dir={source.path}" for source in sources if source.provider == "command-line"]
    passed = [each for each in config.hydra.overrides.hydra if not each.startswith(OF_THE_LAUNCHER)]
    script = [program(), *given, f"--config-name={config.hydra.job.config_name}"]
    # An experiment that is a sweep lists its cells in params, and a single run would refuse it.
    return [*script, *passed, "hydra.sweeper.params=null"]


def _death(code: int) -> str:
    if code >= 0:
        return f"exit code {code} without a result; above is the end of output.log"
    memory = "; memory may have run out (fewer hydra.launcher.jobs_per_device need less)"
    return f"killed by {signal.Signals(-code).name}{memory if code == -signal.SIGKILL else ''}"
