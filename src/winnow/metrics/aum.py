"""AUM: the area under the margin."""

from dataclasses import dataclass, field

import numpy as np

from winnow.core.errors import check_choice
from winnow.core.types import Evidence, Floats
from winnow.metrics.base import Metric
from winnow.metrics.windows import check_first, check_recorded
from winnow.store.keys import LATER


@dataclass(frozen=True, kw_only=True)
class AUM(Metric):
    """Minus the area under the margin: −mean over epochs and runs of the true class's margin over the largest other.

    Pleiss et al. 2020 (2001.10528), equations 1 and 2, with the sign turned, because a small area is a hard or
    mislabelled example. Read from the augmented training minibatches, before the update, [K, T, n]; mean over K runs
    (the paper: one).

    margin="logit" (the paper): difference of logits, unbounded. margin="probability" (the code of CCS and D2, which
    sum where this is the mean): difference of softmax probabilities, which saturates at ±1, so that confident examples
    rank closer together. DUAL's code has the probability margin of the last epoch alone, by a slip; it has no variant.
    first_epochs: how many epochs are read; None reads all of them.

    Raises OptionError for an unknown margin or first_epochs under 1; MissingEvidenceError without trajectories, or
    where fewer epochs were recorded than are read.
    """

    margin: str = "logit"
    first_epochs: int | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        check_choice("metric.margin", self.margin, ("logit", "probability"))
        check_first(self.first_epochs)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"trajectories"})

    @property
    def name(self) -> str:
        return self._named("aum")

    @property
    def least_epochs(self) -> int:
        return self.first_epochs or 1

    @property
    def averages_members(self) -> bool:
        return True

    def _values(self, evidence: Evidence) -> Floats:
        trajectories = evidence.required_trajectories()
        check_recorded(self.name, trajectories.epochs, 1, self.first_epochs)
        total = np.zeros(evidence.n)
        for run in trajectories.runs:
            margins = run.margin if self.margin == "logit" else run.probability_margin
            for of_epoch in margins[: self.first_epochs]:
                total += of_epoch
        return -total / (len(trajectories.runs) * (self.first_epochs or trajectories.epochs))
