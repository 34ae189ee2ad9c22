"""What a sweep's logger is told at the end: cells that were finished before, and the grid."""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from winnow import pipeline
from winnow.cli.cells import logger_from
from winnow.scaling import grid
from winnow.store import results
from winnow.training.logger_spec import LoggerSpec, SweepRecord


def log_sweep(config: DictConfig, folder: Path) -> None:
    """Log the finished cells of the sweep into `folder` that have no log of their own yet, and the sweep.

    config: of the sweep, Hydra's part included.
    """
    logger = _logger(config, folder)
    if not logger.follows_sweeps:
        return
    for cell in results.sweep_cells(folder):
        if results.is_finished(folder / cell.folder):
            row = results.load_row(folder / cell.folder)
            _logger(config, folder / cell.folder).cached(row, config=pipeline.row_columns(row))
    logger.sweep(folder.name, _record(folder))


def _logger(config: DictConfig, folder: Path) -> LoggerSpec:
    """The chosen logger, as a run into this folder has it."""
    config = copy.deepcopy(config)
    with open_dict(config.hydra):
        config.hydra.runtime.output_dir = str(folder)
    HydraConfig.instance().set_config(config)
    return logger_from(config)


def fits_table(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The laws of fits.json, a line each: its parameters, and the ends of their intervals as NAME low and NAME high."""
    lines = []
    for record in records:
        line = {name: value for name, value in record.items() if name not in ("parameters", "intervals")}
        line |= record.get("parameters") or {}
        for name, (low, high) in (record.get("intervals") or {}).items():
            line |= {f"{name} low": low, f"{name} high": high}
        lines.append(line)
    return pd.DataFrame(lines)


def _record(folder: Path) -> SweepRecord:
    found, summary = results.collect(folder), results.load_summary(folder)
    tables = {}
    if summary["scaling"] is not None:
        tables["fits"] = fits_table(summary["scaling"]["fits"])
    if found.failed:
        failed = [(each.folder, " ".join(each.overrides), each.message) for each in found.failed]
        tables["failures"] = pd.DataFrame(failed, columns=["folder", "overrides", "message"])
    files = [path for name in results.OF_SWEEP if (path := folder / name).exists()]
    table = grid.read(folder / results.GRID)
    shared = {name: table[name].iloc[0] for name in grid.GROUP if table[name].nunique() == 1}
    return SweepRecord(
        config=shared | {"command": found.command},
        grid=table,
        counts=summary["cells"],
        tables=tables,
        figures={"scaling curves": folder / results.CURVES},
        page=folder / results.PAGE,
        files=files,
    )
