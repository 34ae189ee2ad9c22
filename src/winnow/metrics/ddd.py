"""DDD: how many probes get the example wrong."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from winnow.core.types import Evidence, Floats, Ints
from winnow.metrics.base import Metric, mean_over_members
from winnow.metrics.inside_outside import share_variance


@dataclass(frozen=True, kw_only=True)
class DDD(Metric):
    """The number of the K probes that misclassify the example, in 0..K (dichotomous data difficulty).

    Meding et al. 2022 (2110.05922): most examples are solved by all models (trivial) or by none (impossible), so nearly
    all scores are tied at the ends, and the selector's tie-break matters. The paper counts models that differ in
    architecture and seed; here the members differ in their seeds.

    Logits [K, n, C] after `epoch` epochs, evaluation mode, no augmentation; epoch=None reads the last evaluated epoch.

    The standard error of the count c is K √(p(1 − p)/(K − 1)), p = (c + ½)/(K + 1): few probes that all agree are not
    certain of the next one.

    Raises MissingEvidenceError where the epoch was not evaluated.
    """

    version: ClassVar[int] = 3  # of the standard error

    epoch: int | None = None

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"logits"})

    @property
    def name(self) -> str:
        return "ddd" if self.epoch is None else f"ddd[epoch={self.epoch}]"

    def _values(self, evidence: Evidence) -> Floats:
        logits = evidence.logits_at(self.epoch)
        return (mean_over_members(logits, evidence.labels, _wrong) * len(logits)).round()

    def _standard_error(self, evidence: Evidence) -> Floats | None:
        members = evidence.members
        return members * np.sqrt(share_variance(self._values(evidence), members)) if members > 1 else None


def _wrong(logits: Floats, labels: Ints) -> Floats:
    return (logits.argmax(axis=1) != labels).astype(float)
