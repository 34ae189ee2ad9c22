"""DUAL: uncertainty times difficulty, early in training."""

from dataclasses import dataclass
from typing import ClassVar

from winnow.metrics.base import Metric
from winnow.metrics.windows import check_recorded, check_window, mean_over_windows
from winnow.types import Evidence, Floats


@dataclass(frozen=True, kw_only=True)
class DUAL(Metric):
    """The mean over sliding windows of `window` epochs of std · (1 − mean) of p_true within the window.

    Cho et al. 2025 (2502.06905), equations 4 and 5: J = 10 and the first T = 30 epochs on CIFAR, of one run; here mean
    over the K runs too. Unlike Dyn-Unc it prefers what is undecided and wrong to what is undecided and right. Their
    pruning rule on top of it is selector=beta.

    Read from the augmented training minibatches, before the update, [K, T, n]. first_epochs=None reads all of them.

    Raises OptionError for a window under two epochs or longer than first_epochs; MissingEvidenceError where fewer
    epochs were recorded than are read.
    """

    hard_means_undecided: ClassVar[bool] = True

    window: int = 10
    first_epochs: int | None = None

    def __post_init__(self) -> None:
        check_window("dual", self.window, self.first_epochs)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"trajectories"})

    @property
    def name(self) -> str:
        return self._named("dual")

    @property
    def least_epochs(self) -> int:
        return self.first_epochs or self.window

    @property
    def averages_members(self) -> bool:
        return True

    def _values(self, evidence: Evidence) -> Floats:
        trajectories = evidence.ensemble()
        check_recorded(self.name, trajectories.epochs, self.window, self.first_epochs)
        return mean_over_windows(trajectories.p_true, self.window, self.first_epochs, _of_window)


def _of_window(values: Floats) -> Floats:
    return values.std(axis=0, ddof=1) * (1 - values.mean(axis=0))
