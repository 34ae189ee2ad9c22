"""What the command `score` does: scores, and in a sweep what the comparison of them reads."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from winnow import pipeline
from winnow.cli.cells import cell_from, refuse_parts, runtime_from, store_from
from winnow.comparison import tables
from winnow.core.errors import OptionError
from winnow.datasets.base import load_once
from winnow.figures.image_sheet import image_sheet
from winnow.figures.style import save
from winnow.store import results

log = logging.getLogger(__name__)
CLASSES_SHOWN = 20  # on a sheet of images


def task(cfg: DictConfig) -> None:
    """Score, and print the path of the table."""
    print(score(cfg))


def is_scored(cfg: DictConfig) -> bool:
    """Whether the scores that a configuration describes are there already."""
    cell, store = cell_from(cfg), store_from(cfg)
    key, _ = pipeline.scores_key(load_once(cell.dataset, store), cell.metric, cell.probe)
    return store.exists("scores", key)


def score(cfg: DictConfig) -> Path:
    """Score the data set by the metric; the path of the table.

    With confusions=FILE.npy it leaves there what the probes take each example for, for dataset.confusion. In a sweep it
    also leaves, in the folder of the run, what the comparison reads and a sheet of the hardest and easiest images.
    """
    refuse_parts(cfg)
    cell, runtime = cell_from(cfg), runtime_from(cfg)
    dataset = load_once(cell.dataset, runtime.store)
    swept = HydraConfig.get().mode == RunMode.MULTIRUN
    probes: dict[str, Any] = {
        "probe": cell.probe,
        "store": runtime.store,
        "trainer": runtime.trainer,
        "logger": runtime.logger,
    }
    asked: dict[str, Any] = {"metric": cell.metric, **probes}
    if cfg.confusions is not None:
        results.check_confusions(cfg.confusions)
        if swept:
            raise OptionError(f"confusions={cfg.confusions} is one file of one run; leave out -m, or confusions.")
        pipeline.check_metric(cell.metric, cell.probe)
        results.save_confusions(cfg.confusions, pipeline.confusions_of(dataset, **probes))
    scores = pipeline.score_dataset(dataset, **asked)
    low, middle, high = np.quantile(scores.values, (0, 0.5, 1))
    log.info("scored %d examples by %s: %.4g to %.4g, median %.4g", scores.n, scores.metric, low, high, middle)
    if swept:
        folder = Path(HydraConfig.get().runtime.output_dir)
        names = dataset.class_names[:CLASSES_SHOWN]
        save(image_sheet(dataset.train_images, dataset.train_labels, names, scores.values), folder / results.SHEET)
        tables.save_scored(
            folder,
            scores=scores,
            agreement=pipeline.agreement_of(dataset, **asked),
            dataset=dataset.name,
            columns=dataset.columns,
        )
    key, _ = pipeline.scores_key(dataset, cell.metric, cell.probe)
    return runtime.store.table_path("scores", key)
