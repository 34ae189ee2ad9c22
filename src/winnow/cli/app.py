"""From configuration to typed arguments, for scripts and launchers alike. The library below knows no configuration."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from winnow import pipeline
from winnow.cli.components import component, fits, plain
from winnow.cli.configuration import CONF as CONF
from winnow.cli.configuration import options
from winnow.cli.entry import STAGE_GROUPS, one_line
from winnow.cli.entry import failure_text as failure_text
from winnow.cli.entry import hydra_script as hydra_script
from winnow.cli.taken_over import with_taken_over
from winnow.comparison import tables
from winnow.core.errors import OptionError, WinnowError, check_choice
from winnow.core.machine import device_name
from winnow.datasets.base import ImageDataset, load_once
from winnow.diagnostics.shift import Shift
from winnow.exports.base import Export
from winnow.figures.image_sheet import image_sheet
from winnow.figures.style import save
from winnow.parallel import workers
from winnow.pipeline import CellSpec, diagnosis, sharing
from winnow.pipeline.planning.memory import Available
from winnow.pipeline.planning.plan import Plan, PlannedCell, planned_cell
from winnow.pipeline.planning.text import told
from winnow.probes.embeddings.base import Embedding
from winnow.store import results
from winnow.store.artifacts import ArtifactStore
from winnow.store.records import read_indices
from winnow.training.callbacks.base import RecorderSpec
from winnow.training.devices import TrainerSpec, quiet
from winnow.training.loggers import LoggerSpec
from winnow.training.precision import slow_choice

log = logging.getLogger(__name__)
CLASSES_SHOWN = 20  # on a sheet of images


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where things are kept, on what they are computed and where they are logged; no part of any key."""

    store: ArtifactStore
    trainer: TrainerSpec
    logger: LoggerSpec


def cell_from(cfg: DictConfig) -> CellSpec:
    """The cell that a configuration describes, every part validated, and its precision settled for its trainer.

    Raises the typed error of the part that is wrong.
    """
    for name in ("selection_seed", "train_seed"):
        if not fits(cfg[name], int):
            raise OptionError(f"{name}={cfg[name]} must be a whole number (seed=... sets it, and the others).")
    component(cfg.embedding, "embedding", Embedding)  # the probe's; made here too, so that its errors name the group
    bases = get_type_hints(CellSpec)
    nodes = {group: plain(cfg[group]) for group in STAGE_GROUPS if group != "probe"} | {"probe": with_taken_over(cfg)}
    nodes = {group: _with_read_indices(_with_named_signal(node, cfg)) for group, node in nodes.items()}
    parts = {group: component(node, group, bases[group]) for group, node in nodes.items()}
    callbacks = (cfg.callbacks or {}).items()
    recorders = tuple(component(node, f"callbacks.{name}", RecorderSpec) for name, node in callbacks)
    cell = CellSpec(**parts, selection_seed=cfg.selection_seed, train_seed=cfg.train_seed, recorders=recorders)
    precisions = (cell.recipe.precision, cell.probe.recipe.precision)
    return cell.settled(trainer_from(cfg)) if "auto" in precisions else cell


def _with_named_signal(node: Any, cfg: DictConfig) -> Any:
    """A selector whose signal is given by the name of its yaml (selector.signal=ccs), with that yaml in its place."""
    signal = node.get("signal") if isinstance(node, dict) else None
    if not isinstance(signal, str):
        return node
    known = {name: path for name, path in options("selector", cfg).items() if "defaults" not in OmegaConf.load(path)}
    check_choice("selector.signal", signal, tuple(sorted(known)))
    return node | {"signal": plain(OmegaConf.load(known[signal]))}


def _with_read_indices(node: Any) -> Any:
    """A component whose indices are the path of a file (metric.indices=targets.txt), with the list in its place."""
    path = node.get("indices") if isinstance(node, dict) else None
    return node | {"indices": list(read_indices(path))} if isinstance(path, str) else node


def runtime_from(cfg: DictConfig) -> Runtime:
    """The runtime that a configuration describes."""
    trainer = trainer_from(cfg)
    workers.check_processes(trainer.devices, trainer.nodes)
    return Runtime(store=store_from(cfg), trainer=trainer, logger=component(cfg.logger, "logger", LoggerSpec))


def trainer_from(cfg: DictConfig) -> TrainerSpec:
    return component(cfg.trainer, "trainer", TrainerSpec)


def store_from(cfg: DictConfig) -> ArtifactStore:
    if not fits(cfg.paths.artifacts, str):
        raise OptionError(f"paths.artifacts={cfg.paths.artifacts} must be the path of a folder.")
    return ArtifactStore(cfg.paths.artifacts)


def run_cell(cfg: DictConfig) -> Path:
    """Run one cell and leave its row in Hydra's output folder; the path of row.json.

    With only=NAME it makes that shared stage alone and leaves no row; the path of the artifact.
    """
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    results.clear_result(folder)
    _check_no_sweep()
    runtime = runtime_from(cfg)
    cell = cell_from(cfg)
    dataset = load_once(cell.dataset, runtime.store)
    computing: dict[str, Any] = {"store": runtime.store, "trainer": runtime.trainer, "logger": runtime.logger}
    if cfg.only is not None:
        if hydra_config.mode == RunMode.MULTIRUN:
            raise OptionError(f"only={cfg.only} makes a part of one cell; leave out -m, or only.")
        made = sharing.make_shared(cell, dataset, str(cfg.only), **computing)
        return runtime.store.path(made.stage, made.key)
    return results.save_row(folder, pipeline.train_cell(cell, dataset=dataset, **computing))


def _check_no_sweep() -> None:
    hydra_config = HydraConfig.get()
    if hydra_config.mode == RunMode.RUN and hydra_config.sweeper.get("params"):
        raise OptionError("this experiment is a sweep of many cells; add -m to the command.")


def parts_of(cfg: DictConfig) -> tuple[CellSpec, ImageDataset, ArtifactStore, TrainerSpec]:
    """What a launcher needs to plan the cell that a configuration describes, with its data set loaded."""
    cell, store = cell_from(cfg), store_from(cfg)
    return cell, load_once(cell.dataset, store), store, trainer_from(cfg)


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


def plan(configs: Sequence[DictConfig], *, slots: int = 1, per_device: int = 1) -> str:
    """What these cells will take, in words. Data sets are read; nothing is trained or selected.

    configs: of the cells, in order, of one store and trainer. slots: jobs at once; per_device: of them on one device.
    """
    if HydraConfig.initialized():  # a launcher has not set it
        _check_no_sweep()
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
    with quiet():
        device = trainer.solo_trainer(logger=False).strategy.root_device
    slow = slow_choice((precision for cell in cells for precision in cell.precisions), trainer)
    jobs: dict[str, Any] = {"slots": slots, "per_device": per_device, "refused": refused, "slow": slow}
    made = Plan.of(cells, store=store, device=device_name(device.type), **jobs)
    return told(made, Available(device))


def _refuse_parts(cfg: DictConfig) -> None:
    for name in ("only", "plan"):
        if cfg[name]:
            raise OptionError(f"{name}={cfg[name]} belongs to scripts/run.py, which makes the same artifacts.")


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
    _refuse_parts(cfg)
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


def select(cfg: DictConfig) -> Path:
    """Select the subset and export it; the path of the table."""
    _refuse_parts(cfg)
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
    return results.add_shifts(folder, lines)
