"""Active: how much the probes disagree about an example."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import entr, softmax

from winnow.core.errors import check_choice
from winnow.core.types import Evidence, Floats, Ints
from winnow.metrics.base import Metric, jackknife, mean_over_members, over_mean_prediction


@dataclass(frozen=True, kw_only=True)
class Active(Metric):
    """Disagreement of the K probes about the example; labels are not read.

    Chitta et al. 2021 (1905.13332), section 3.2:
      kind="variation_ratio":    1 − (votes for the most voted class) / K, in [0, 1 − 1/K]; each probe votes its argmax.
      kind="mutual_information": H(mean_k p_k) − mean_k H(p_k), in nats, ≥ 0 (BALD, Houlsby et al. 2011, 1112.5745).
    With one probe there is nothing to disagree about, and all scores are 0. An example that all probes get wrong in the
    same way is easy here. mutual_information has the jackknife over the probes as its standard error; of votes, which
    jump, there is none.

    Logits [K, n, C] after `epoch` epochs, evaluation mode, no augmentation; epoch=None reads the last evaluated epoch.

    Raises OptionError for an unknown kind; MissingEvidenceError where the epoch was not evaluated.
    """

    version: ClassVar[int] = 2

    kind: str = "variation_ratio"
    epoch: int | None = None

    def __post_init__(self) -> None:
        check_choice("metric.kind", self.kind, ("variation_ratio", "mutual_information"))

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"logits"})

    @property
    def name(self) -> str:
        return self._named("active")

    def _values(self, evidence: Evidence) -> Floats:
        logits = evidence.logits_at(self.epoch)
        if self.kind == "variation_ratio":
            return _variation_ratio(logits)
        of_mean = over_mean_prediction(logits, lambda p: entr(p).sum(axis=1))
        information = of_mean - mean_over_members(logits, evidence.labels, _entropy)
        return np.maximum(information, 0.0)  # rounding, where the members agree

    def _standard_error(self, evidence: Evidence) -> Floats | None:
        return jackknife(evidence.logits_at(self.epoch), _information) if self.kind == "mutual_information" else None


def _information(p: Floats) -> Floats:
    return entr(p.mean(axis=0)).sum(axis=1) - entr(p).sum(axis=2).mean(axis=0)


def _variation_ratio(logits: np.ndarray) -> Floats:
    members, n, classes = logits.shape
    votes = np.zeros((n, classes), dtype=np.int64)
    for member in logits:
        votes[np.arange(n), member.argmax(axis=1)] += 1
    return 1 - votes.max(axis=1) / members


def _entropy(logits: Floats, labels: Ints) -> Floats:
    return entr(softmax(logits, axis=1)).sum(axis=1)
