"""What the command `run` does: one cell, to its row."""

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from winnow import pipeline
from winnow.cli.cells import cell_from, check_no_sweep, parts_of, runtime_from
from winnow.core.errors import OptionError
from winnow.datasets.base import load_once
from winnow.pipeline import sharing
from winnow.store import results


def task(cfg: DictConfig) -> float | None:
    """Run the cell, or with plan=true tell what it will take. A single run prints the path of its row last.

    Returns the test error, which sweepers that search minimise.
    """
    if cfg.plan:
        from winnow.cli.plan import plan

        print(plan([cfg]))
        return None
    path = run_cell(cfg)
    if HydraConfig.get().mode == RunMode.RUN:
        print(path)
    return None if cfg.only is not None else results.load_row(path.parent).test_error


def run_cell(cfg: DictConfig) -> Path:
    """Run one cell and leave its row in Hydra's output folder; the path of row.json.

    With only=NAME it makes that shared stage alone and leaves no row; the path of the artifact.
    """
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    results.clear_result(folder)
    check_no_sweep()
    runtime = runtime_from(cfg)
    cell = cell_from(cfg)
    dataset = load_once(cell.dataset, runtime.store)
    computing: dict[str, Any] = {"store": runtime.store, "trainer": runtime.trainer, "logger": runtime.logger}
    if cfg.only is not None:
        if hydra_config.mode == RunMode.MULTIRUN:
            raise OptionError(f"only={cfg.only} makes a part of one cell; leave out -m, or only.")
        made = sharing.make_shared(cell, dataset, str(cfg.only), **computing)
        return runtime.store.path(made.stage, made.key)
    row = pipeline.train_cell(cell, dataset=dataset, **computing)
    runtime.logger.cached(row, config=pipeline.row_columns(row))  # which does nothing where it was trained just now
    return results.save_row(folder, row)


def keep_finished(cfg: DictConfig, folder: str | Path) -> bool:
    """Whether the cell that a configuration describes is finished; if so, the folder holds its row.

    For launchers, which then need not begin a run. Raises the typed error of the part that is wrong.
    """
    if cfg.only is not None:  # which run_cell refuses
        return False
    cell, dataset, store, _ = parts_of(cfg)
    row = pipeline.finished_row(cell, dataset, store=store)
    if row is not None:
        results.keep_row(folder, row)
    return row is not None
