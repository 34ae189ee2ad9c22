"""Loss: the cross-entropy of the example."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from winnow.core.types import Evidence, Floats, Ints
from winnow.metrics.base import Metric, mean_over_members


@dataclass(frozen=True, kw_only=True)
class Loss(Metric):
    """The mean over K probes of the cross-entropy −log p_k(y | x), in nats, unsmoothed; high where p is wrong.

    Logits [K, n, C] after `epoch` epochs, evaluation mode, no augmentation; epoch=None reads the last evaluated epoch.
    The mean is of the members' losses, not the loss of their mean prediction. Log-softmax in float64, so that a
    confident mistake is not infinite.

    Raises MissingEvidenceError where the epoch was not evaluated.
    """

    epoch: int | None = None

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"logits"})

    @property
    def name(self) -> str:
        return "loss" if self.epoch is None else f"loss[epoch={self.epoch}]"

    @property
    def averages_members(self) -> bool:
        return True

    def _values(self, evidence: Evidence) -> Floats:
        return mean_over_members(evidence.logits_at(self.epoch), evidence.labels, _cross_entropy)


def _cross_entropy(logits: Floats, labels: Ints) -> Floats:
    return -log_softmax(logits, axis=1)[np.arange(labels.size), labels]
