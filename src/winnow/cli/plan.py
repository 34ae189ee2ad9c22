"""What plan=true tells instead of running: what cells will take."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from winnow.cli.cells import cell_from, check_no_sweep, store_from, trainer_from
from winnow.cli.entry import one_line
from winnow.core.errors import OptionError, WinnowError
from winnow.core.machine import device_name
from winnow.datasets.base import load_once
from winnow.pipeline.planning.memory import Available
from winnow.pipeline.planning.plan import Plan, PlannedCell, planned_cell
from winnow.pipeline.planning.text import format_plan
from winnow.store.results import save_plan
from winnow.training.precision import slow_choice


def plan(configs: Sequence[DictConfig], *, slots: int = 1, per_device: int = 1, folder: Path | None = None) -> str:
    """What these cells will take, in words. Data sets are read; nothing is trained or selected.

    configs: of the cells, in order, of one store and trainer. slots: jobs at once; per_device: of them on one device.
    folder: of the sweep that is planned, whose page will set the plan beside what came of it.
    """
    if HydraConfig.initialized():  # a launcher has not set it
        check_no_sweep()
    if configs[0].plan is not True:
        raise OptionError(f"plan={configs[0].plan} is not known; choose true or false.")
    store, trainer = store_from(configs[0]), trainer_from(configs[0])
    cells: list[PlannedCell] = []
    refused: dict[str, list[int]] = {}
    for number, cfg in enumerate(configs):
        try:
            cell = cell_from(cfg)
            dataset = load_once(cell.dataset, store)
            cells.append(planned_cell(number, cell, dataset, store=store, trainer=trainer))
        except WinnowError as error:
            refused.setdefault(one_line(error), []).append(number)
    device = trainer.device
    slow = slow_choice((precision for cell in cells for precision in cell.precisions), trainer)
    jobs: dict[str, Any] = {"slots": slots, "per_device": per_device, "refused": refused, "slow": slow}
    plan_of_all = Plan.of(cells, store=store, device=device_name(device.type), **jobs)
    if folder is not None and plan_of_all.told["to_run"]:  # else the plan of what has been done is worth more
        save_plan(folder, plan_of_all.told)
    return format_plan(plan_of_all, Available(device))
