"""Dyn-Unc: how much the true-class probability moves during training."""

from dataclasses import dataclass

from winnow.core.types import Floats
from winnow.metrics.windows import WindowedMetric


@dataclass(frozen=True, kw_only=True)
class DynUnc(WindowedMetric):
    """The mean over sliding windows of `window` epochs of the standard deviation of p_true within the window.

    He et al. 2023 (2306.05175), equations 2 and 3: J = 10, windows over the whole training of one run; here mean over
    the K runs too. Hard means undecided: what is always wrong moves as little as what is always right. The deviation
    divides by J − 1, as theirs does, which no ranking depends on.

    Read from the augmented training minibatches, before the update, [K, T, n]. first_epochs=None reads all of them.

    Raises OptionError for a window under two epochs or longer than first_epochs; MissingEvidenceError where fewer
    epochs were recorded than are read.
    """

    @property
    def name(self) -> str:
        return self._named("dyn_unc")

    def _of_window(self, p_true: Floats) -> Floats:
        return p_true.std(axis=0, ddof=1)
