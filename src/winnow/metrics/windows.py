"""The epochs of a trajectory that a metric of training dynamics reads, and sliding windows over them."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from winnow.core.arrays import blocks
from winnow.core.errors import MissingEvidenceError, OptionError
from winnow.core.types import Evidence, Floats
from winnow.metrics.base import Metric

EXAMPLES_IN_BLOCK = 16_384


def check_first(first_epochs: int | None) -> None:
    """Raise OptionError for less than one epoch."""
    if first_epochs is not None and first_epochs < 1:
        raise OptionError(f"metric.first_epochs={first_epochs} must be at least 1 epoch, or null for all recorded.")


def check_window(name: str, window: int, first_epochs: int | None, *, least: int = 2) -> None:
    """Raise OptionError for a window under `least` epochs, or more epochs than it can slide over."""
    if window < least:
        raise OptionError(f"metric.window={window} must be at least {least} epochs; {name} reads how much they differ.")
    if first_epochs is not None and first_epochs < window:
        raise OptionError(
            f"metric.first_epochs={first_epochs} is shorter than metric.window={window}; raise it or lower the window."
        )


def check_recorded(name: str, recorded: int, least: int, first_epochs: int | None) -> None:
    """Raise MissingEvidenceError where fewer epochs were recorded than are read; least 1: no window reads them."""
    wanted = max(least, first_epochs or 0)
    if recorded < wanted:
        raise MissingEvidenceError(
            f"{name} reads {wanted} epochs of training, but {recorded} were recorded; train the probes for longer "
            f"(probe.epochs), or set metric.first_epochs{' and metric.window' if least > 1 else ''} to fewer."
        )


def windows(run: NDArray[np.float32], window: int) -> Iterator[Floats]:
    """Each window [window, n] in float64 of a run [T, n], the first epochs first."""
    for start in range(run.shape[0] - window + 1):
        yield run[start : start + window].astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class WindowedMetric(Metric):
    """A metric that is the mean over K runs and all windows of `_of_window(p_true in the window)`.

    window: epochs in a window. first_epochs: how many epochs are read; None reads all of them.
    """

    hard_means_undecided: ClassVar[bool] = True

    window: int = 10
    first_epochs: int | None = None

    def __post_init__(self) -> None:
        check_window(self.name, self.window, self.first_epochs)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"trajectories"})

    @property
    def least_epochs(self) -> int:
        return self.first_epochs or self.window

    @property
    def averages_members(self) -> bool:
        return True

    @abstractmethod
    def _of_window(self, p_true: Floats) -> Floats:
        """[n] of one window [window, n]."""

    def _values(self, evidence: Evidence) -> Floats:
        trajectories = evidence.required_trajectories()
        check_recorded(self.name, trajectories.epochs, self.window, self.first_epochs)
        total = np.zeros(evidence.n)
        for run in trajectories.runs:
            p_true = run.p_true[: self.first_epochs]
            for some in blocks(evidence.n, EXAMPLES_IN_BLOCK):
                for values in windows(p_true[:, some], self.window):
                    total[some] += self._of_window(values)
        slid = (self.first_epochs or trajectories.epochs) - self.window + 1
        return total / (len(trajectories.runs) * slid)
