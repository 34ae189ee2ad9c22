"""Where the numbers of a training go: nowhere, a CSV file, or wandb. All through Lightning's own loggers."""

import logging
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlparse

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from winnow.errors import check_choice
from winnow.types import Row

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LoggerSpec(ABC):
    """Opens one Lightning logger a training and closes it with the row that came of it."""

    @abstractmethod
    def open(self, name: str, *, kind: str, config: Mapping[str, Any]) -> Logger | None:
        """A logger for one training. kind: "cell" or "probe". config: plain nested values that define the training."""

    def close(self, logger: Logger | None, row: Row | None = None) -> None:
        """Log the row, if there is one, and finish."""
        if logger is not None:
            if row is not None:
                logger.log_metrics({"test_error": row.test_error, "test_loss": row.test_loss})
            logger.finalize("success")


@dataclass(frozen=True, kw_only=True)
class NoLog(LoggerSpec):
    """Logs nothing."""

    def open(self, name: str, *, kind: str, config: Mapping[str, Any]) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class CSVLog(LoggerSpec):
    """One folder a training below `folder`/logs, with metrics.csv in it."""

    folder: str

    def open(self, name: str, *, kind: str, config: Mapping[str, Any]) -> Logger:
        return CSVLogger(save_dir=self.folder, name="logs", version=f"{kind}-{name}")


@dataclass(frozen=True, kw_only=True)
class WandbLog(LoggerSpec):
    """One wandb run a cell (and a probe member), grouped by sweep, with its config and its row as the summary.

    mode: "auto" is online where the server answers within two seconds and a key is set, offline otherwise, with one
    warning (asking first matters: wandb itself blocks for over a minute and a half before it gives up); "online" or
    "offline" force it. The run is finished when its training is, so that many cells can follow in one process.

    Raises OptionError for another mode.
    """

    folder: str
    project: str = "winnow"
    group: str | None = None
    mode: str = "auto"

    def __post_init__(self) -> None:
        check_choice("logger.mode", self.mode, ("auto", "online", "offline"))

    def open(self, name: str, *, kind: str, config: Mapping[str, Any]) -> Logger:
        os.makedirs(self.folder, exist_ok=True)
        logger = WandbLogger(
            name=name,
            project=self.project,
            group=self.group,
            job_type=kind,
            save_dir=self.folder,
            offline=not self._online(),
            settings=_quiet_settings(),
        )
        logger.experiment.config.update(dict(config))
        return logger

    def close(self, logger: Logger | None, row: Row | None = None) -> None:
        assert isinstance(logger, WandbLogger)
        if row is not None:
            logger.experiment.summary.update(asdict(row))
        super().close(logger, row)
        logger.experiment.finish()

    def _online(self) -> bool:
        if self.mode != "auto":
            return self.mode == "online"
        return _server_answers()


def _quiet_settings() -> Any:
    import wandb

    return wandb.Settings(silent=True, console="off")


_answers: bool | None = None


def _server_answers() -> bool:
    """Whether runs can be sent; asked once a process."""
    global _answers
    if _answers is None:
        address = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
        try:
            with socket.create_connection((address.hostname or "", address.port or 443), timeout=2):
                import wandb

                _answers = wandb.api.api_key is not None
        except OSError:
            _answers = False
        if not _answers:
            log.warning("wandb: no server answers or no key is set; runs are kept offline (`wandb sync` sends them).")
    return _answers
