"""What the command `select` does: a subset, for other software too, and what it does to the distribution."""

import logging
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from winnow import pipeline
from winnow.cli.cells import cell_from, refuse_parts, runtime_from
from winnow.cli.components import component
from winnow.datasets.base import load_once
from winnow.diagnostics.shift import Shift
from winnow.exports.base import Export
from winnow.pipeline import diagnosis
from winnow.store.shifts import add_shifts

log = logging.getLogger(__name__)


def task(cfg: DictConfig) -> None:
    """Select, and print the path of the table; with diagnose, that of the report too."""
    print(select(cfg))
    if "diagnose" in cfg:
        print(diagnose(cfg))


def select(cfg: DictConfig) -> Path:
    """Select the subset and export it; the path of the table."""
    refuse_parts(cfg)
    cell, runtime = cell_from(cfg), runtime_from(cfg)
    export: Export = component(cfg.export, "export", Export)
    if "diagnose" in cfg:
        component(cfg.diagnose, "diagnose", Shift)  # what comes after this is checked before it too
    dataset = pipeline.load_dataset(cell.dataset, store=runtime.store)
    pipeline.check_cell(cell, dataset)
    export.check(dataset)
    subset, alpha, key, _ = pipeline.select_for_cell(
        cell, dataset, store=runtime.store, trainer=runtime.trainer, logger=runtime.logger
    )
    ess = subset.effective_sample_size
    log.info("kept %d of %d examples, alpha=%g, effective sample size %.1f", subset.m, subset.n, alpha, ess)
    export.write(dataset, subset)
    return runtime.store.table_path("subset", key)


def diagnose(cfg: DictConfig) -> Path:
    """Report what the subset does to the distribution; the path of the table, to which a sweep adds line by line."""
    cell, runtime, shift = cell_from(cfg), runtime_from(cfg), component(cfg.diagnose, "diagnose", Shift)
    hydra_config = HydraConfig.get()
    swept = hydra_config.mode == RunMode.MULTIRUN
    folder = hydra_config.sweep.dir if swept else hydra_config.runtime.output_dir
    lines = diagnosis.shift_of_cell(
        cell,
        load_once(cell.dataset, runtime.store),
        shift=shift,
        store=runtime.store,
        trainer=runtime.trainer,
        logger=runtime.logger,
    )
    return add_shifts(folder, lines)
