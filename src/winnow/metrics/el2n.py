"""EL2N: the length of the error vector early in training."""

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from winnow.core.errors import MissingEvidenceError, OptionError, check_choice
from winnow.core.types import Evidence, Floats, Ints
from winnow.metrics.base import Metric, mean_over_members


@dataclass(frozen=True, kw_only=True)
class EL2N(Metric):
    """EL2N, the mean over K probes of ‖p_k(x) − y‖₂, p the softmax and y one-hot; in [0, √2], high where p is wrong.

    Paul, Ganguli & Dziugaite 2021 (2107.07075), section 2: K = 10 probes, about epoch 20 of 200.

    variant="ensemble" (the paper): logits [K, n, C] after `epoch` epochs, evaluation mode, no augmentation, over
    the whole training set; epoch=None reads the last evaluated epoch. Softmax in float64.
    variant="window" (the published code of CCS, Zheng et al. 2023): the mean over the first `window` epochs of what
    one run, the first, saw of the example in its augmented training minibatches, batch norm in training mode.
    Scores of this variant are noisier and say nothing that an ensemble averages out; curves of CCS and of papers
    that build on it use it, so compare with those by this variant only.

    Raises OptionError for an unknown variant, a window below one epoch, or an epoch given with variant="window";
    MissingEvidenceError where the epoch was not evaluated or fewer than `window` epochs were recorded.
    """

    epoch: int | None = None
    variant: str = "ensemble"
    window: int = 10

    def __post_init__(self) -> None:
        check_choice("metric.variant", self.variant, ("ensemble", "window"))
        if self.window < 1:
            raise OptionError(f"metric.window={self.window} must be at least 1 epoch.")
        if self.variant == "ensemble" and self.window != 10:
            raise OptionError("metric.window belongs to variant=window; variant=ensemble does not read it.")
        if self.variant == "window" and self.epoch is not None:
            raise OptionError("metric.epoch belongs to variant=ensemble; for variant=window set metric.window instead.")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"logits"} if self.variant == "ensemble" else {"trajectories"})

    @property
    def name(self) -> str:
        if self.variant == "window":
            return "el2n[window]" if self.window == 10 else f"el2n[window={self.window}]"
        return "el2n" if self.epoch is None else f"el2n[epoch={self.epoch}]"

    @property
    def least_epochs(self) -> int:
        return self.window if self.variant == "window" else 1

    @property
    def averages_members(self) -> bool:
        return self.variant == "ensemble"

    def _values(self, evidence: Evidence) -> Floats:
        if self.variant == "ensemble":
            return mean_over_members(evidence.logits_at(self.epoch), evidence.labels, _error_length)
        trajectories = evidence.required_trajectories()
        if trajectories.epochs < self.window:
            recorded = ", ".join(map(str, range(1, trajectories.epochs + 1)))
            raise MissingEvidenceError(
                f"el2n with variant=window reads the first {self.window} epochs of training; recorded epochs: "
                f"{recorded}. Set metric.window to at most {trajectories.epochs} or train the probes for longer."
            )
        return trajectories.runs[0].el2n[: self.window].mean(axis=0, dtype=np.float64)


def _error_length(logits: Floats, labels: Ints) -> Floats:
    error = softmax(logits, axis=1)
    error[np.arange(labels.size), labels] -= 1
    return np.linalg.norm(error, axis=1)
