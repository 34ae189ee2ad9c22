"""Where the numbers of a training go: nowhere, a CSV file, TensorBoard, or wandb. All through Lightning's loggers."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from winnow.core.errors import OptionError
from winnow.training.logger_spec import LoggerSpec as LoggerSpec
from winnow.training.logger_spec import NoLog as NoLog
from winnow.training.logger_spec import Several as Several
from winnow.training.wandb_log import WandbLog as WandbLog

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger


@dataclass(frozen=True, kw_only=True)
class CSVLog(LoggerSpec):
    """One folder a training below `folder`/logs, with metrics.csv in it."""

    folder: str

    def open(self, name: str, *, kind: str, config: Mapping[str, Any]) -> "Logger":
        from winnow.training.csv_logger import ContinuedCSVLogger

        return ContinuedCSVLogger(save_dir=self.folder, name="logs", version=f"{kind}-{name}")


@dataclass(frozen=True, kw_only=True)
class TensorBoardLog(LoggerSpec):
    """One folder a training below `folder`/tensorboard, which `tensorboard --logdir` reads, those of a sweep at once.

    Raises OptionError where TensorBoard is not installed.
    """

    folder: str

    def __post_init__(self) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise OptionError('logger=tensorboard is not installed; pip install "winnow[tensorboard]".')

    def open(self, name: str, *, kind: str, config: Mapping[str, Any]) -> "Logger":
        from pytorch_lightning.loggers import TensorBoardLogger

        return TensorBoardLogger(save_dir=self.folder, name="tensorboard", version=f"{kind}-{name}")
