"""Where the numbers of a training go: nowhere, a CSV file, or wandb. All through Lightning's own loggers."""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from winnow.core.errors import check_choice
from winnow.core.types import Row
from winnow.store.writing import write_atomically, writing
from winnow.training import wandb_server

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger  # itself once one is opened: it takes seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LoggerSpec(ABC):
    """Opens one Lightning logger a training and closes it with the row that came of it."""

    @abstractmethod
    def open(self, name: str, *, kind: str, config: Mapping[str, Any]) -> "Logger | None":
        """A logger for one training. kind: "cell" or "probe". config: plain nested values that define the training."""

    def close(self, logger: "Logger | None", row: Row | None = None, *, failed: bool = False) -> None:
        """Log the row, if there is one, and finish. failed: an error ended the training."""
        if logger is not None:
            if row is not None:
                values = {name: getattr(row, name) for name in ("test_error", "worst_class_error", "test_loss")}
                logger.log_metrics({name: value for name, value in values.items() if value is not None})
            logger.finalize("failed" if failed else "success")


@dataclass(frozen=True, kw_only=True)
class NoLog(LoggerSpec):
    """Logs nothing."""

    def open(self, name: str, *, kind: str, config: Mapping[str, Any]) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class CSVLog(LoggerSpec):
    """One folder a training below `folder`/logs, with metrics.csv in it."""

    folder: str

    def open(self, name: str, *, kind: str, config: Mapping[str, Any]) -> "Logger":
        from winnow.training.csv_logger import ContinuedCSVLogger

        return ContinuedCSVLogger(save_dir=self.folder, name="logs", version=f"{kind}-{name}")


@dataclass(frozen=True, kw_only=True)
class WandbLog(LoggerSpec):
    """One wandb run a cell (and a probe member), grouped by sweep, with its config and its row as the summary.

    mode: "auto" follows the variable WANDB_MODE where it is set; else it is online where the server answers within two
    seconds and a key is set, and offline otherwise, with one warning (asking first matters: wandb itself blocks for
    over a minute and a half before it gives up). "online" or "offline" force it. The run is finished when its training
    is, so that many cells can follow in one process. The run of a training that failed or was interrupted goes on where
    the same folder is given again, online; offline there is nothing to go on with, and it becomes another run.

    Raises OptionError for another mode.
    """

    folder: str
    project: str = "winnow"
    group: str | None = None
    mode: str = "auto"

    def __post_init__(self) -> None:
        check_choice("logger.mode", self.mode, ("auto", "online", "offline"))

    def open(self, name: str, *, kind: str, config: Mapping[str, Any]) -> "Logger":
        import wandb
        from pytorch_lightning.loggers import WandbLogger

        with writing(self.folder):
            os.makedirs(self.folder, exist_ok=True)
        # wandb's service keeps a log of its own in its cache, which would be in the home folder.
        os.environ.setdefault("WANDB_CACHE_DIR", os.path.join(self.folder, "wandb", "cache"))
        # Left to start the run itself, Lightning makes wandb print a warning and sets WANDB_MODE for the whole process.
        mode, unfinished = self._mode(), self._unfinished(name, kind)
        goes_on = mode == "online" and unfinished.exists()
        run = wandb.init(
            id=unfinished.read_text() if goes_on else None,
            resume="allow" if goes_on else None,
            name=name,
            project=self.project,
            group=self.group,
            job_type=kind,
            dir=self.folder,
            config=dict(config),
            mode=mode,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        write_atomically(unfinished, run.id)
        return WandbLogger(experiment=run, save_dir=self.folder)

    def _unfinished(self, name: str, kind: str) -> Path:
        """The file that holds the id of a run until it is finished."""
        return Path(self.folder) / "wandb" / f"{kind}-{name}.unfinished"

    def close(self, logger: "Logger | None", row: Row | None = None, *, failed: bool = False) -> None:
        from pytorch_lightning.loggers import WandbLogger

        assert isinstance(logger, WandbLogger)
        if row is not None:
            logger.experiment.summary.update(asdict(row))
        super().close(logger, row, failed=failed)
        run = logger.experiment
        run.finish(exit_code=int(failed))
        if not failed:
            self._unfinished(run.name, run.job_type).unlink(missing_ok=True)

    def _mode(self) -> Any:
        if self.mode != "auto":
            return self.mode
        # wandb reads its variables once a process, so it is told even of this one.
        return os.environ.get("WANDB_MODE") or ("online" if _server_answers() else "offline")


_answers: bool | None = None


def _server_answers() -> bool:
    """Whether runs can be sent; asked once a process."""
    global _answers
    if _answers is None:
        _answers = wandb_server.answers() and wandb_server.has_key()
        if not _answers:
            log.warning("wandb: no server answers or no key is set; runs are kept offline (`wandb sync` sends them).")
    return _answers
