"""From configuration to typed arguments, for scripts and launchers alike. The library below knows no configuration."""

import functools
import logging
import math
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

import hydra
import numpy as np
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from winnow import diagnosis, pipeline, results, workers
from winnow.artifacts import ArtifactStore
from winnow.comparison import tables
from winnow.datasets.base import DatasetSpec, ImageDataset
from winnow.errors import OptionError, WinnowError, check_choice
from winnow.exports.base import Export
from winnow.figures.image_sheet import image_sheet
from winnow.figures.style import save
from winnow.pipeline import CellSpec
from winnow.records import read_indices
from winnow.training.fit import TrainerSpec
from winnow.training.loggers import LoggerSpec

log = logging.getLogger(__name__)
CONF = str(Path(__file__).parents[2] / "conf")
STAGE_GROUPS = ("dataset", "model", "recipe", "probe", "metric", "selector", "alpha", "compression")
CLASSES_SHOWN = 20  # on a sheet of images
MISTAKES = (WinnowError, HydraException, OmegaConfBaseException)

# conf/hydra/launcher has defaults of ours under the names that the launchers' own options have.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where things are kept, on what they are computed and where they are logged; no part of any key."""

    store: ArtifactStore
    trainer: TrainerSpec
    logger: LoggerSpec


def cell_from(cfg: DictConfig) -> CellSpec:
    """The cell that a configuration describes, every part validated.

    Raises the typed error of the part that is wrong.
    """
    for name in ("selection_seed", "train_seed"):
        if not _fits(cfg[name], int):
            raise OptionError(f"{name}={cfg[name]} must be a whole number (seed=... sets both seeds).")
    _made(cfg.embedding, "embedding")  # the probe's; made here too, so that its errors name the group
    parts = {group: _made(_with_read_indices(_with_named_signal(cfg[group])), group) for group in STAGE_GROUPS}
    recorders = tuple(_made(node, f"callbacks.{name}") for name, node in cfg.callbacks.items())
    return CellSpec(**parts, selection_seed=cfg.selection_seed, train_seed=cfg.train_seed, recorders=recorders)


def _with_named_signal(node: DictConfig) -> DictConfig:
    """A selector whose signal is given by the name of its yaml (selector.signal=ccs), with that yaml in its place."""
    signal = node.get("signal")
    if not isinstance(signal, str):
        return node
    group = Path(CONF) / "selector"
    known = sorted(path.stem for path in group.glob("*.yaml") if "defaults" not in OmegaConf.load(path))
    check_choice("selector.signal", signal, tuple(known))
    return OmegaConf.merge(node, {"signal": OmegaConf.load(group / f"{signal}.yaml")})  # type: ignore[return-value]


def _with_read_indices(node: DictConfig) -> DictConfig:
    """A component whose indices are the path of a file (metric.indices=targets.txt), with the list in its place."""
    path = node.get("indices")
    if not isinstance(path, str):
        return node
    return OmegaConf.merge(node, {"indices": list(read_indices(path))})  # type: ignore[return-value]


def runtime_from(cfg: DictConfig) -> Runtime:
    """The runtime that a configuration describes."""
    return Runtime(store=store_from(cfg), trainer=_made(cfg.trainer, "trainer"), logger=_made(cfg.logger, "logger"))


def store_from(cfg: DictConfig) -> ArtifactStore:
    return ArtifactStore(cfg.paths.artifacts)


def _made(node: DictConfig, name: str) -> Any:
    """The component that a config node describes; a component's own error comes out as it is, not wrapped by Hydra."""
    _check_types(node, name)
    try:
        return instantiate(node, _convert_="all")
    except HydraException as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, WinnowError):
            cause = cause.__cause__
        raise (cause or error) from None


def _check_types(node: DictConfig, name: str) -> None:
    """Raise OptionError for a value of another type than its component declares, such as a word for a number."""
    hints = get_type_hints(get_class(node._target_))
    for field, value in node.items():
        path = f"{name}.{field!s}"
        if OmegaConf.is_dict(value) and "_target_" in value:
            _check_types(value, path)
        elif field in hints and not _fits(value, hints[str(field)]):
            wanted = getattr(hints[str(field)], "__name__", None) or str(hints[str(field)])
            raise OptionError(f"{path}={value} has the wrong type; it must be {wanted}.")


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if get_origin(hint) is tuple:
        return OmegaConf.is_list(value) and all(_fits(item, get_args(hint)[0]) for item in value)
    if isinstance(value, bool):
        return hint is bool
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, (int, float) if hint is float else hint)


def run_cell(cfg: DictConfig) -> Path:
    """Run one cell and leave its row in Hydra's output folder; the path of row.json."""
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    results.clear_result(folder)
    if hydra_config.mode == RunMode.RUN and hydra_config.sweeper.get("params"):
        raise OptionError("this experiment is a sweep of many cells; add -m to the command.")
    runtime = runtime_from(cfg)
    cell = cell_from(cfg)
    row = pipeline.train_cell(
        cell,
        store=runtime.store,
        trainer=runtime.trainer,
        logger=runtime.logger,
        dataset=_shared_dataset(cell.dataset, runtime.store),
    )
    return results.save_row(folder, row)


@functools.lru_cache(maxsize=2)
def _shared_dataset(spec: DatasetSpec, store: ArtifactStore) -> ImageDataset:
    """The cells of a sweep share what is loaded, and its copy on the device."""
    return pipeline.load_dataset(spec, store=store)


def is_finished(cfg: DictConfig) -> bool:
    """Whether the row of the cell that a configuration describes is there already."""
    cell, store = cell_from(cfg), store_from(cfg)
    key, _ = pipeline.cell_key(cell, _shared_dataset(cell.dataset, store))
    return store.exists("row", key)


def is_scored(cfg: DictConfig) -> bool:
    """Whether the scores that a configuration describes are there already."""
    cell, store = cell_from(cfg), store_from(cfg)
    key, _ = pipeline.scores_key(_shared_dataset(cell.dataset, store), cell.metric, cell.probe)
    return store.exists("scores", key)


def score(cfg: DictConfig) -> Path:
    """Score the data set by the metric; the path of the table.

    In a sweep it also leaves, in the folder of the run, what the comparison reads and a sheet of the hardest and
    easiest images.
    """
    cell, runtime = cell_from(cfg), runtime_from(cfg)
    dataset = _shared_dataset(cell.dataset, runtime.store)
    asked: dict[str, Any] = {
        "metric": cell.metric,
        "probe": cell.probe,
        "store": runtime.store,
        "trainer": runtime.trainer,
        "logger": runtime.logger,
    }
    scores = pipeline.score_dataset(dataset, **asked)
    low, middle, high = np.quantile(scores.values, (0, 0.5, 1))
    log.info("scored %d examples by %s: %.4g to %.4g, median %.4g", scores.n, scores.metric, low, high, middle)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
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
    cell, runtime = cell_from(cfg), runtime_from(cfg)
    export: Export = _made(cfg.export, "export")
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
    cell, runtime, shift = cell_from(cfg), runtime_from(cfg), _made(cfg.diagnose, "diagnose")
    hydra_config = HydraConfig.get()
    swept = hydra_config.mode == RunMode.MULTIRUN
    folder = hydra_config.sweep.dir if swept else hydra_config.runtime.output_dir
    lines = diagnosis.shift_of_cell(
        cell,
        _shared_dataset(cell.dataset, runtime.store),
        shift=shift,
        store=runtime.store,
        trainer=runtime.trainer,
        logger=runtime.logger,
    )
    return results.add_shifts(folder, lines)


def hydra_script(task: Callable[[DictConfig], None], *, config_name: str = "config") -> None:
    """Run a script's task under Hydra. A user's mistake ends in one line on standard error and exit code 1.

    HYDRA_FULL_ERROR=1 shows the traceback instead. Whatever launcher runs it, a task that fails leaves its traceback in
    the folder of its run.
    """
    if workers.follow_if_called():
        return
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR", "0") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints its own report and exits before this can see the error

    @functools.wraps(task)
    def told_once(cfg: DictConfig) -> None:
        if workers.follow_if_called():  # where srun starts an engine's own program, and that starts the task
            return
        try:
            task(cfg)
        except Exception as error:
            leave_failure(HydraConfig.get().runtime.output_dir, error)
            # A single run keeps the error from Hydra, which adds lines of its own; a sweep leaves it to the launcher.
            if wants_traceback or HydraConfig.get().mode == RunMode.MULTIRUN or not isinstance(error, MISTAKES):
                raise
            _stop(error, config_name)

    try:
        hydra.main(version_base="1.3", config_path=CONF, config_name=config_name)(told_once)()
    except MISTAKES as error:
        if wants_traceback:
            raise
        _stop(error, config_name)


def leave_failure(folder: str | Path, error: BaseException) -> None:
    """Leave an error's traceback in the folder of the run that it ended."""
    # The last line is what reports show; a message of several lines is folded into it.
    text = "".join(traceback.format_exception(error)) + f"{type(error).__name__}: {one_line(error)}"
    results.save_failure(folder, text)


def _stop(error: Exception, config_name: str) -> NoReturn:
    print(f"error: {one_line(error)}{_known_names(error, config_name)}", file=sys.stderr)
    sys.exit(1)


def _known_names(error: Exception, config_name: str) -> str:
    """Where an override names what is not there, the names that are; Hydra itself only says how to append."""
    misspelt = re.search(r"Could not override '([\w./@]+)'", str(error))
    if misspelt is None:
        return ""
    GlobalHydra.instance().clear()
    choices = [override for override in sys.argv[1:] if override.split("=")[0] in (*STAGE_GROUPS, "embedding")]
    try:
        with initialize_config_dir(CONF, version_base="1.3"):
            node = compose(config_name, overrides=choices)
    except HydraException:  # the choices are lists of a sweep, or misspelt too: then nothing can be said of the names
        return ""
    parent = misspelt.group(1).rpartition(".")[0]
    names = OmegaConf.select(node, parent) if parent else node
    if not OmegaConf.is_dict(names):
        return ""
    there = sorted(str(name) for name in names if name != "_target_")
    field = misspelt.group(1).rpartition(".")[2]
    owners = sorted(path.stem for path in (Path(CONF) / parent).glob("*.yaml") if field in set(OmegaConf.load(path)))
    elsewhere = f" {field} belongs to {parent}={' or '.join(owners)}." if parent and owners else ""
    return f" Known in {parent or 'the configuration'}: {', '.join(there)}.{elsewhere}"


def one_line(error: BaseException) -> str:
    """An error's message without its line breaks, and without Hydra's advice to append what is not there."""
    text = " ".join(str(error).split())
    return re.split(r" To append to your | Config search path:", text)[0] or type(error).__name__
