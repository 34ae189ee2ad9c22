"""hydra/sweeper=cartesian: Hydra's own basic sweeper, with a report and a figure at the end under any launcher.

The launchers of this project list the cells of a sweep, survive those that fail and leave the report themselves. Those
of others (submitit, Ray, joblib) know nothing of that, so here the sweeper does it for them.

The basic sweeper composes each cell to see that it can be, and the launcher composes it again to run it. Composing
takes longer than loading a finished row, so this doubles the time in which a finished sweep is seen to be finished; and
a cell that cannot be composed should fail alone, like any other failing cell, instead of stopping the sweep. So the
cells are only composed beforehand where another's launcher would find out on a machine that was waited for.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.winnow_launchers import reports


@dataclass
class CartesianConf:
    _target_: str = "hydra_plugins.winnow_launchers.cartesian.CartesianSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = field(default=None)
    of: str | None = "cells"  # or scores: what each run makes, and so what the sweep ends with; null: nothing
    also: list[Any] = field(default_factory=list)  # further grids, each what it changes in params; null leaves one out


ConfigStore.instance().store(group="hydra/sweeper", name="cartesian", node=CartesianConf, provider="winnow")


class CartesianSweeper(BasicSweeper):
    """Every combination of the values given for each option, in each of its grids.

    also: grids beside that of `params`, for options that not all cells have, such as alpha.value without alpha=auto:
    what is changed in params, an option that is null left out. What the command line gives holds in all of them.
    """

    def __init__(
        self,
        max_batch_size: int | None,
        params: dict[str, str] | None = None,
        of: str | None = None,
        also: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(max_batch_size, params)
        self.of, self.also = of, also

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from winnow.core.errors import OptionError

        self.folder = Path(str(config.hydra.sweep.dir))
        self.option = f"hydra/launcher={config.hydra.runtime.choices['hydra/launcher']}"
        try:
            super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        except RuntimeError as error:
            if "Unknown plugin class" not in str(error):
                raise
            name = self.option.rpartition("=")[2]
            extra = "slurm" if name.startswith("submitit") else name
            raise OptionError(f'{self.option} is not installed; pip install "winnow[{extra}]".') from None
        own = type(self.launcher).__module__.startswith("hydra_plugins.winnow_launchers.")
        self.foreign = not own and self.of is not None

    def split_arguments(  # type: ignore[override]  # theirs is static, and called on self
        self, overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        assert self.hydra_context is not None
        (cells,) = BasicSweeper.split_arguments(overrides, None)
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        given = overrides[len(self.params) :]  # by the command line
        for changes in self.also:
            params = {name: value for name, value in {**self.params, **changes}.items() if value is not None}
            kept = [each for each in given if changes.get(each.get_key_element(), "") is not None]
            grid = parser.parse_overrides([f"{name}={value}" for name, value in params.items()]) + kept
            cells += BasicSweeper.split_arguments(grid, None)[0]
        return [list(chunk) for chunk in self.split_overrides_to_chunks(cells, max_batch_size)]

    def sweep(self, arguments: list[str]) -> Any:
        assert self.config is not None
        if self.config.get("figure") and not reports.can_draw(self.config, self.of):
            sys.exit(1)
        returned = self._sweep(arguments)
        if self.config.get("figure") and not self.config.get("plan") and not reports.draw(self.folder, self.config):
            sys.exit(1)
        return returned

    def _sweep(self, arguments: list[str]) -> Any:
        if not self.foreign:
            return super().sweep(arguments)
        from winnow.core.errors import OptionError
        from winnow.store import results

        assert self.config is not None
        if self.config.get("plan"):
            raise OptionError(f"plan=true is printed here, not by another's launcher; leave out {self.option}.")
        returned, any_failed, self.begun = None, False, False
        try:
            returned = super().sweep(arguments)
        except Exception as error:  # the first one of a cell, or one of the engine, which no cell has left
            any_failed = self.begun and bool(results.failures(self.folder))
            if not any_failed and isinstance(error, RuntimeError):  # no such engine here, an unknown partition, ...
                raise OptionError(f"{self.option}: {error}") from error
            if not any_failed:
                raise
        assert self.of is not None
        if not reports.report(self.folder, self.of, self.config) or any_failed:
            sys.exit(1)
        return returned

    def get_job_batch(self) -> Sequence[Sequence[str]]:
        if self.foreign and self.batch_index == 0:
            assert self.overrides is not None
            reports.begin(self.folder, list(chain.from_iterable(self.overrides)))
            self.begun = True
        return super().get_job_batch()

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        if self.foreign:
            super().validate_batch_is_legal(batch)
