"""Uncertainty: how undecided the mean prediction of the probes is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from scipy.special import entr

from winnow.core.errors import OptionError, check_choice
from winnow.core.types import Evidence, Floats, Ints
from winnow.metrics.base import Metric, jackknife, mean_over_members, over_mean_prediction
from winnow.store.keys import LATER


@dataclass(frozen=True, kw_only=True)
class Uncertainty(Metric):
    """How undecided the mean prediction p̄ = mean_k softmax(f_k(x)) of the K probes is; labels are not read.

    Coleman et al. 2020 (1906.11829), section 3, of probabilities, not logits:
      kind="entropy":          −Σ_c p̄_c log p̄_c, in nats, in [0, log C].
      kind="margin":           1 − (p̄_(1) − p̄_(2)), of the two largest, in [0, 1].
      kind="least_confidence": 1 − p̄_(1), in [0, 1 − 1/C].
    A confident mistake is easy here: the hard end holds the undecided.

    variant="deepcore", of least_confidence alone: minus the largest *logit*, mean over the K probes, as DeepCore's code
    has it for their one. A logit has no scale of its own, so this ranks otherwise than any probability.

    Logits [K, n, C] after `epoch` epochs, evaluation mode, no augmentation; epoch=None reads the last evaluated epoch.
    Softmax in float64. The standard error is the jackknife over the probes, of deepcore that of their mean.

    Raises OptionError for an unknown kind or variant, or a variant of another kind; MissingEvidenceError where the
    epoch was not evaluated.
    """

    version: ClassVar[int] = 2

    kind: str = "entropy"
    variant: str = field(default="paper", metadata=LATER)
    epoch: int | None = None

    def __post_init__(self) -> None:
        check_choice("metric.kind", self.kind, ("entropy", "margin", "least_confidence"))
        check_choice("metric.variant", self.variant, ("paper", "deepcore"))
        if self.variant == "deepcore" and self.kind != "least_confidence":
            raise OptionError(
                f"metric.variant=deepcore belongs to kind=least_confidence; DeepCore's {self.kind} is the paper's."
            )

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"logits"})

    @property
    def name(self) -> str:
        return self._named("uncertainty")

    @property
    def averages_members(self) -> bool:
        return self.variant == "deepcore"

    @property
    def _of_mean(self) -> Callable[[Floats], Floats]:
        return {"entropy": _entropy, "margin": _margin, "least_confidence": _least_confidence}[self.kind]

    def _values(self, evidence: Evidence) -> Floats:
        logits = evidence.logits_at(self.epoch)
        if self.variant == "deepcore":
            return mean_over_members(logits, evidence.labels, _small_logit)
        return over_mean_prediction(logits, self._of_mean)

    def _standard_error(self, evidence: Evidence) -> Floats | None:
        if self.variant == "deepcore":
            return super()._standard_error(evidence)
        return jackknife(evidence.logits_at(self.epoch), lambda p: self._of_mean(p.mean(axis=0)))


def _entropy(p: Floats) -> Floats:
    return entr(p).sum(axis=1)


def _margin(p: Floats) -> Floats:
    second, first = np.partition(p, -2, axis=1)[:, -2:].T
    return 1 - (first - second)


def _least_confidence(p: Floats) -> Floats:
    return 1 - p.max(axis=1)


def _small_logit(logits: Floats, labels: Ints) -> Floats:
    return -logits.max(axis=1)
