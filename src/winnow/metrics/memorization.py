"""Memorization: how much more often a model is right about an example that it was trained on."""

from dataclasses import dataclass
from typing import ClassVar

from winnow.core.types import Evidence, Floats
from winnow.metrics.base import Metric
from winnow.metrics.inside_outside import rates


@dataclass(frozen=True, kw_only=True)
class Memorization(Metric):
    """P[f(x_i) = y_i | i in the training part] − P[f(x_i) = y_i | i not in it], in [−1, 1].

    Feldman & Zhang 2020 (2008.03703), equation 1, estimated as theirs from K models that are each trained on a random
    70% of the data (probe.members models, probe.subset_fraction): the difference of two means. They train 2,000 to
    4,000 models; the standard error of a score says what fewer are worth and is kept with it: of both means together,
    each √(p(1 − p)/(k − 1)) of k models of which c are right, with p = (c + ½)/(k + 1), since few models that all agree
    are not certain. A model's answers are of evaluation mode, without augmentation, after its training.

    Raises MissingEvidenceError without such models, or where an example is never in or never out, with the count.
    """

    version: ClassVar[int] = 2  # of the standard error

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"subset_runs"})

    @property
    def name(self) -> str:
        return "memorization"

    def _values(self, evidence: Evidence) -> Floats:
        inside, outside, _ = rates(evidence.required_subset_runs())
        return inside - outside

    def _standard_error(self, evidence: Evidence) -> Floats:
        return rates(evidence.required_subset_runs())[2]
