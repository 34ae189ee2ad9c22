"""What every log of a run offers: trainings, and where a logger can show them, artifacts, images and whole sweeps."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

from winnow.core.types import Row

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from pytorch_lightning.loggers import Logger  # itself once one is opened: it takes seconds

Opened: TypeAlias = "Logger | list[Logger] | None"
"""What a training logs to: what Lightning's Trainer takes."""

MEASURED = ("test_error", "worst_class_error", "test_loss")


class Made(NamedTuple):
    """An artifact as a log names it. kind: "probe", "scores", "subset" or "model"; path: of its file or folder."""

    kind: str
    key: str
    path: Path | None = None


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """What a finished sweep leaves, as a log shows it.

    config: the columns that all cells share, and the command. grid: the table of rows. figures: by name. tables:
    others, such as fits and failures. counts: of cells. page: a report to look at; files: all of these, to be kept.
    """

    config: Mapping[str, Any]
    grid: "pd.DataFrame"
    counts: Mapping[str, int]
    tables: "Mapping[str, pd.DataFrame]" = field(default_factory=dict)
    figures: Mapping[str, Path] = field(default_factory=dict)
    page: Path | None = None
    files: Sequence[Path] = ()


@dataclass(frozen=True, kw_only=True)
class LoggerSpec(ABC):
    """Opens one Lightning logger a training and closes it with the row that came of it.

    A logger of one's own has `open`; what else there is to log reaches those that override the other methods.
    """

    shows_images: ClassVar[bool] = False
    """Whether `images` does something."""
    follows_sweeps: ClassVar[bool] = False
    """Whether `cached` and `sweep` do something, so that what they take is worth gathering."""

    @abstractmethod
    def open(self, name: str, *, kind: str, config: Mapping[str, Any]) -> Opened:
        """A logger for one training. kind: "cell" or "probe". config: plain nested values that define the training."""

    def close(self, opened: Opened, row: Row | None = None, *, failed: bool = False) -> None:
        """Log the row, if there is one, and finish. failed: an error ended the training."""
        if opened is not None:
            assert not isinstance(opened, list)
            if row is not None:
                values = {name: getattr(row, name) for name in MEASURED}
                opened.log_metrics({name: value for name, value in values.items() if value is not None})
            opened.finalize("failed" if failed else "success")

    def artifact(self, opened: Opened, made: Made, *, uses: Sequence[Made] = ()) -> None:  # noqa: B027
        """Say what an open training made, and of what."""

    def images(self, opened: Opened, name: str, table: "pd.DataFrame", images: "NDArray[Any]") -> None:  # noqa: B027
        """Show images [k, H, W, C] uint8 in an open training, each beside its line of a table of k."""

    def stage(self, kind: str, made: Made, *, uses: Sequence[Made] = (), config: Mapping[str, Any]) -> None:  # noqa: B027
        """Log a stage that trains nothing, unless this log has it already. kind: "score" or "select"."""

    def cached(self, row: Row, *, config: Mapping[str, Any]) -> None:  # noqa: B027
        """Log a cell that was finished before, unless this log has it already."""

    def sweep(self, name: str, record: SweepRecord) -> None:  # noqa: B027
        """Log a sweep as a whole, once it is finished; the same again takes the place of the former."""


@dataclass(frozen=True, kw_only=True)
class NoLog(LoggerSpec):
    """Logs nothing."""

    def open(self, name: str, *, kind: str, config: Mapping[str, Any]) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class Several(LoggerSpec):
    """Logs to each of several loggers (logger=[csv,wandb])."""

    loggers: tuple[LoggerSpec, ...]

    @property
    def shows_images(self) -> bool:  # type: ignore[override]
        return any(each.shows_images for each in self.loggers)

    @property
    def follows_sweeps(self) -> bool:  # type: ignore[override]
        return any(each.follows_sweeps for each in self.loggers)

    def open(self, name: str, *, kind: str, config: Mapping[str, Any]) -> "list[Logger]":
        opened: Any = [each.open(name, kind=kind, config=config) for each in self.loggers]
        assert None not in opened, "none is no logger beside others"
        return opened

    def close(self, opened: Opened, row: Row | None = None, *, failed: bool = False) -> None:
        for each, own in self._pairs(opened):
            each.close(own, row, failed=failed)

    def artifact(self, opened: Opened, made: Made, *, uses: Sequence[Made] = ()) -> None:
        for each, own in self._pairs(opened):
            each.artifact(own, made, uses=uses)

    def images(self, opened: Opened, name: str, table: "pd.DataFrame", images: "NDArray[Any]") -> None:
        for each, own in self._pairs(opened):
            each.images(own, name, table, images)

    def stage(self, kind: str, made: Made, *, uses: Sequence[Made] = (), config: Mapping[str, Any]) -> None:
        for each in self.loggers:
            each.stage(kind, made, uses=uses, config=config)

    def cached(self, row: Row, *, config: Mapping[str, Any]) -> None:
        for each in self.loggers:
            each.cached(row, config=config)

    def sweep(self, name: str, record: SweepRecord) -> None:
        for each in self.loggers:
            each.sweep(name, record)

    def _pairs(self, opened: Opened) -> "zip[tuple[LoggerSpec, Logger]]":
        assert isinstance(opened, list)
        return zip(self.loggers, opened, strict=True)
