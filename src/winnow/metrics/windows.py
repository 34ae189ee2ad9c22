"""Sliding windows over the epochs of a trajectory, as the metrics of training dynamics read them."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from winnow.errors import MissingEvidenceError, OptionError
from winnow.types import Floats


def check_window(name: str, window: int, first_epochs: int | None) -> None:
    """Raise OptionError for a window under two epochs, or more epochs than it can slide over."""
    if window < 2:
        raise OptionError(f"metric.window={window} must be at least 2 epochs; {name} reads how much they differ.")
    if first_epochs is not None and first_epochs < window:
        raise OptionError(
            f"metric.first_epochs={first_epochs} is shorter than metric.window={window}; raise it or lower the window."
        )


def check_recorded(name: str, recorded: int, least: int, first_epochs: int | None) -> None:
    """Raise MissingEvidenceError where fewer epochs were recorded than are read."""
    wanted = max(least, first_epochs or 0)
    if recorded < wanted:
        raise MissingEvidenceError(
            f"{name} reads {wanted} epochs of training, but {recorded} were recorded; train the probes for longer "
            "(probe.epochs), or set metric.first_epochs and metric.window to fewer."
        )


def windows(run: NDArray[np.float32], window: int) -> Iterator[Floats]:
    """Each window [window, n] in float64 of a run [T, n], the first epochs first."""
    for start in range(run.shape[0] - window + 1):
        yield run[start : start + window].astype(np.float64)


def mean_over_windows(
    runs: NDArray[np.float32], window: int, first_epochs: int | None, of_window: Callable[[Floats], Floats]
) -> Floats:
    """[n]: mean over K runs and all windows of the first epochs of `of_window([window, n]) -> [n]`. runs: [K, T, n]."""
    total, count = np.zeros(runs.shape[-1]), 0
    for run in runs:
        for values in windows(run[:first_epochs], window):
            total += of_window(values)
            count += 1
    return total / count
