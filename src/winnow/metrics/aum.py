"""AUM: the area under the margin."""

from dataclasses import dataclass

import numpy as np

from winnow.errors import check_choice
from winnow.metrics.base import Metric
from winnow.types import Evidence, Floats


@dataclass(frozen=True, kw_only=True)
class AUM(Metric):
    """Minus the area under the margin: −mean over epochs and runs of the true class's margin over the largest other.

    Pleiss et al. 2020 (2001.10528), equations 1 and 2, with the sign turned, because a small area is a hard or
    mislabelled example. Read from the augmented training minibatches, before the update, [K, T, n]; mean over K runs
    (the paper: one).

    margin="logit" (the paper): difference of logits, unbounded. margin="probability" (the code of CCS and D2):
    difference of softmax probabilities, which saturates at ±1, so that confident examples rank closer together.

    Raises OptionError for an unknown margin; MissingEvidenceError without trajectories.
    """

    margin: str = "logit"

    def __post_init__(self) -> None:
        check_choice("metric.margin", self.margin, ("logit", "probability"))

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"trajectories"})

    @property
    def name(self) -> str:
        return "aum" if self.margin == "logit" else "aum[probability]"

    @property
    def averages_members(self) -> bool:
        return True

    def _values(self, evidence: Evidence) -> Floats:
        trajectories = evidence.ensemble()
        margins = trajectories.margin if self.margin == "logit" else trajectories.probability_margin
        return -margins.mean(axis=(0, 1), dtype=np.float64)
