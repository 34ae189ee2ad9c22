"""From the cells of a sweep to the jobs that make them: which shared stages are missing, and the command of each."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from omegaconf import DictConfig

from hydra_plugins.winnow_launchers.base import Cell
from hydra_plugins.winnow_launchers.schedule import Job

OF_THE_LAUNCHER = ("hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweep", "hydra.run", "hydra.mode")


def script_command(config: DictConfig) -> list[str]:
    """How a single run of the script that is being swept begins, with what Hydra itself was told."""
    given = [f"--config-dir={each.path}" for each in config.hydra.runtime.config_sources if each.provider == "command-line"]
    passed = [each for each in config.hydra.overrides.hydra if not each.startswith(OF_THE_LAUNCHER)]
    script = [sys.executable, str(Path(sys.argv[0]).resolve()), *given, f"--config-name={config.hydra.job.config_name}"]
    # An experiment that is a sweep lists its cells in params, and a single run would refuse it.
    return [*script, *passed, "hydra.sweeper.params=null"]


def run_in(folder: Path) -> str:
    """The override for the folder of a run, whatever characters its name has."""
    escaped = str(folder).replace("'", r"\'")
    return f"hydra.run.dir='{escaped}'"


def plan(
    cell: Cell, *, compose: Callable[[Cell], DictConfig], script: Sequence[str], folder: Path, devices: int
) -> list[Job]:
    """The missing shared stages of a cell, and the cell itself; no job where its row is finished and in its folder.

    folder: of the sweep. devices: how many there are. Raises the error of a cell that cannot be run.
    """
    from winnow import app, pipeline, results, sharing
    from winnow.errors import OptionError

    config = compose(cell)
    spec, dataset, store, trainer = app.parts_of(config)
    row_key, _ = pipeline.cell_key(spec, dataset)
    model: list[str | None] = []

    def is_finished() -> bool:
        row = pipeline.finished_row(spec, dataset, store=store)
        if row is not None:
            results.keep_row(cell.folder, row)
        return row is not None

    def exclusive() -> frozenset[str]:
        if not model:
            model.append(sharing.cheap_trained_key(spec, dataset, store=store))
        return frozenset({row_key, *(key for key in model if key is not None)})

    if is_finished():
        return []
    wanted = int(getattr(trainer, "devices", 1))
    if wanted > devices:
        raise OptionError(f"trainer.devices={wanted}, but the launcher has {devices}; see hydra.launcher.devices.")
    jobs = []
    for stage in sharing.missing_stages(spec, dataset, store=store):
        below = folder / results.SHARED / f"{stage.stage}-{stage.key}"
        command = [*script, *cell.overrides, f"only={stage.name}", run_in(below)]
        job = Job(title=stage.title, command=command, folder=below, devices=wanted, after=frozenset(stage.after))
        job.key = stage.key
        job.is_finished = lambda stage=stage: stage.is_finished(store)  # type: ignore[misc]
        jobs.append(job)
    keys = frozenset(job.key for job in jobs if job.key is not None)
    for job in jobs:
        job.after &= keys
    command = [*script, *cell.overrides, run_in(cell.folder)]
    done = {"exclusive": exclusive, "is_finished": is_finished}
    jobs.append(Job(title=cell.title, command=command, folder=cell.folder, devices=wanted, number=cell.number, after=keys))
    return jobs
