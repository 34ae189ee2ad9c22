"""hydra/sweeper=cartesian: Hydra's own basic sweeper, with a report at the end under any launcher.

The launchers of this project list the cells of a sweep, survive those that fail and leave the report themselves. Those
of others (submitit, Ray, joblib) know nothing of that, so here the sweeper does it for them.

The basic sweeper composes each cell to see that it can be, and the launcher composes it again to run it. Composing
takes longer than loading a finished row, so this doubles the time in which a finished sweep is seen to be finished; and
a cell that cannot be composed should fail alone, like any other failing cell, instead of stopping the sweep. So the
cells are only composed beforehand where another's launcher would find out on a machine that was waited for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.winnow_launchers.reports import end_sweep, list_cells


@dataclass
class CartesianConf:
    _target_: str = "hydra_plugins.winnow_launchers.cartesian.CartesianSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = field(default=None)
    of: str | None = "cells"  # or scores: what each run makes, and so what the sweep ends with; null: nothing


ConfigStore.instance().store(group="hydra/sweeper", name="cartesian", node=CartesianConf, provider="winnow")


class CartesianSweeper(BasicSweeper):
    """Every combination of the values given for each option."""

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None = None, of: str | None = None) -> None:
        super().__init__(max_batch_size, params)
        self.of = of

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from winnow.errors import OptionError

        try:
            super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        except RuntimeError as error:
            if "Unknown plugin class" not in str(error):
                raise
            name = self.launcher_name(config)
            raise OptionError(f"hydra/launcher={name} is not installed; pip install -e '.[{name}]'.") from None
        self.foreign = not type(self.launcher).__module__.startswith("hydra_plugins.winnow_launchers.")

    def sweep(self, arguments: list[str]) -> Any:
        if not self.foreign or self.of is None:
            return super().sweep(arguments)
        from winnow import results
        from winnow.errors import OptionError

        folder = Path(str(self.config.hydra.sweep.dir))
        returned, any_failed = None, False
        try:
            returned = super().sweep(arguments)
        except Exception as error:  # the first one of a cell, or one of the engine, which no cell has left
            any_failed = (folder / results.SWEEP).exists() and bool(results.failures(folder))
            if not any_failed and isinstance(error, RuntimeError):  # no engine here, an unknown partition, ...
                raise OptionError(f"hydra/launcher={self.launcher_name(self.config)}: {error}") from error
            if not any_failed:
                raise
        end_sweep(folder, self.of, any_failed=any_failed)
        return returned

    @staticmethod
    def launcher_name(config: DictConfig) -> str:
        return str(config.hydra.runtime.choices["hydra/launcher"])

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        if self.foreign and self.of is not None and self.batch_index == 0:
            from winnow import results

            folder, cells = Path(str(self.config.hydra.sweep.dir)), list(chain.from_iterable(self.overrides))
            list_cells(folder, cells)
            for number in range(len(cells)):
                results.clear_result(folder / str(number))
        return super().get_job_batch()

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        if self.foreign and self.of is not None:
            super().validate_batch_is_legal(batch)
