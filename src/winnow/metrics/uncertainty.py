"""Uncertainty: how undecided the mean prediction of the probes is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import entr

from winnow.errors import check_choice
from winnow.metrics.base import Metric, jackknife, over_mean_prediction
from winnow.types import Evidence, Floats


@dataclass(frozen=True, kw_only=True)
class Uncertainty(Metric):
    """How undecided the mean prediction p̄ = mean_k softmax(f_k(x)) of the K probes is; labels are not read.

    Coleman et al. 2020 (1906.11829), section 3, of probabilities, not logits:
      kind="entropy":          −Σ_c p̄_c log p̄_c, in nats, in [0, log C].
      kind="margin":           1 − (p̄_(1) − p̄_(2)), of the two largest, in [0, 1].
      kind="least_confidence": 1 − p̄_(1), in [0, 1 − 1/C].
    A confident mistake is easy here: the hard end holds the undecided.

    Logits [K, n, C] after `epoch` epochs, evaluation mode, no augmentation; epoch=None reads the last evaluated epoch.
    Softmax in float64. The standard error is the jackknife over the probes.

    Raises OptionError for an unknown kind; MissingEvidenceError where the epoch was not evaluated.
    """

    version: ClassVar[int] = 2

    kind: str = "entropy"
    epoch: int | None = None

    def __post_init__(self) -> None:
        check_choice("metric.kind", self.kind, ("entropy", "margin", "least_confidence"))

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"logits"})

    @property
    def name(self) -> str:
        return self._named("uncertainty")

    @property
    def _of_mean(self) -> Callable[[Floats], Floats]:
        return {"entropy": _entropy, "margin": _margin, "least_confidence": _least_confidence}[self.kind]

    def _values(self, evidence: Evidence) -> Floats:
        return over_mean_prediction(evidence.logits_at(self.epoch), self._of_mean)

    def _standard_error(self, evidence: Evidence) -> Floats | None:
        return jackknife(evidence.logits_at(self.epoch), lambda p: self._of_mean(p.mean(axis=0)))


def _entropy(p: Floats) -> Floats:
    return entr(p).sum(axis=1)


def _margin(p: Floats) -> Floats:
    second, first = np.partition(p, -2, axis=1)[:, -2:].T
    return 1 - (first - second)


def _least_confidence(p: Floats) -> Floats:
    return 1 - p.max(axis=1)
