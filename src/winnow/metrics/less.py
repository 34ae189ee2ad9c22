"""LESS: training examples whose gradients point the way of a target set's."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from winnow.errors import check_choice
from winnow.metrics.gradient_features import GradientFeatures, blocks, one_minus_p
from winnow.types import Evidence, Floats


@dataclass(frozen=True, kw_only=True)
class LESS(GradientFeatures):
    """Mean over K probes of the cosine between the example's loss gradient and the mean one of a target set.

    Xia et al. 2024 (2402.04333), definition 3.1, by randomly projected gradients of all parameters, evaluation mode, no
    augmentation, after the last evaluated epoch. A step along the example's gradient lowers the targets' loss where the
    score is positive: what helps the targets ranks highest, what is useless to them near zero, and what hurts
    them, such as a wrong label, lowest. So this is a ranking by use, not by difficulty.
      similarity="cosine": as in the paper, so that a long gradient is no advantage.
      similarity="inner_product": by how much a step of size one lowers the targets' mean loss, to first order.
    The gradient of the loss is −(1 − p) φ, φ the projected gradient of log(p / (1 − p)): trak's pass serves both.

    Deviations: one target set instead of the maximum over subtasks; the last evaluated epoch instead of a sum
    over epochs weighted by learning rate; the gradient of the example itself where theirs is Adam's update, because the
    probes are trained by SGD. Because the probes have been trained on the targets too, evaluate them early
    (probe.evaluate_at), while the targets' gradients say more than noise.

    Raises OptionError as GradientFeatures does, and for an unknown similarity; MissingEvidenceError without
    projected_gradients or logits.
    """

    hard_means_undecided: ClassVar[bool] = True
    free_of_order: ClassVar[bool] = False  # the targets are a seeded draw by index

    similarity: str = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("metric.similarity", self.similarity, ("cosine", "inner_product"))

    @property
    def name(self) -> str:
        return self._named("less")

    @property
    def averages_members(self) -> bool:
        return True

    def _values(self, evidence: Evidence) -> Floats:
        values, members = np.zeros(evidence.n), len(evidence.projected())
        for member in range(members):
            values += self._of_member(evidence, member) / members
        return values

    def _of_member(self, evidence: Evidence, member: int) -> Floats:
        length, is_target, values = one_minus_p(evidence, member), self._targets(evidence.n), np.empty(evidence.n)
        total = np.zeros(evidence.projected()[member].shape[1])
        for rows, phi in blocks(evidence, member):
            total += (length[rows] * is_target[rows]) @ phi
        for rows, phi in blocks(evidence, member):
            gradients = length[rows, None] * phi
            others = (total - is_target[rows, None] * gradients) / (is_target.sum() - is_target[rows, None])
            values[rows] = np.sum(gradients * others, axis=1)
            if self.similarity == "cosine":
                lengths = np.linalg.norm(gradients, axis=1) * np.linalg.norm(others, axis=1)
                values[rows] = np.divide(values[rows], lengths, out=np.zeros(len(phi)), where=lengths > 0)
        return values
