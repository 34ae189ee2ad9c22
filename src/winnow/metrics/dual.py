"""DUAL: uncertainty times difficulty, early in training."""

from dataclasses import dataclass

from winnow.core.types import Floats
from winnow.metrics.windows import WindowedMetric


@dataclass(frozen=True, kw_only=True)
class DUAL(WindowedMetric):
    """The mean over sliding windows of `window` epochs of std · (1 − mean) of p_true within the window.

    Cho et al. 2025 (2502.06905), equations 4 and 5: J = 10 and the first T = 30 epochs on CIFAR, of one run; here mean
    over the K runs too. Unlike Dyn-Unc it prefers what is undecided and wrong to what is undecided and right. Their
    pruning rule on top of it is selector=beta.

    Read from the augmented training minibatches, before the update, [K, T, n]. first_epochs=None reads all of them.

    Raises OptionError for a window under two epochs or longer than first_epochs; MissingEvidenceError where fewer
    epochs were recorded than are read.
    """

    @property
    def name(self) -> str:
        return self._named("dual")

    def _of_window(self, p_true: Floats) -> Floats:
        return p_true.std(axis=0, ddof=1) * (1 - p_true.mean(axis=0))
