"""From configuration to typed arguments: the cell, its data set, and where and on what it is computed."""

from dataclasses import dataclass
from typing import Any, get_type_hints

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from winnow.cli.components import component, fits, plain
from winnow.cli.entry import STAGE_GROUPS
from winnow.cli.inherited import with_inherited
from winnow.cli.signal import with_named_signal
from winnow.core.errors import OptionError
from winnow.datasets.base import ImageDataset, load_once
from winnow.parallel import workers
from winnow.pipeline import CellSpec
from winnow.probes.embeddings.base import Embedding
from winnow.store.artifacts import ArtifactStore
from winnow.store.records import read_indices
from winnow.training.callbacks.base import RecorderSpec
from winnow.training.devices import TrainerSpec
from winnow.training.loggers import LoggerSpec, NoLog, Several


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
    nodes = {group: plain(cfg[group]) for group in STAGE_GROUPS if group != "probe"} | {"probe": with_inherited(cfg)}
    nodes = {group: _with_read_indices(with_named_signal(node, cfg)) for group, node in nodes.items()}
    parts = {group: component(node, group, bases[group]) for group, node in nodes.items()}
    callbacks = (cfg.callbacks or {}).items()
    recorders = tuple(component(node, f"callbacks.{name}", RecorderSpec) for name, node in callbacks)
    cell = CellSpec(**parts, selection_seed=cfg.selection_seed, train_seed=cfg.train_seed, recorders=recorders)
    precisions = (cell.recipe.precision, cell.probe.recipe.precision)
    return cell.settled(trainer_from(cfg)) if "auto" in precisions else cell


def _with_read_indices(node: Any) -> Any:
    """A component whose indices are the path of a file (metric.indices=targets.txt), with the list in its place."""
    path = node.get("indices") if isinstance(node, dict) else None
    return node | {"indices": list(read_indices(path))} if isinstance(path, str) else node


def runtime_from(cfg: DictConfig) -> Runtime:
    """The runtime that a configuration describes."""
    trainer = trainer_from(cfg)
    workers.check_processes(trainer.devices, trainer.nodes)
    return Runtime(store=store_from(cfg), trainer=trainer, logger=logger_from(cfg))


def logger_from(cfg: DictConfig) -> LoggerSpec:
    """The logger that is chosen, or several as one."""
    nodes: Any = OmegaConf.to_container(cfg.logger) or {}
    if "_target_" in nodes:  # a yaml of the user's own that is a single logger
        logger: LoggerSpec = component(cfg.logger, "logger", LoggerSpec)
        return logger
    chosen = [name for name, node in nodes.items() if isinstance(node, dict)]
    loggers = tuple(component(cfg.logger[name], f"logger.{name}", LoggerSpec) for name in chosen)
    return loggers[0] if len(loggers) == 1 else Several(loggers=loggers) if loggers else NoLog()


def trainer_from(cfg: DictConfig) -> TrainerSpec:
    return component(cfg.trainer, "trainer", TrainerSpec)


def store_from(cfg: DictConfig) -> ArtifactStore:
    if not fits(cfg.paths.artifacts, str):
        raise OptionError(f"paths.artifacts={cfg.paths.artifacts} must be the path of a folder.")
    return ArtifactStore(cfg.paths.artifacts)


def parts_of(cfg: DictConfig) -> tuple[CellSpec, ImageDataset, ArtifactStore, TrainerSpec]:
    """What a launcher needs to plan the cell that a configuration describes, with its data set loaded."""
    cell, store = cell_from(cfg), store_from(cfg)
    return cell, load_once(cell.dataset, store), store, trainer_from(cfg)


def check_no_sweep() -> None:
    """Raise OptionError where an experiment that is a sweep runs as a single run."""
    hydra_config = HydraConfig.get()
    if hydra_config.mode == RunMode.RUN and hydra_config.sweeper.get("params"):
        raise OptionError("this experiment is a sweep of many cells; add -m to the command.")


def refuse_parts(cfg: DictConfig) -> None:
    """Raise OptionError where an option of the command `run` is given to another."""
    for name in ("only", "plan"):
        if cfg[name]:
            raise OptionError(f"{name}={cfg[name]} belongs to scripts/run.py, which makes the same artifacts.")
